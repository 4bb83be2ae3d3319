# SPDX-License-Identifier: Apache-2.0
"""Where in the user's files a position of a reading is: part, line, column, byte, time, page.

Everything is counted from the tokens: a newline is always a token of its own, and a token knows
its bytes.
"""

import bisect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from pollux.errors import InputError
from pollux.media.piece import clock
from pollux.memory.manifest import Mark, PartSpan
from pollux.memory.reading import Reading

LINES_UP = 20  # how far above a line its time may stand
STAMP_TOKENS = 48  # enough of a line for a timestamp, even byte by byte and indented
COUNTED = 1 << 20  # tokens looked up at once
# [dd:hh:mm:ss], [hh:mm:ss] or [mm:ss], the bracket being optional
TIME = re.compile(r"\s*[\[(<]?(-?(?:(?:\d{2,3}:)?\d{2,3}:[0-5]\d|\d{2,3}):[0-5]\d)(?![\d:])")


@runtime_checkable
class Decoder(Protocol):
    """What is needed of a tokenizer."""

    @property
    def newline(self) -> int: ...

    @property
    def form_feed(self) -> int: ...

    @property
    def byte_lengths(self) -> np.ndarray: ...

    def decode(self, ids: Iterable[int]) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Place:
    """Line and column count from 1, in characters; `byte` from 0, both in the part's text.

    `page`, from 1, is that of a document. Of a `medium`, a picture, sound or film, line, column and
    byte are its beginning; where there is time, `time` and `milliseconds` say where, and `frame`,
    from 0, what was on the screen.
    """

    part: str
    line: int
    column: int
    byte: int
    time: str | None = None
    page: int | None = None
    medium: str | None = None
    milliseconds: int | None = None
    frame: int | None = None

    def __str__(self) -> str:
        if self.page is not None:
            return f"{self.part} page {self.page}"
        if self.medium is not None:
            return self.part + (f" {self.time}" if self.time else "")
        return f"{self.part}:{self.line}" + (f" ({self.time})" if self.time else "")


def place_of(reading: Reading, tokenizer: Decoder, position: int) -> Place:
    """The place of a token. Header tokens are at the text's beginning; IndexError on padding."""
    part = reading.part_of(position)
    position = max(position, part.text_start)
    if not part.is_text and part.kind != "pdf":
        return medium_place(part, position)
    newlines = newlines_between(reading, tokenizer, part.text_start, position)
    start = line_start(part, newlines)
    return Place(
        part=part.name,
        line=len(newlines) + 1,
        column=column_of(reading, tokenizer, part, start, position),
        byte=bytes_between(reading, tokenizer, part.text_start, position),
        time=time_above(reading, tokenizer, part, newlines),
        page=page_of(reading, tokenizer, part, position),
    )


def medium_place(part: PartSpan, position: int) -> Place:
    """The place of a token of a picture, of sound or of film, by the mark it stands behind."""
    place = Place(part=part.name, line=1, column=1, byte=0, medium=part.kind)
    mark = mark_of(part, position)
    if mark is None:
        return place
    place = replace(place, page=positive(mark.page), frame=positive(mark.frame))
    if mark.milliseconds < 0:
        return place
    passed = mark.milliseconds + mark.step * max(0, position - part.start - mark.at)
    return replace(place, milliseconds=passed, time=clock(passed / 1000))


def mark_of(part: PartSpan, position: int) -> Mark | None:
    """The last mark at or before `position`; the first where there is none."""
    if not part.marks:
        return None
    index = bisect.bisect_right(part.marks, position - part.start, key=lambda mark: mark.at)
    return part.marks[max(0, index - 1)]


def positive(number: int) -> int | None:
    """None for -1, which stands for nothing."""
    return number if number >= 0 else None


def context(
    reading: Reading, tokenizer: Decoder, start: int, end: int, margin_tokens: int = 24
) -> str:
    """The text of positions `start` to before `end` and a margin, clipped to the part's text."""
    part = reading.part_of(start)
    end = min(max(end, part.text_start) + margin_tokens, part.end)
    start = max(start - margin_tokens, part.text_start)
    # A margin may begin or end inside a character; its torn bytes decode to U+FFFD.
    return tokenizer.decode(reading.tokens[start:end].tolist()).strip("\ufffd")


def line_text(reading: Reading, tokenizer: Decoder, position: int) -> str:
    """The whole line that `position` is in, without its newline."""
    part = reading.part_of(position)
    position = max(position, part.text_start)
    start = line_start(part, newlines_between(reading, tokenizer, part.text_start, position))
    after = newlines_between(reading, tokenizer, position, part.end)
    end = int(after[0]) if len(after) else part.end
    return tokenizer.decode(reading.tokens[start:end].tolist()).rstrip("\r")


def newlines_between(reading: Reading, tokenizer: Decoder, start: int, end: int) -> np.ndarray:
    """Positions of newlines, int64, ascending."""
    return np.flatnonzero(reading.tokens[start:end] == tokenizer.newline) + start


def page_of(reading: Reading, tokenizer: Decoder, part: PartSpan, position: int) -> int | None:
    """Counted from 1: a form feed begins every page of a PDF but the first."""
    if part.kind != "pdf":
        return None
    if mark := mark_of(part, position):
        return mark.page
    ids = reading.tokens[part.text_start : position + 1]
    return int(np.count_nonzero(ids == tokenizer.form_feed)) + 1


def line_start(part: PartSpan, newlines: np.ndarray) -> int:
    """First position of the line after the last of `newlines`."""
    return int(newlines[-1]) + 1 if len(newlines) else part.text_start


def line_span(
    reading: Reading, tokenizer: Decoder, part: PartSpan, first: int, last: int
) -> tuple[int, int]:
    """Positions of lines `first` to `last`, from 1, with their newlines, end excluded.

    With `last` = `first` - 1 the empty place before line `first`. InputError beyond the text.
    """
    newlines = newlines_between(reading, tokenizer, part.text_start, part.end)
    starts = [part.text_start, *(newlines + 1).tolist()]
    if starts[-1] != part.end:
        starts.append(part.end)
    lines = len(starts) - 1
    if not (1 <= first <= lines + 1 and first - 1 <= last <= lines):
        raise InputError(f"there are no lines {first} to {last} in {part.name}: it has {lines:,}")
    return starts[first - 1], starts[last]


def byte_spots(
    reading: Reading, tokenizer: Decoder, part: PartSpan, offsets: Sequence[int]
) -> list[tuple[int, int]]:
    """Of each byte of the part's text the position of its token, and which of its bytes it is.

    The byte after the last one is the first after the last token. InputError beyond.
    """
    wanted = np.array(offsets, np.int64)
    positions, inside = np.full(len(wanted), -1), np.zeros(len(wanted), np.int64)
    size = 0
    for at in range(part.text_start, part.end, COUNTED):
        ids = reading.tokens[at : min(at + COUNTED, part.end)]
        begins = size + np.pad(np.cumsum(lengths_of(tokenizer, ids), dtype=np.int64), (1, 0))
        here = (wanted >= size) & (wanted < begins[-1])
        index = np.searchsorted(begins, wanted[here], side="right") - 1
        positions[here] = at + index
        inside[here] = wanted[here] - begins[index]
        size = int(begins[-1])
    positions[wanted == size] = part.end
    if (outside := wanted[positions < 0]).size:
        raise InputError(f"there is no byte {outside[0]:,} in {part.name}: it has {size:,}")
    return list(zip(positions.tolist(), inside.tolist(), strict=True))


def lengths_of(tokenizer: Decoder, ids: np.ndarray) -> np.ndarray:
    """UTF-8 bytes of each id, int32; ids beyond the text's are codes of pictures and have none."""
    lengths = tokenizer.byte_lengths
    return np.where(ids < len(lengths), lengths[np.minimum(ids, len(lengths) - 1)], 0)


def bytes_between(reading: Reading, tokenizer: Decoder, start: int, end: int) -> int:
    """UTF-8 bytes of the text of positions `start` to before `end`."""
    total = 0
    for at in range(start, end, COUNTED):
        ids = reading.tokens[at : min(at + COUNTED, end)]
        total += int(lengths_of(tokenizer, ids).sum(dtype=np.int64))
    return total


def column_of(
    reading: Reading, tokenizer: Decoder, part: PartSpan, start: int, position: int
) -> int:
    """Characters from the line's `start` to `position`, from 1; a torn character is one."""
    before = bytes_between(reading, tokenizer, start, position)
    whole = min(position + 4, part.end)  # the rest of a character written byte by byte
    text = tokenizer.decode(reading.tokens[start:whole].tolist()).encode("utf-8", "replace")
    line = np.frombuffer(text, np.uint8)
    begins = (line & 0xC0) != 0x80  # bytes that begin a character
    inside = before < len(line) and not begins[before]
    return int(begins[:before].sum()) + (0 if inside else 1)


def time_above(
    reading: Reading, tokenizer: Decoder, part: PartSpan, newlines: np.ndarray
) -> str | None:
    """The timestamp that opens the line after `newlines`, or one of the LINES_UP lines above."""
    starts = [part.text_start, *(newlines[-LINES_UP - 1 :] + 1).tolist()]
    for start in reversed(starts[-LINES_UP - 1 :]):
        ids = reading.tokens[start : min(start + STAMP_TOKENS, part.end)].tolist()
        line = tokenizer.decode(ids).partition("\n")[0]
        if found := TIME.match(line):
            return found[1]
    return None
