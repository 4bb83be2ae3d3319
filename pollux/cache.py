# SPDX-License-Identifier: Apache-2.0
"""Where what can be made again is kept: POLLUX_CACHE, or pollux in the user's cache directory."""

import os
from pathlib import Path


def cache_directory() -> Path:
    """Not created here; delete it whenever you like."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pollux"
    return Path(os.environ.get("POLLUX_CACHE") or default)
