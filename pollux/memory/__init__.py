# SPDX-License-Identifier: Apache-2.0
"""Readings: what was read, in memory and on disk, and where each token of it stands."""
