# SPDX-License-Identifier: Apache-2.0
"""Runs before any test module, and so before jax, is imported."""

import os

from hypothesis import settings

os.environ["JAX_PLATFORMS"] = "cpu"

# An example that compiles something is slow, not wrong; the same examples every time.
settings.register_profile("pollux", deadline=None, derandomize=True)
settings.load_profile("pollux")
