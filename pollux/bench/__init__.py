# SPDX-License-Identifier: Apache-2.0
"""Measurements of speed and of what a choice earns: plain functions that return their numbers."""
