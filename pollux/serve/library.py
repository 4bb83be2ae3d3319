# SPDX-License-Identifier: Apache-2.0
"""Readings of what requests bring along, kept by content, so that nothing is read twice.

Of media also by how they are looked at.

Every part is a reading of its own: prompts that share a part share its reading, wherever it stands
in them. Short ones are kept in memory, long ones on disk, where they outlive the process.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from pollux import prompt
from pollux.engine import media, reader, shelf
from pollux.engine.answer import Respondent
from pollux.engine.model import Loaded
from pollux.media.part import Kind, Part
from pollux.media.view import VIEW, View
from pollux.memory.reading import Reading
from pollux.serve.work import Ticket

SHORT = 16_384  # characters: shorter parts are read together, and again after a restart
LITTLE, LITTLE_STEP = 1_024, 512  # characters that are read in steps of fewer tokens
KEPT = 4_096  # readings at hand
KEPT_BYTES = 256 << 20  # of them in memory
OPEN = 64  # combinations of readings kept open for questions


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Context with a reading of its own, and where it came from: "files/ID", "" for the request."""

    key: str  # of its reading
    origin: str
    characters: int  # of a medium, bytes: how much there is to do
    parts: Callable[[], Iterable[Part]]
    path: Path | None = None  # where its reading stays; None: on the shelf, or in memory
    kind: Kind = "text"
    view: View = VIEW


class Library:
    def __init__(self, model: Loaded, directory: Path):
        """`directory` holds the long readings; the longest unused are deleted (engine/shelf.py)."""
        self.model, self.directory = model, directory
        self.lock = threading.Lock()
        self.at_hand: OrderedDict[str, Reading] = OrderedDict()
        self.counts: OrderedDict[str, int] = OrderedDict()
        self.respondents: OrderedDict[tuple[str, ...], Respondent] = OrderedDict()
        self.held = 0  # bytes in memory of what is at hand
        # A lock is there as long as somebody reads or waits.
        self.being_read: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    def piece(self, part: Part, view: View = VIEW) -> Piece:
        """A piece of that one part."""
        held = part.content.data if part.content else b""
        return Piece(
            key=shelf.key_of(self.model, [part], view),
            origin="",
            characters=max(len(part.text), len(held)),
            parts=lambda: [part],
            kind=part.kind,
            view=view,
        )

    def find(self, piece: Piece) -> Reading | None:
        """Its reading, if there is one in memory or on disk."""
        with self.lock:
            if found := self.at_hand.get(piece.key):
                self.at_hand.move_to_end(piece.key)
                return found
        directory = piece.path.parent if piece.path else self.directory
        found = shelf.find(self.model, piece.path.stem if piece.path else piece.key, directory)
        if found:
            self.keep(piece.key, found)
        return found

    def count(
        self, piece: Piece, most: int | float = math.inf, check: Callable[[], None] = lambda: None
    ) -> int:
        """Tokens that its reading has, without reading it.

        Media are decoded for it, until there are more than `most`; `check` is called meanwhile.
        """
        with self.lock:
            if (known := self.counts.get(piece.key)) is not None:
                return known
        if found := self.find(piece):
            return found.num_valid
        tokenizer, number = self.model.tokenizer, 0
        for part in piece.parts():
            number += len(prompt.part_header(tokenizer, part.name))
            if not media.is_mixed(self.model, part):
                number += sum(len(tokenizer.encode(text)) for text in reader.pieces(part.text))
                continue
            for one in media.sequence(self.model, part, media.Way(view=piece.view), 0, []):
                number += len(one.ids)
                check()
                if number > most:
                    return number
        self._count(piece.key, number)
        return number

    def readings(
        self, pieces: Sequence[Piece], ticket: Ticket, report: reader.Report = lambda done: None
    ) -> tuple[list[Reading], list[bool]]:
        """A reading for each piece, and whether it was there already."""

        def check(progress: reader.Progress) -> None:
            ticket.check()
            report(progress)

        found = {piece.key: self.find(piece) for piece in pieces}
        there = [found[piece.key] is not None for piece in pieces]
        absent = {piece.key: piece for piece in pieces if found[piece.key] is None}
        short = [p for p in absent.values() if _is_short(p)]
        if short:
            parts = [part for piece in short for part in piece.parts()]
            size = _step(sum(piece.characters for piece in short))
            together = reader.read(self.model, parts, report=check, size=size)
            for piece, span in zip(short, together.parts, strict=True):
                found[piece.key] = together.alone(span)
                self.keep(piece.key, together.alone(span))
        for piece in absent.values():
            if not _is_short(piece):
                found[piece.key] = self._read_once(piece, ticket, check)
        return [reading for piece in pieces if (reading := found[piece.key])], there

    def _read_once(self, piece: Piece, ticket: Ticket, report: reader.Report) -> Reading:
        """Whoever comes second waits for the first. Nobody holds two of these locks."""
        with self.lock:
            lock = self.being_read.setdefault(piece.key, threading.Lock())
        while not lock.acquire(timeout=0.25):
            ticket.check()
        try:
            if reading := self.find(piece):
                return reading
            if piece.path:
                size = _step(piece.characters)
                reading = reader.read(self.model, piece.parts(), piece.path, report, size=size)
            else:
                parts = list(piece.parts())
                reading, _ = shelf.read_or_open(
                    self.model, parts, report, self.directory, piece.view, key=piece.key
                )
            self.keep(piece.key, reading)
            return reading
        finally:
            lock.release()

    def respondent(self, keys: Sequence[str], readings: Sequence[Reading]) -> Respondent:
        """What answers from these readings side by side; the last few are kept open."""
        name = tuple(keys)
        with self.lock:
            if found := self.respondents.get(name):
                self.respondents.move_to_end(name)
                return found
        made = Respondent(self.model, Reading.combine(readings))
        with self.lock:
            self.respondents[name] = made
            while len(self.respondents) > OPEN:
                self.respondents.popitem(last=False)
        return made

    def forget(self, key: str) -> None:
        """Closes what is open of a reading that was deleted."""
        with self.lock:
            self._let_go(key)
            for name in [name for name in self.respondents if key in name]:
                del self.respondents[name]

    def keep(self, key: str, reading: Reading) -> None:
        """Has it at hand for the next time; those longest unused make room."""
        with self.lock:
            self._let_go(key)
            self.at_hand[key] = reading
            self.held += _in_memory(reading)
            while len(self.at_hand) > 1 and (len(self.at_hand) > KEPT or self.held > KEPT_BYTES):
                self._let_go(next(iter(self.at_hand)))
        self._count(key, reading.num_valid)

    def _let_go(self, key: str) -> None:
        if gone := self.at_hand.pop(key, None):
            self.held -= _in_memory(gone)

    def _count(self, key: str, tokens: int) -> None:
        with self.lock:
            self.counts[key] = tokens
            while len(self.counts) > 4 * KEPT:
                self.counts.popitem(last=False)


def _is_short(piece: Piece) -> bool:
    """Whether it is read together with others."""
    return piece.characters < SHORT and not piece.path and piece.view == VIEW


def _step(characters: int) -> int | None:
    """Tokens that so much is read by; None: as many as the reader likes."""
    return LITTLE_STEP if characters < LITTLE else None


def _in_memory(reading: Reading) -> int:
    """Bytes; none of what is on disk."""
    return reading.nbytes if reading.path is None else 0
