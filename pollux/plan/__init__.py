# SPDX-License-Identifier: Apache-2.0
"""What a reading will cost, before anything is loaded: bytes, time, and whether a machine has them.

Arithmetic over `Config`, the declared weights, the arrays of a reading and sharding.RULES: no array
is made. What is assumed is said in docs/planning.md.
"""
