# SPDX-License-Identifier: Apache-2.0
"""Reading parts into a memory and answering from it.

Knows tokens and arrays, not a user's files or JSON.
"""
