# SPDX-License-Identifier: Apache-2.0
"""What a medium is decoded to, one at a time, in the order in which it is read.

Every piece knows its place: seconds from the beginning of the film or recording, the page of a
document. A piece of a still picture has neither.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from pollux.media.mel import BINS


@dataclass(frozen=True, kw_only=True)
class Words:
    """Text: a page's, or the label of a second of film, as in 01:42 and 01:42:17.

    `ends`, in seconds, of words that are said from `seconds` until then.
    """

    text: str
    seconds: float | None = None
    page: int | None = None
    ends: float | None = None


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Sides are multiples of `resolution.PATCH`. `frame` counts from 0, `page` from 1."""

    pixels: UInt8[np.ndarray, "H W 3"]
    seconds: float | None = None
    frame: int | None = None  # in a film by its average rate
    page: int | None = None


@dataclass(frozen=True, kw_only=True)
class Sound:
    """Up to a second of log-mel frames, whole tokens of them, `seconds` being where it begins."""

    mel: Float32[np.ndarray, f"T {BINS}"]
    seconds: float


Piece = Words | Picture | Sound
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue: light
LONGEST_STILL = 3600.0  # seconds without anything new; a clock that leaps further is damaged


def light_of(pixels: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W"]:
    """In grey."""
    return np.rint(pixels @ GREY).astype(np.uint8)


def clock(seconds: float) -> str:
    """01:42 or, from an hour on, 01:42:17: as places in a reading are written."""
    minutes, second = divmod(int(seconds + 1e-6), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}" if hours else f"{minute:02}:{second:02}"
