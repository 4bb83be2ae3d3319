# SPDX-License-Identifier: Apache-2.0
"""Lines of writing, cut out of pages as a spotter would have them: what a speller is trained on."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8

from pollux.config import SPACE, STRIP, STRIP_SIZE
from pollux.data import letters
from pollux.data.art import Art
from pollux.data.letters import Stood
from pollux.errors import RecipeError
from pollux.media.piece import light_of
from pollux.media.strip import strip

PAGE = 192, 320  # pixels that lines are drawn on
EMPTY = 0.06  # of the strips show no writing
PIXELS_A_LETTER = 6  # of a strip, at least, on the whole: a speller says no more
GUESS = 0.2  # how far the size of letters is misjudged: the deviation of its logarithm
ALOFT, TILT = 0.07, 0.012  # of the size, how far a line is off its middle; radians that it leans
MARGIN = 0.1, 1.3  # times the size, what is shown before a line and behind it


class Strips(NamedTuple):
    """Strips in grey, and their letters: 1 + their place in LETTERS, the space; 0 is none."""

    grey: Any  # UInt8 [N, 32, W], in NumPy or on the device
    letters: Any  # Int32 [N, most]


def batch(
    art: Art, rng: np.random.Generator, strips: int, width: int, evaluation: bool = False
) -> Strips:
    """RecipeError without fonts."""
    if not art.fonts:
        raise RecipeError("there are no fonts to draw with: pollux data prepare")
    grey = np.empty((strips, STRIP, width), np.uint8)
    spelt = np.zeros((strips, width // PIXELS_A_LETTER), np.int32)
    made = _strips(art, rng, width, evaluation)
    for n in range(strips):
        pixels, own = next(made)
        grey[n] = np.pad(pixels, ((0, 0), (0, width - pixels.shape[1])), "edge")
        spelt[n, : len(own)] = own + 1
    return Strips(grey, spelt)


def _strips(
    art: Art, rng: np.random.Generator, width: int, evaluation: bool
) -> Iterator[tuple[UInt8[np.ndarray, "32 w"], Int32[np.ndarray, " n"]]]:
    """One after another, without end, no longer than `width`, and the classes on them."""
    while True:
        pixels, lines = letters.lettered(art, rng, *PAGE, evaluation)
        light = light_of(pixels)
        for said in lines:
            if said.is_own:
                yield _cut(light, said, rng, width)
        if rng.random() < EMPTY * len(lines):
            bare = light_of(letters.worn(letters.background(art, rng, *PAGE), rng))
            begin = rng.uniform(0, PAGE[::-1]) * (0.7, 1.0)
            length = rng.uniform(0.1, 1.0) * (PAGE[1] - begin[0])
            scale = max(rng.uniform(0.6, 1.6), length / width)
            yield strip(bare, begin, begin + (length, 0.0), scale, STRIP), np.zeros(0, np.int32)


def _cut(
    light: UInt8[np.ndarray, "H W"], said: Stood, rng: np.random.Generator, width: int
) -> tuple[UInt8[np.ndarray, "32 w"], Int32[np.ndarray, " n"]]:
    """A line, or as much of a long one as there is room for: then it is cut between letters."""
    size = said.size * np.exp(np.clip(rng.normal(0, GUESS), -0.45, 0.45))
    scale = size / STRIP_SIZE
    before, behind = rng.uniform(*MARGIN, 2) * size
    room = width * scale - before - behind
    first = int(rng.integers(len(said.kind)))
    if said.right[-1] - said.left[0] <= room:
        first = 0
    while first and said.right[-1] - said.left[first - 1] <= room:
        first -= 1
    fit = np.flatnonzero(said.right[first:] - said.left[first] <= room)
    last = first + min(int(fit[-1]) if len(fit) else 0, width // PIXELS_A_LETTER - 1)
    while first < last and said.kind[first] == SPACE:
        first += 1
    while first < last and said.kind[last] == SPACE:
        last -= 1
    own = said.kind[first : last + 1]
    middle = said.middle[first : last + 1, 1].mean() + rng.normal(0, ALOFT) * size
    ends = said.left[first] - before, said.right[last] + behind
    lean = np.tan(rng.normal(0, TILT)) * (ends[1] - ends[0]) / 2
    points = np.array([[ends[0], middle - lean], [ends[1], middle + lean]])
    cut = strip(light, *points, max(scale, (ends[1] - ends[0]) / width), STRIP)
    if first:
        at = round(before / scale)
        cut[:, :at] = cut[:, at : at + 1]
    if last + 1 < len(said.kind):
        at = cut.shape[1] - round(behind / scale) - 1
        cut[:, at:] = cut[:, at : at + 1]
    return cut, own.astype(np.int32)
