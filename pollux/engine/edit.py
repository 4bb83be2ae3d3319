# SPDX-License-Identifier: Apache-2.0
"""Changing the text of a reading: only what the change reaches is read again.

A line tokenizes by itself (`tokenizer.py`), and a token depends on `receptive_field` tokens before
it at most. So the changed lines are tokenized anew, and what changed of their tokens is read again
with as many tokens before and after. The result is the reading of the changed text.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pollux.config import BLOCK
from pollux.engine import reader
from pollux.engine.model import Loaded
from pollux.errors import InputError
from pollux.memory.arrays import check_fingerprints
from pollux.memory.manifest import PartSpan
from pollux.memory.place import COUNTED, byte_spots, bytes_between, line_span, newlines_between
from pollux.memory.reading import Reading
from pollux.memory.splice import Patch, splice
from pollux.memory.store import Writer, check_space
from pollux.tokenizer import Tokenizer

LEAST_CHUNK = 1_024  # tokens a step when there is little to read

Spot = tuple[int, int]  # a token's number, and a byte inside it


@dataclass(frozen=True, kw_only=True)
class Change:
    """Bytes `start` to before `end` of a part's text, in UTF-8, become `text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Spliced:
    """Spots `start` to before `end` become `text`."""

    start: Spot
    end: Spot
    text: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Rewritten:
    """Tokens `start` to before `end` of a part become `ids`."""

    start: int
    end: int
    ids: np.ndarray


@dataclass(kw_only=True)
class Reread:
    """Tokens of the changed part: read from `context` on, kept from `start` to before `end`.

    They take the place of the old ones from `old_start` to before `old_end`.
    """

    context: int
    start: int
    end: int
    old_start: int
    old_end: int


def replace(model: Loaded, reading: Reading, span: tuple[int, int], text: str) -> Reading:
    """Positions from `span[0]` to before `span[1]`, in the text of one part, become `text`.

    An empty span inserts, an empty text deletes. `reading` stays as it was; parts without changes
    are shared. InputError when the span is not in one part's text or cuts a character.
    """
    start, end = span
    for part in reading.parts:
        if part.text_start <= start <= end <= part.end:
            alone = _alone(model, reading, part)
            first, last = (start - part.start, 0), (end - part.start, 0)
            change = Spliced(start=first, end=last, text=text)
            return _edit(model, reading, part, alone, [change])
    raise InputError(f"positions {start:,} to {end:,} are not inside the text of one part")


def replace_bytes(model: Loaded, reading: Reading, part: str, changes: Sequence[Change]) -> Reading:
    """All `changes` of the text of one part, at once; InputError when they overlap."""
    found = reading.find(part)
    alone = _alone(model, reading, found)
    offsets = [byte for change in changes for byte in (change.start, change.end)]
    spots = byte_spots(alone, model.tokenizer, alone.parts[0], offsets)
    spliced = [
        Spliced(start=start, end=end, text=change.text)
        for start, end, change in zip(spots[::2], spots[1::2], changes, strict=True)
    ]
    return _edit(model, reading, found, alone, spliced)


def replace_lines(
    model: Loaded, reading: Reading, part: str, lines: tuple[int, int], text: str
) -> Reading:
    """Lines `lines[0]` to `lines[1]`, from 1, become `text`, which is given an end of line.

    Lines (5, 4) are the empty place before line 5. Empty text deletes the lines.
    """
    found = reading.find(part)
    alone = _alone(model, reading, found)
    only = alone.parts[0]
    start, end = line_span(alone, model.tokenizer, only, *lines)
    if text and not text.endswith("\n") and _ends(alone, model, end):
        text += "\n"
    if text and start == only.end and not _ends(alone, model, start):
        text = "\n" + text  # after a last line without an end
    change = Spliced(start=(start, 0), end=(end, 0), text=text)
    return _edit(model, reading, found, alone, [change])


def _ends(alone: Reading, model: Loaded, position: int) -> bool:
    """A line ends before `position`, or the text begins there."""
    first = position == alone.parts[0].text_start
    return first or int(alone.tokens[position - 1]) == model.tokenizer.newline


def edit_saved(
    model: Loaded, path: Path, change: Callable[[Reading], Reading], output: Path | None = None
) -> Reading:
    """Changes the reading at `path`, or writes the changed one at `output`. Whole or not at all."""
    mine = model.fingerprint, model.tokenizer.fingerprint
    Reading.open(path, *mine)  # refused before anything is written
    with Writer.create(output or path, model.shape, *mine) as writer:
        reading = Reading.open(path, *mine)  # again, now that nobody else can replace it
        changed = change(reading)
        if changed is reading and output is None:
            return reading
        check_space(output or path, len(changed), changed.shape)
        writer.add(changed)
        return writer.finish()


def _alone(model: Loaded, reading: Reading, part: PartSpan) -> Reading:
    """The part by itself; ReadingError when it is damaged or other weights made it.

    InputError when it is more than text.
    """
    if not part.is_text:
        raise InputError(f"{part.name} is {part.kind}: only text can be changed; read it anew")
    alone = reading.alone(part)
    mine = model.fingerprint, model.tokenizer.fingerprint
    check_fingerprints(alone.stores[0], *mine, "the model's")
    alone.verify()
    return alone


def _edit(
    model: Loaded, reading: Reading, part: PartSpan, alone: Reading, changes: Sequence[Spliced]
) -> Reading:
    """The changes count from the part's first token, as the reading of it `alone` does."""
    rewritten = [
        trimmed
        for first, last, group in _by_lines(alone, model.tokenizer, changes)
        if (trimmed := _rewrite(alone, model.tokenizer, first, last, group))
    ]
    if not rewritten:
        return reading
    old = alone.tokens[: part.end - part.start]
    pieces, at = [], 0
    for one in rewritten:
        pieces += [old[at : one.start], one.ids.astype(np.uint16)]
        at = one.end
    tokens = np.concatenate([*pieces, old[at:]])
    rereads = _rereads(rewritten, model.config.receptive_field, len(tokens))
    patches = [
        Patch(start=one.old_start, end=one.old_end, columns=columns)
        for one, columns in zip(rereads, _read(model, tokens, rereads), strict=True)
    ]
    digest = text_digest(model.tokenizer, tokens[part.text_start - part.start :])
    return splice(reading, part, patches, digest)


def _by_lines(
    alone: Reading, tokenizer: Tokenizer, changes: Sequence[Spliced]
) -> list[tuple[int, int, list[Spliced]]]:
    """The changes by the whole lines that they touch: first token, one past the last, changes."""
    part = alone.parts[0]
    newlines = newlines_between(alone, tokenizer, part.text_start, part.end)
    groups: list[tuple[int, int, list[Spliced]]] = []
    before = (0, 0)
    for change in sorted(changes, key=lambda one: (one.start, one.end)):
        if change.end < change.start or change.start < before:
            raise InputError("the changes overlap, or one ends before it begins: give them apart")
        before = change.end
        above = int(np.searchsorted(newlines, change.start[0]))
        below = int(np.searchsorted(newlines, change.end[0]))
        first = int(newlines[above - 1]) + 1 if above else part.text_start
        last = int(newlines[below]) + 1 if below < len(newlines) else part.end
        if groups and first < groups[-1][1]:
            first, _, together = groups.pop()
            groups.append((first, last, [*together, change]))
        else:
            groups.append((first, last, [change]))
    return groups


def _rewrite(
    alone: Reading, tokenizer: Tokenizer, first: int, last: int, changes: Sequence[Spliced]
) -> Rewritten | None:
    """What changes of the tokens of some lines; None when nothing does."""
    ids = alone.tokens[first:last]
    old = tokenizer.decode(ids.tolist()).encode()
    new, at = b"", 0
    for change in changes:
        cuts = [
            bytes_between(alone, tokenizer, first, token) + byte
            for token, byte in (change.start, change.end)
        ]
        new += old[at : cuts[0]] + change.text.encode("utf-8", "replace")
        at = cuts[1]
    try:
        text = (new + old[at:]).decode()
    except UnicodeDecodeError:
        raise InputError("a change begins or ends inside a character: move it") from None
    made = tokenizer.encode(text)
    ahead = common(ids, made)
    behind = common(ids[ahead:][::-1], made[ahead:][::-1])
    start, end = first + ahead, last - behind
    made = made[ahead : len(made) - behind]
    return Rewritten(start=start, end=end, ids=made) if start < end or len(made) else None


def common(left: np.ndarray, right: np.ndarray) -> int:
    """How many first entries are equal."""
    size = min(len(left), len(right))
    unequal = np.flatnonzero(left[:size] != right[:size])
    return int(unequal[0]) if len(unequal) else size


def _rereads(rewritten: Sequence[Rewritten], reach: int, tokens: int) -> list[Reread]:
    """What the changes reach, in a part that comes to `tokens`; together where they are close.

    Reading begins at a block boundary, like that of a part, so that windows fall alike.
    """
    rereads: list[Reread] = []
    growth = 0
    for one in rewritten:
        start = one.start + growth
        growth += len(one.ids) - (one.end - one.start)
        end = min(one.end + growth + reach, tokens)
        context = max(0, start - reach) // BLOCK * BLOCK
        if rereads and context < rereads[-1].end:
            rereads[-1].end, rereads[-1].old_end = end, end - growth
        else:
            made = Reread(
                context=context, start=start, end=end, old_start=one.start, old_end=end - growth
            )
            rereads.append(made)
    return rereads


def _read(
    model: Loaded, tokens: np.ndarray, rereads: Sequence[Reread]
) -> list[tuple[np.ndarray, ...]]:
    """The columns of each reread, all of them packed into as few chunks as they fill."""
    runs = []
    for number, one in enumerate(rereads):
        size = one.end - one.context
        padded = np.pad(tokens[one.context : one.end], (0, -size % BLOCK))
        runs.append(reader.Run(number, padded, 0, BLOCK - -size % BLOCK))
    total = sum(len(run.tokens) for run in runs)
    size = min(reader.CHUNK, max(LEAST_CHUNK, 1 << (total - 1).bit_length()))
    pieces: list[list[list[np.ndarray]]] = [[] for _ in rereads]
    for chunk, got in reader.memories(model, runs, size):
        arrays, at = [np.asarray(array) for array in got], 0
        for run in chunk:
            rows = slice(at, at + len(run.tokens))
            pieces[run.part].append([array[rows] for array in arrays])
            at = rows.stop
    columns = []
    for one, parts in zip(rereads, pieces, strict=True):
        kept = slice(one.start - one.context, one.end - one.context)
        memory = [np.concatenate(column)[kept] for column in zip(*parts, strict=True)]
        columns.append((*memory, tokens[one.start : one.end]))
    return columns


def text_digest(tokenizer: Tokenizer, ids: np.ndarray) -> str:
    """sha256 of the text of `ids`, in hexadecimal; decoded some lines at a time."""
    digest, at = hashlib.sha256(), 0
    newlines = np.flatnonzero(ids == tokenizer.newline)
    while at < len(ids):
        below = int(np.searchsorted(newlines, at + COUNTED))
        end = int(newlines[below]) + 1 if below < len(newlines) else len(ids)
        digest.update(tokenizer.decode(ids[at:end].tolist()).encode())
        at = end
    return digest.hexdigest()
