# SPDX-License-Identifier: Apache-2.0
"""Where what can be made again is kept: POLLUX_CACHE, or pollux in the user's cache directory."""

import os
import sys
from pathlib import Path


def cache_directory() -> Path:
    """Not created here; delete it whenever you like."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pollux"
    return Path(os.environ.get("POLLUX_CACHE") or default)


def compiled_directory() -> Path:
    """For compiled code, of each Python version apart: one does not load what another kept."""
    return cache_directory() / "compiled" / (sys.implementation.cache_tag or "python")
