# SPDX-License-Identifier: Apache-2.0
"""Reading: parts in, memory out, in chunks of one fixed shape.

Cost and memory in use do not depend on the length.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import jax
import numpy as np

from pollux import interleaved, prompt
from pollux.config import BLOCK
from pollux.engine import media
from pollux.engine.chunk import Chunk, Seen
from pollux.engine.model import Loaded
from pollux.engine.scan import AT_ONCE
from pollux.interleaved import Interleaved
from pollux.media.part import Part
from pollux.media.view import VIEW, View
from pollux.memory.arrays import Growing
from pollux.memory.manifest import Mark
from pollux.memory.reading import Reading
from pollux.memory.store import PartSpan, Writer
from pollux.plan.cost import Steps
from pollux.plan.report import check_fits
from pollux.tokenizer import Tokenizer

CHUNK = 4_096  # tokens a step
PIECE = 1 << 18  # characters tokenized at a time, to the end of their line
LONG = 1 << 24  # characters of a part from which on its room is looked at before it is read
FEW = 1_024  # tokens of a medium that are put together before they go into a chunk


@dataclass
class Progress:
    """What has been read; given to the caller after every chunk."""

    characters: int = 0
    tokens: int = 0
    parts_kept: int = 0  # taken from an earlier reading, their tokens not counted
    notes: list[str] = field(default_factory=list)  # on parts that end where they are damaged
    began: float = field(default_factory=time.monotonic)

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / max(1e-9, time.monotonic() - self.began)


Report = Callable[[Progress], None]


def pieces(text: str) -> Iterator[str]:
    """`text` cut at ends of lines: tokenized one by one the pieces give the whole's tokens."""
    start = 0
    while start < len(text):
        end = text.find("\n", start + PIECE)
        end = len(text) if end < 0 else end + 1
        yield text[start:end]
        start = end


@dataclass(frozen=True)
class Run:
    """Consecutive tokens of one part, whole blocks; `valid` of the last block are real."""

    part: int
    tokens: np.ndarray
    characters: int
    valid: int = BLOCK
    media: Interleaved | None = None  # the tokens again, with what stands there


def part_tokens(tokenizer: Tokenizer, number: int, part: Part) -> Iterator[Run]:
    """Header and text of a part, padded at the end to a whole block."""
    rest, waiting = prompt.part_header(tokenizer, part.name), 0
    with ThreadPoolExecutor(1) as pool:
        for piece, ids in ahead(pool, tokenizer, pieces(part.text)):
            rest = np.concatenate([rest, ids])
            waiting += len(piece)
            whole = len(rest) // BLOCK * BLOCK
            if whole:
                yield Run(number, rest[:whole], waiting)
                rest, waiting = rest[whole:], 0
    if len(rest):
        padding = -len(rest) % BLOCK
        yield Run(number, np.pad(rest, (0, padding)), waiting, BLOCK - padding)


def media_tokens(
    model: Loaded, number: int, part: Part, way: media.Way, marks: list[Mark]
) -> Iterator[Run]:
    """Header and pieces of a medium, padded at the end to a whole block; `marks` grow meanwhile."""
    waiting = [interleaved.text(prompt.part_header(model.tokenizer, part.name))]
    size = len(waiting[0].ids)
    for one in media.sequence(model, part, way, size, marks):
        waiting.append(one)
        size += len(one.ids)
        if size >= FEW:
            together, whole = interleaved.joined(waiting), size // BLOCK * BLOCK
            ready = together.cut(0, whole)
            yield Run(number, ready.ids, 0, media=ready)
            waiting, size = [together.cut(whole, size)], size - whole
    if size:
        padding = -size % BLOCK
        last = interleaved.fitted(interleaved.joined(waiting), size + padding)
        yield Run(number, last.ids, 0, BLOCK - padding, last)


def runs_of(
    model: Loaded, number: int, part: Part, way: media.Way, marks: list[Mark]
) -> Iterator[Run]:
    """The tokens of any part; what is more than text gets `marks`."""
    if media.is_mixed(model, part):
        return media_tokens(model, number, part, way, marks)
    return part_tokens(model.tokenizer, number, part)


def ahead(
    pool: ThreadPoolExecutor, tokenizer: Tokenizer, texts: Iterator[str]
) -> Iterator[tuple[str, np.ndarray]]:
    """Each text and its tokens; the next one is tokenized while this one is read."""
    waiting: list[tuple[str, Future[np.ndarray]]] = []
    for text in texts:
        waiting.append((text, pool.submit(tokenizer.encode, text)))
        if len(waiting) > 1:
            first, ids = waiting.pop(0)
            yield first, ids.result()
    for text, ids in waiting:
        yield text, ids.result()


def chunks(runs: Iterable[Run], size: int) -> Iterator[list[Run]]:
    """Runs cut and packed into chunks of `size` tokens; the last may be shorter."""
    chunk, room = [], size
    for run in runs:
        at, end = 0, len(run.tokens)
        while at < end:
            until = min(at + room, end)
            share, valid = (run.characters, run.valid) if until == end else (0, BLOCK)
            shown = run.media and run.media.cut(at, until)
            chunk.append(Run(run.part, run.tokens[at:until], share, valid, shown))
            room, at = room - (until - at), until
            if not room:
                yield chunk
                chunk, room = [], size
    if chunk:
        yield chunk


def memories(
    model: Loaded, runs: Iterable[Run], size: int | None = None
) -> Iterator[tuple[list[Run], Chunk]]:
    """Reads, one chunk ahead of what is handed out, so that storing overlaps computing.

    `size`: tokens a step; CHUNK unless there is little to read.
    """
    state, ahead, size = model.empty_state(), None, size or CHUNK
    nothing = media.nothing_seen(model, size) if model.senses else None
    for chunk in chunks(runs, size):
        tokens = np.concatenate([run.tokens for run in chunk])
        segment = np.concatenate([np.full(len(run.tokens), run.part) for run in chunk])
        padding = size - len(tokens)
        tokens, segment = np.pad(tokens, (0, padding)), np.pad(segment, (0, padding), mode="edge")
        sequence = tokens.astype(np.int32), segment.astype(np.int32), state
        if nothing is None:
            got, state = model.read_chunk(*sequence)
        else:
            got, state = model.read_chunk(*sequence, seen(model, chunk, nothing))
        if ahead:
            yield ahead[0], jax.device_get(ahead[1])
        ahead = chunk, got
    if ahead:
        yield ahead[0], jax.device_get(ahead[1])


def seen(model: Loaded, chunk: Sequence[Run], nothing: Seen) -> Seen:
    """What stands in a chunk besides text."""
    shown = [run.media or interleaved.text(run.tokens) for run in chunk]
    return media.seen(model, shown, nothing)


def read(
    model: Loaded,
    parts: Iterable[Part],
    path: Path | None = None,
    report: Report = lambda progress: None,
    update: bool = False,
    size: int | None = None,
    view: View = VIEW,
    skip_unreadable: bool = False,
) -> Reading:
    """Reads every part, into the file at `path` or memory. Stopped halfway, it leaves nothing.

    `update`: parts that the reading at `path` holds already, unchanged, are taken from there.
    `size`: tokens a step; CHUNK unless there is little to read.
    `view`, `skip_unreadable`: of pictures, sound and film (media/stream.py).
    """
    way = media.Way(view=view, skip_unreadable=skip_unreadable)
    if path is None:
        return _read(model, parts, Kept(model), report, way, size=size)
    mine = model.fingerprint, model.tokenizer.fingerprint
    with Writer.create(path, model.shape, *mine) as writer:
        there = update and os.path.lexists(path)
        earlier = Reading.open(path, *mine) if there else None
        return _read(model, parts, writer, report, way, earlier, size)


@dataclass(frozen=True)
class Coming:
    """A part on its way into a reading; `kept` is where an earlier one has it."""

    about: tuple[str, str, str]  # name, kind, note
    header_tokens: int
    sha256: str
    kept: PartSpan | None
    marks: list[Mark] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)  # where it ends before it ought to

    @property
    def note(self) -> str:
        """The part's own and what was found out when it was decoded."""
        name, _, note = self.about
        return "; ".join(
            filter(None, [note, *(one.removeprefix(f"{name} ") for one in self.damage)])
        )


def check_room(model: Loaded, part: Part, path: Path | None) -> None:
    """SpaceError before a long text is read for which `path`, or the RAM, has no room."""
    if len(part.text) < LONG:
        return
    sample = part.text[len(part.text) // 2 :][:PIECE]
    tokens = len(model.tokenizer.encode(sample)) * len(part.text) // len(sample)
    check_fits(model.config, tokens, Steps(chunk=CHUNK, at_once=AT_ONCE), path)


def runs_noted(
    model: Loaded, number: int, part: Part, way: media.Way, coming: Coming
) -> Iterator[Run]:
    """The tokens of a part that is coming; where it turns out damaged it is noted there."""
    told = len(way.notes)
    yield from runs_of(model, number, part, way, coming.marks)
    coming.damage.extend(way.notes[told:])


def _read(
    model: Loaded,
    parts: Iterable[Part],
    sink: "Writer | Kept",
    report: Report,
    way: media.Way,
    earlier: Reading | None = None,
    size: int | None = None,
) -> Reading:
    known = {((p.name, p.kind, p.note), p.sha256): p for p in earlier.parts} if earlier else {}
    progress, current = Progress(notes=way.notes), -1
    coming: deque[Coming] = deque()  # the part being written and those after it

    def runs() -> Iterator[Run]:
        for number, part in enumerate(parts):
            header = len(prompt.part_header(model.tokenizer, part.name))
            digest = media.digest_of(model, part, way.view)
            about = part.name, part.kind, part.note
            kept = known.get((about, digest))
            coming.append(Coming(about, header, digest, kept))
            if not kept:
                check_room(model, part, sink.path if isinstance(sink, Writer) else None)
                yield from runs_noted(model, number, part, way, coming[-1])

    def end_part() -> None:
        """Ends the current part; then come those that need no reading."""
        if current >= 0:
            ended = coming.popleft()
            sink.end_part(ended.header_tokens, ended.sha256, ended.marks, ended.note)
        while earlier and coming and (kept := coming[0].kept):
            assert isinstance(sink, Writer)  # what is kept in memory has no earlier one
            sink.add(earlier.alone(kept))
            progress.parts_kept += 1
            coming.popleft()

    for chunk, got in memories(model, runs(), size):
        arrays, at = [np.asarray(array) for array in got], 0
        for run in chunk:
            if run.part != current:
                end_part()
                current = run.part
                sink.begin_part(*coming[0].about)
            end = at + len(run.tokens)
            columns = (*(array[at:end] for array in arrays), run.tokens.astype(np.uint16))
            sink.append(*columns, valid=run.valid)
            progress.tokens += len(run.tokens) - BLOCK + run.valid
            progress.characters += run.characters
            at = end
        report(progress)
    if earlier and [one.kept for one in coming] == [*earlier.parts]:
        progress.parts_kept = len(coming)
        report(progress)
        return earlier  # nothing changed
    end_part()
    report(progress)
    return sink.finish()


class Kept:
    """What Writer does on disk, in memory: for readings that need not outlive the process."""

    def __init__(self, model: Loaded):
        self.model = model
        self.columns = [Growing() for _ in range(5)]
        self.parts: list[PartSpan] = []
        self.tokens = self.start = self.end = 0
        self.about = ("", "", "")

    def begin_part(self, name: str, kind: str, note: str = "") -> None:
        self.about, self.start = (name, kind, note), self.tokens

    def append(self, *columns: np.ndarray, valid: int) -> None:
        for kept, column in zip(self.columns, columns, strict=True):
            kept.append(column)
        self.tokens += len(columns[-1])
        self.end = self.tokens - BLOCK + valid

    def end_part(self, header_tokens: int, sha256: str, marks: Sequence[Mark], note: str) -> None:
        name, kind, _ = self.about
        span = PartSpan(
            name=name,
            kind=kind,
            note=note,
            start=self.start,
            text_start=self.start + header_tokens,
            end=self.end,
            sha256=sha256,
            marks=tuple(marks),
        )
        self.parts.append(span)

    def finish(self) -> Reading:
        keys, values, key_scales, value_scales, tokens = (one.whole() for one in self.columns)
        return Reading.from_arrays(
            keys=keys,
            values=values,
            key_scales=key_scales,
            value_scales=value_scales,
            tokens=tokens,
            parts=self.parts,
            weights_fingerprint=self.model.fingerprint,
            tokenizer_fingerprint=self.model.tokenizer.fingerprint,
        )
