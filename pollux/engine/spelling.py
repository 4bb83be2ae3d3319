# SPDX-License-Identifier: Apache-2.0
"""What is written on a picture: lines of text.

A spotter says where letters are (engine/spotting.py); a speller reads what is there, strip by
strip. What several sizes of the picture have shown is taken from the one where it was surest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import groupby, islice, pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from pollux import checkpoint
from pollux.config import LETTERS, STRIP, STRIP_SIZE
from pollux.engine import spotting
from pollux.engine.spotting import Row
from pollux.media.piece import light_of
from pollux.media.strip import strip
from pollux.model import speller
from pollux.model.along import NOTHING
from pollux.prompt import BREAK

GUESSES = 0.8, 1.0, 1.25  # times the size that letters seem to have: all are tried
SHOWN = 0.6  # times the size of letters, what is shown before a row and behind it
LENGTHS = 128, 256, 512, 1024  # pixels of strips: as many shapes to compile
AT_ONCE = 4  # strips
SURE = 0.6  # mean probability of a line's letters, at least;
FEW, SURE_FEW = 2, 0.9  # so few have to be as sure as that, to the spotter too
LEADING = 1.8  # times the size of letters: lines closer than that are one text
OVERLAP = 0.3  # share of a line that lies on another one
Strip = UInt8[np.ndarray, "32 _"]
SIGNS = " " + LETTERS + " "  # of the classes: nothing, the letters, the space


@dataclass(frozen=True)
class Line:
    """Letters in a row; pixels of the picture. `sure`: mean probability of its letters."""

    text: str
    sure: float
    left: float
    right: float
    middle: float
    size: float  # of its letters, about

    def follows(self, above: "Line") -> bool:
        """Whether it is the next line of the same text."""
        shared = min(self.right, above.right) - max(self.left, above.left)
        apart = self.middle - above.middle
        return shared > 0 and apart < LEADING * max(self.size, above.size)

    def covers(self, other: "Line") -> bool:
        near = abs(self.middle - other.middle) < 0.6 * max(self.size, other.size)
        shared = min(self.right, other.right) - max(self.left, other.left)
        shorter = min(self.right - self.left, other.right - other.left)
        return near and shared > OVERLAP * shorter


@dataclass(frozen=True)
class Shipped:
    weights: speller.Speller
    fingerprint: str


@cache
def shipped() -> Shipped:
    """The speller in the package. WeightsError where it is damaged."""
    path = Path(str(files("pollux") / "weights" / "speller.safetensors"))
    weights, _, fingerprint = checkpoint.load_speller(path)
    return Shipped(weights, fingerprint)


@jax.jit
def _probabilities(
    weights: speller.Speller, grey: UInt8[jax.Array, "N 32 W"]
) -> Float[jax.Array, "N verdicts classes"]:
    return jax.nn.softmax(speller.spell(weights, grey.astype(jnp.float32)))


def lines(pixels: UInt8[np.ndarray, "H W 3"]) -> list[Line]:
    """What is written there, from top to bottom."""
    tried: list[tuple[Row, float, list[Strip]]] = []
    for scale, light in spotting.scaled(light_of(pixels)):
        for row in spotting.rows_of(spotting.cells_of(light)):
            for times in GUESSES:
                guess = replace(row, size=times * row.size)
                tried.append((row, scale, [*strips_of(light, guess)]))
    spelt = iter(spelt_of([strip for *_, strips in tried for strip in strips]))
    found = (_line(row, scale, [*islice(spelt, len(strips))]) for row, scale, strips in tried)
    return chosen([line for line in found if line])


def strips_of(light: UInt8[np.ndarray, "H W"], row: Row) -> Iterator[Strip]:
    """A row, cut at a space where it is longer than a speller is shown."""
    way, scale = row.end - row.begin, row.size / STRIP_SIZE
    shown = SHOWN * row.size * way / np.hypot(*way)
    begin, end = row.begin - shown, row.end + shown
    most = 0.98 * LENGTHS[-1] * scale
    while np.hypot(*(end - begin)) > most:
        spaces = [at for at in row.spaces if begin[0] < at <= begin[0] + most]
        across = max(spaces, default=begin[0] + most)
        cut = begin + way * (across - begin[0]) / way[0]
        yield strip(light, begin, cut, scale, STRIP)
        begin = cut
    yield strip(light, begin, end, scale, STRIP)


def spelt_of(strips: Sequence[Strip]) -> list[tuple[str, list[float]]]:
    """The text of each strip and the probability of each of its letters."""
    found: list[tuple[str, list[float]]] = [("", [])] * len(strips)
    length = [next(most for most in LENGTHS if one.shape[1] <= most) for one in strips]
    order = sorted(range(len(strips)), key=lambda n: length[n])
    for wide, group in groupby(order, key=lambda n: length[n]):
        numbers = [*group]
        for at in range(0, len(numbers), AT_ONCE):
            own = numbers[at : at + AT_ONCE]
            grey = np.full((AT_ONCE, STRIP, wide), 128, np.uint8)
            for n, number in enumerate(own):
                one = strips[number]
                grey[n] = np.pad(one, ((0, 0), (0, wide - one.shape[1])), "edge")
            seen = np.asarray(_probabilities(shipped().weights, jnp.asarray(grey)))
            for n, number in enumerate(own):
                found[number] = _text(seen[n])
    return found


def _text(seen: Float[np.ndarray, "verdicts classes"]) -> tuple[str, list[float]]:
    """The likeliest class each time; what goes on over several verdicts is one letter."""
    likely = seen.argmax(-1)
    changes = np.flatnonzero(np.diff(likely, prepend=NOTHING, append=NOTHING))
    text, sure = "", []
    for begin, end in pairwise(changes.tolist()):
        if (kind := int(likely[begin])) != NOTHING:
            text += SIGNS[kind]
            sure.append(float(seen[begin:end, kind].max()))
    return text, sure


def _line(row: Row, scale: float, pieces: list[tuple[str, list[float]]]) -> Line | None:
    text = " ".join(" ".join(text for text, _ in pieces).split())
    letters = sum(sign != " " for sign in text)
    sure = [p for piece, own in pieces for sign, p in zip(piece, own, strict=True) if sign != " "]
    if not letters or np.mean(sure) < SURE:
        return None
    if letters <= FEW and min(np.mean(sure), row.sure) < SURE_FEW:
        return None
    (left, top), (right, bottom) = row.begin / scale, row.end / scale
    middle, size = float(top + bottom) / 2, row.size / scale
    return Line(text, float(np.mean(sure)), float(left), float(right), middle, size)


def chosen(found: list[Line]) -> list[Line]:
    """Of lines that were seen in several sizes the surest, from top to bottom."""
    kept: list[Line] = []
    for line in sorted(found, key=lambda line: -line.sure * len(line.text) ** 0.5):
        if not any(one.covers(line) for one in kept):
            kept.append(line)
    return sorted(kept, key=lambda line: (line.middle, line.left))


def text_of(found: list[Line]) -> tuple[str, float]:
    """All lines as one, and how sure the letters are."""
    if not found:
        return "", 0.0
    text = found[0].text
    for above, line in pairwise(found):
        text += (" " if line.follows(above) else BREAK) + line.text
    return text, float(np.mean([line.sure for line in found]))
