# SPDX-License-Identifier: Apache-2.0
"""Pictures and films, written down: the words that a model without eyes reads.

What is written there (engine/spelling.py): a line for a picture, and in a film where other writing
appears. Of a picture that is one drawn thing its name besides (engine/naming.py).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from pollux.engine import naming, spelling
from pollux.media.piece import Picture, Piece, Sound, Words, clock
from pollux.prompt import BREAK, ON, PICTURE, SHOWS

ALIKE = 0.8  # of what is written, from which on it is the same, read a little otherwise
GLIMPSED = 6  # letters and digits on one frame of a film alone: fewer were leaves or waves
STILL = 3.0  # of 255: a frame whose blocks differ by less from one looked at is not looked at
BLOCK = 16  # pixels, each side of such a block


class Sight(NamedTuple):
    """What is written on a picture, and how sure that is."""

    text: str
    sure: float


Looked = Callable[[np.ndarray], Sight]


def sight(frame: UInt8[np.ndarray, "H W 3"]) -> Sight:
    return Sight(*spelling.text_of(spelling.lines(frame)))


@dataclass
class Run:
    """Writing that stays for some frames: the surest reading of it, since when, on how many."""

    text: str
    sure: float
    seconds: float | None
    frames: int = 1


class Look:
    """Not looked again where nothing changed."""

    def __init__(self) -> None:
        self.frame: UInt8[np.ndarray, "H W 3"] | None = None
        self.found = Sight("", 0.0)

    def __call__(self, frame: UInt8[np.ndarray, "H W 3"]) -> Sight:
        if self.frame is None or not _same(self.frame, frame):
            self.frame, self.found = frame, sight(frame)
        return self.found


def written_down(
    pieces: Iterable[Piece], name: str, look: Looked | None = None
) -> Iterator[Words | Sound]:
    """Lines of words for each picture with something on it; in a film, where other writing appears.

    Sound and words are passed on, but for a film's times.
    """
    last, look = Run("", 0.0, None), look or Look()
    for piece in pieces:
        match piece:
            case Words() if piece.seconds is None:
                yield piece
            case Picture() if piece.seconds is None:
                if text := look(piece.pixels).text:
                    yield Words(text=f"{ON}{name}: {text}", page=piece.page)
                if things := BREAK.join(one.name for one in naming.things(piece.pixels)):
                    yield Words(text=f"{PICTURE}{name}{SHOWS}{things}", page=piece.page)
            case Picture():
                text, sure = look(piece.pixels)
                if SequenceMatcher(None, text, last.text, False).ratio() >= ALIKE:
                    last = replace(last, frames=last.frames + 1)
                    last = max(last, replace(last, text=text, sure=sure), key=lambda run: run.sure)
                    continue
                yield from _said(last)
                last = Run(text, sure, piece.seconds)
            case Sound():
                yield piece
    yield from _said(last)


def _said(run: Run) -> Iterator[Words]:
    letters = sum(map(str.isalnum, run.text))
    if run.seconds is not None and letters >= (1 if run.frames > 1 else GLIMPSED):
        yield Words(text=f"{clock(run.seconds)} {run.text}", seconds=run.seconds)


def _same(before: UInt8[np.ndarray, "H W 3"], after: UInt8[np.ndarray, "H W 3"]) -> bool:
    """Whether nothing changed but noise."""
    if before.shape != after.shape:
        return False
    apart = np.abs(before.astype(np.int16) - after).mean(-1)
    high, wide = (side // BLOCK * BLOCK for side in apart.shape)
    blocks = apart[:high, :wide].reshape(high // BLOCK, BLOCK, wide // BLOCK, BLOCK).mean((1, 3))
    return bool(blocks.max(initial=0.0) < STILL)
