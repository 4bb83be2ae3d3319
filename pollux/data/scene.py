# SPDX-License-Identifier: Apache-2.0
"""What is to be seen and heard, and where: the document of an example for eyes and ears.

A scene is pieces in reading order (media/piece.py, or token ids), as `pollux.interleaved` takes
them. Its events know their places by piece, so they hold whatever the interleaving puts between.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from pollux.media.mel import SECOND, TOKEN_FRAMES
from pollux.media.piece import Picture, Piece, Sound
from pollux.media.resolution import PATCH

SOUND_TOKENS = SECOND // TOKEN_FRAMES  # a second
Kind = Literal["written", "shown", "said"]


class Place(NamedTuple):
    """Patches or tokens of sound [start, end) of one piece."""

    piece: int
    start: int
    end: int


class Mark(NamedTuple):
    """On one picture: patches [from, to) of every character written, or of the one thing shown."""

    kind: Kind
    text: str
    spans: tuple[tuple[int, int], ...]
    chinese: bool = False
    fact: str = ""
    value: str = ""

    def event(self, piece: int, name: str, seconds: float | None = None) -> "Event":
        return Event(
            kind=self.kind,
            text=self.text,
            places=tuple(Place(piece, *span) for span in self.spans),
            name=name,
            seconds=seconds,
            chinese=self.chinese,
            fact=self.fact,
            value=self.value,
        )


@dataclass(frozen=True, kw_only=True)
class Event:
    """`places`: of every character of what is written or said; the one of what is shown.

    `to`: the last place where it is there, if it is there for a while. `name`: of the part.
    """

    kind: Kind
    text: str
    places: tuple[Place, ...]
    name: str
    to: Place | None = None
    seconds: float | None = None  # where it begins, in film and sound
    chinese: bool = False
    fact: str = ""  # what it states a value of, as a question has it: the secret word
    value: str = ""

    @property
    def first(self) -> Place:
        return self.places[0]

    @property
    def last(self) -> Place:
        return self.to or self.places[-1]


@dataclass
class Scene:
    """`genre`: pictures, recording or film. `samples`: what its sound was made of, 16 kHz."""

    genre: str
    pieces: list[Piece | np.ndarray] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    samples: np.ndarray | None = None

    @property
    def tokens(self) -> int:
        """Patches, sound and text, without the marks around them."""
        return sum(map(tokens_of, self.pieces))


def tokens_of(piece: Piece | np.ndarray) -> int:
    match piece:
        case Picture():
            return piece.pixels.shape[0] * piece.pixels.shape[1] // PATCH**2
        case Sound():
            return len(piece.mel) // TOKEN_FRAMES
        case np.ndarray():
            return len(piece)
    return 0


def starts(ids: np.ndarray, spans: np.ndarray, media: int) -> list[int]:
    """Where each piece's own tokens begin, its marks left out, by what interleaving gives.

    `media` is the id that all patches and tokens of sound have.
    """
    begins = []
    for start, end in spans:
        own = np.flatnonzero(ids[start:end] == media)
        begins.append(int(start) + int(own[0]) if len(own) else int(start))
    return begins


def at(places: Sequence[Place], begins: Sequence[int]) -> tuple[int, int]:
    """The tokens [from, to) of the document that `places` are on.

    Of what goes over several pieces, those in the last: there it is complete.
    """
    last = [place for place in places if place.piece == places[-1].piece]
    begin = begins[last[0].piece]
    return begin + min(p.start for p in last), begin + max(p.end for p in last)


def heard(seconds: np.ndarray, pieces: Sequence[int]) -> tuple[Place, ...]:
    """Places of stretches of sound, float [N, 2] in seconds; `pieces[n]` holds second n."""
    out = []
    for start, end in np.clip(seconds, 0, len(pieces) - 1e-3):
        second = int((start + end) / 2)  # of what goes over the border, the greater part
        low = int(max(0.0, start - second) * SOUND_TOKENS)
        high = int(np.ceil(min(1.0, end - second) * SOUND_TOKENS))
        out.append(Place(pieces[second], low, max(low + 1, high)))
    return tuple(out)
