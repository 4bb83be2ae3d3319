# SPDX-License-Identifier: Apache-2.0
"""Reading: parts in, memory out, in chunks of one fixed shape.

Cost and memory in use do not depend on the length.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import jax
import numpy as np

from pollux import prompt
from pollux.config import BLOCK
from pollux.engine.model import Chunk, Loaded
from pollux.media.part import Part
from pollux.memory.reading import Reading
from pollux.memory.store import PartSpan, Writer
from pollux.tokenizer import Tokenizer

CHUNK = 4_096  # tokens a step
PIECE = 1 << 18  # characters tokenized at a time, to the end of their line


@dataclass
class Progress:
    """What has been read; given to the caller after every chunk."""

    characters: int = 0
    tokens: int = 0
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


def chunks(runs: Iterable[Run]) -> Iterator[list[Run]]:
    """Runs cut and packed into chunks of CHUNK tokens; the last may be shorter."""
    chunk, room = [], CHUNK
    for run in runs:
        tokens, characters = run.tokens, run.characters
        while len(tokens):
            now, tokens = tokens[:room], tokens[room:]
            share = 0 if len(tokens) else characters
            chunk.append(Run(run.part, now, share, BLOCK if len(tokens) else run.valid))
            room -= len(now)
            if not room:
                yield chunk
                chunk, room = [], CHUNK
    if chunk:
        yield chunk


def memories(model: Loaded, runs: Iterable[Run]) -> Iterator[tuple[list[Run], Chunk]]:
    """Reads, one chunk ahead of what is handed out, so that storing overlaps computing."""
    state, ahead = model.empty_state(), None
    for chunk in chunks(runs):
        tokens = np.concatenate([run.tokens for run in chunk])
        segment = np.concatenate([np.full(len(run.tokens), run.part) for run in chunk])
        padding = CHUNK - len(tokens)
        tokens, segment = np.pad(tokens, (0, padding)), np.pad(segment, (0, padding), mode="edge")
        got, state = model.read_chunk(tokens.astype(np.int32), segment.astype(np.int32), state)
        if ahead:
            yield ahead[0], jax.device_get(ahead[1])
        ahead = chunk, got
    if ahead:
        yield ahead[0], jax.device_get(ahead[1])


def read(
    model: Loaded,
    parts: Iterable[Part],
    path: Path | None = None,
    report: Report = lambda progress: None,
) -> Reading:
    """Reads every part, into the file at `path` or memory. Stopped halfway, it leaves nothing."""
    if path is None:
        return _read(model, parts, Kept(model), report)
    with Writer.create(path, model.shape, model.fingerprint, model.tokenizer.fingerprint) as writer:
        return _read(model, parts, writer, report)


def _read(model: Loaded, parts: Iterable[Part], sink: "Writer | Kept", report: Report) -> Reading:
    progress, seen, open_part = Progress(), {}, -1

    def runs() -> Iterator[Run]:
        for number, part in enumerate(parts):
            header = len(prompt.part_header(model.tokenizer, part.name))
            digest = hashlib.sha256(part.text.encode("utf-8", "replace")).hexdigest()
            seen[number] = (part.name, part.kind, part.note), header, digest
            yield from part_tokens(model.tokenizer, number, part)

    for chunk, got in memories(model, runs()):
        keys, values, key_scales, value_scales = map(np.asarray, got)
        at = 0
        for run in chunk:
            if run.part != open_part:
                if open_part >= 0:
                    sink.end_part(*seen.pop(open_part)[1:])
                open_part = run.part
                sink.begin_part(*seen[open_part][0])
            size, blocks = len(run.tokens), slice(at // BLOCK, (at + len(run.tokens)) // BLOCK)
            sink.append(
                keys[at : at + size],
                values[at : at + size],
                key_scales[blocks],
                value_scales[blocks],
                run.tokens.astype(np.uint16),
                valid=run.valid,
            )
            at += size
            progress.tokens += size - BLOCK + run.valid
            progress.characters += run.characters
        report(progress)
    sink.end_part(*seen.pop(open_part)[1:])
    return sink.finish()


class Kept:
    """What Writer does on disk, in memory: for readings that need not outlive the process."""

    def __init__(self, model: Loaded):
        self.model = model
        self.columns: tuple[list[np.ndarray], ...] = ([], [], [], [], [])
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

    def end_part(self, header_tokens: int, sha256: str) -> None:
        name, kind, note = self.about
        span = PartSpan(
            name=name,
            kind=kind,
            note=note,
            start=self.start,
            text_start=self.start + header_tokens,
            end=self.end,
            sha256=sha256,
        )
        self.parts.append(span)

    def finish(self) -> Reading:
        keys, values, key_scales, value_scales, tokens = map(np.concatenate, self.columns)
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
