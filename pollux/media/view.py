# SPDX-License-Identifier: Apache-2.0
"""How a medium is looked at: how closely, how often, from when to when."""

import math
import re
from dataclasses import dataclass

from pollux.errors import InputError
from pollux.media.resolution import PATCHES, Resolution, fitted

MAX_FPS = 120.0
TIME = re.compile(r"(?:(?:(\d{1,6}):)?(\d{1,6}):)?(\d{1,9}(?:\.\d{1,9})?)")


@dataclass(frozen=True, kw_only=True)
class View:
    """`fps`: frames of a film looked at a second; `start` and `end` in seconds, of sound too.

    `detail`: pictures have so many times the patches of their resolution.
    """

    resolution: Resolution = "medium"
    fps: float = 1.0
    start: float = 0.0
    end: float | None = None
    detail: int = 1

    def __post_init__(self) -> None:
        if self.resolution not in PATCHES:
            raise InputError(f"no resolution {self.resolution!r}; there are {', '.join(PATCHES)}")
        if not 0 < self.fps <= MAX_FPS:
            raise InputError(f"{self.fps:g} frames a second cannot be taken; give 0 to {MAX_FPS:g}")
        if not 0 <= self.start < math.inf:
            raise InputError(f"a start of {self.start:g} s cannot be; give 0 or more")
        if self.end is not None and not self.start < self.end:
            raise InputError(f"an end of {self.end:g} s is not after the start, {self.start:g} s")

    def fitted(self, width: int | float, height: int | float) -> tuple[int, int]:
        """Width and height that a picture is scaled to."""
        return fitted(width, height, self.resolution, self.detail)


VIEW = View()


def seconds_of(text: str) -> float:
    """12.5, 01:42 or 01:42:17 in seconds; InputError for what is no time."""
    found = TIME.fullmatch(text.strip())
    if not found:
        raise InputError(f"{text[:40]!r} is no time, as in 90, 01:30 or 01:30:00")
    hours, minutes, seconds = (float(number or 0) for number in found.groups())
    return 3600 * hours + 60 * minutes + seconds
