# SPDX-License-Identifier: Apache-2.0
"""A long haystack in RAM, into which needles are put and taken out again.

A needle takes the place of whole lines of as many tokens, so nothing moves. Only what the exchanged
tokens reach is read again (engine/edit.py), only the stretches of keys that hold it are opened
again, and afterwards the old rows are put back: a trial costs the same at 10M tokens as at 10k,
but for the answer.
"""

import hashlib
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product

import numpy as np

from pollux import prompt
from pollux.engine import edit, reader, scan
from pollux.engine.answer import Respondent
from pollux.engine.edit import Rewritten
from pollux.engine.model import Loaded
from pollux.errors import InputError
from pollux.media.part import Part
from pollux.memory.manifest import SEGMENT
from pollux.memory.reading import Reading
from pollux.tokenizer import Tokenizer

NAME = "haystack.txt"
NEAR = 0.02  # of the text: how far from its depth a needle may be put for another neighbourhood
MORE_LINES = 3  # beyond those that have a needle's tokens
LEAST_LINE, MOST_LINE = 40, 1_000  # tokens, about: longer lines are broken
CHARACTERS = 3.4  # a token, about: measured on War and Peace
BATCH = 1_000  # lines tokenized at a time
SENTENCE_END = re.compile(r"[.!?…][\"'”’»)\]]*\s|[。！？][”’」』）]*")


@dataclass(frozen=True, kw_only=True)
class Source:
    """What haystacks are cut from; shorter than the haystack it is taken again and again."""

    names: tuple[str, ...]
    lines: tuple[str, ...]
    sha256: str


def source_of(parts: Iterable[Part]) -> Source:
    """The parts one after another; InputError when there is no text in them."""
    names, lines, digest = [], [], hashlib.sha256()
    for part in parts:
        names.append(part.name)
        digest.update(part.text.encode("utf-8", "replace"))
        lines += part.text.removesuffix("\n").split("\n")
    if not any(line.strip() for line in lines):
        raise InputError("the haystack is empty; name files with text in them")
    return Source(names=tuple(names), lines=tuple(lines), sha256=digest.hexdigest())


def broken(lines: Iterable[str], longest: int) -> Iterator[str]:
    """Lines of at most `longest` characters: longer ones end with a sentence, or else a word."""
    for line in lines:
        at = 0
        while len(line) - at > longest:
            head = line[at : at + longest]
            ends = [found.end() for found in SENTENCE_END.finditer(head)]
            size = (ends[-1] if ends else 0) or head.rfind(" ") + 1 or longest
            yield head[:size].rstrip(" ")
            at += size
        yield line[at:]


def cut(
    tokenizer: Tokenizer, source: Source, tokens: int, rng: np.random.Generator
) -> tuple[list[str], float]:
    """Lines of about `tokens` tokens from a random one on; how often the source stands in them.

    Of short haystacks no line is longer than a twentieth, so that every depth has a line's end.
    """
    longest = min(MOST_LINE, max(LEAST_LINE, tokens // 20))
    lines = list(broken(source.lines, int(longest * CHARACTERS)))
    start = int(rng.integers(len(lines)))
    lines = lines[start:] + lines[:start]
    sizes = line_sizes(tokenizer, lines, tokens)
    times, total = 1, int(sizes.sum())
    if len(sizes) == len(lines) and total < tokens:
        times = -(-tokens // total)
    count = int(np.searchsorted(np.cumsum(np.tile(sizes, times)), tokens, side="right"))
    whole = total if len(sizes) == len(lines) else None
    return (lines * times)[: max(1, count)], tokens / whole if whole else 0.0


def line_sizes(tokenizer: Tokenizer, lines: Sequence[str], enough: int) -> np.ndarray:
    """Tokens of each line with its newline, int64, of as many lines as have `enough` in all."""
    sizes, total = [np.zeros(0, np.int64)], 0
    for at in range(0, len(lines), BATCH):
        if total >= enough:
            break
        ids = tokenizer.encode("".join(f"{line}\n" for line in lines[at : at + BATCH]))
        sizes.append(np.diff(np.flatnonzero(ids == tokenizer.newline) + 1, prepend=0))
        total += len(ids)
    return np.concatenate(sizes)


@dataclass(frozen=True, kw_only=True, eq=False)
class Haystack:
    """A text read into RAM. Line i holds the tokens `starts[i]` to before `starts[i + 1]`."""

    model: Loaded
    lines: list[str]
    starts: np.ndarray  # int64 [lines + 1]
    reading: Reading
    respondent: Respondent
    repeats: float  # how often the whole source stands in it; 0: less than once

    @property
    def about(self) -> dict[str, float | int]:
        repeats = round(self.repeats, 3)
        return {"tokens": self.reading.num_valid, "lines": len(self.lines), "repeats": repeats}

    @property
    def tokens(self) -> np.ndarray:
        """Of the text and its header; writing to them changes the reading."""
        return self.reading.tokens[: self.reading.parts[0].end]


def read(
    model: Loaded,
    source: Source,
    tokens: int,
    rng: np.random.Generator,
    report: reader.Report = lambda progress: None,
) -> Haystack:
    """A haystack of about `tokens` tokens, header included."""
    header = len(prompt.part_header(model.tokenizer, NAME))
    lines, repeats = cut(model.tokenizer, source, tokens - header, rng)
    reading = read_lines(model, lines, report)
    part = reading.parts[0]
    newlines = np.flatnonzero(reading.tokens[part.text_start : part.end] == model.tokenizer.newline)
    starts = np.concatenate([[0], newlines + 1]) + part.text_start
    return Haystack(
        model=model,
        lines=lines,
        starts=starts,
        reading=reading,
        respondent=Respondent(model, reading),
        repeats=repeats,
    )


def read_lines(
    model: Loaded, lines: Iterable[str], report: reader.Report = lambda progress: None
) -> Reading:
    text = "".join(f"{line}\n" for line in lines)
    return reader.read(model, [Part(name=NAME, kind="text", text=text)], report=report)


@dataclass(frozen=True, kw_only=True, eq=False)
class Planted:
    """Lines `first` to before `last` become `text`, which has as many tokens."""

    first: int
    last: int
    text: str
    line: int  # of the needle in the text with it, from 1
    depth: float  # of the needle, 0 to 1
    change: Rewritten


def plant(
    haystack: Haystack, depth: float, sentence: str, turn: int = 0, floor: int = 0
) -> Planted:
    """`sentence` as a line of its own, where a line ends nearest `depth` (0 to 1), after `floor`.

    With a `turn` the next nearest are taken, as far as they are near. InputError without room.
    """
    starts = haystack.starts
    size = int(starts[-1] - starts[0])
    away = np.abs(starts[floor:] - starts[0] - depth * size)
    order = np.argsort(away, kind="stable")
    near = int((away <= NEAR * size).sum())
    turn = turn % near if near else 0
    for boundary in (*order[turn:], *order[:turn]):
        if planted := _planted(haystack, floor + int(boundary), sentence, floor):
            return planted
    raise InputError("the haystack has no room for the needles; take longer ones, or fewer needles")


def plant_all(haystack: Haystack, needles: Sequence[tuple[float, str]]) -> list[Planted]:
    """Needles at their depths, which must ascend, none in the lines of another."""
    planted: list[Planted] = []
    for depth, sentence in needles:
        floor = planted[-1].last if planted else 0
        planted.append(plant(haystack, depth, sentence, floor=floor))
    return planted


def _planted(haystack: Haystack, boundary: int, sentence: str, floor: int) -> Planted | None:
    """The needle in place of lines after the boundary, else before it; words whole if can be."""
    starts, tokenizer = haystack.starts, haystack.model.tokenizer
    needle = sentence + "\n"
    size = len(tokenizer.encode(needle))
    for torn, before in product((False, True), (False, True)):
        for first, last in _spans(starts, boundary, size, before):
            if first < floor:
                break
            old = haystack.tokens[starts[first] : starts[last]]
            for text in _texts(tokenizer, old, needle, size, before, torn):
                made = tokenizer.encode(text)
                if len(made) == len(old):
                    at = starts[last] - size if before else starts[first]
                    above = text[: -len(needle)].count("\n") if before else 0
                    return Planted(
                        first=first,
                        last=last,
                        text=text,
                        line=first + above + 1,
                        depth=float((at - starts[0]) / (starts[-1] - starts[0])),
                        change=_change(int(starts[first]), old, made),
                    )
    return None


def _change(start: int, old: np.ndarray, made: np.ndarray) -> Rewritten:
    """What differs, when tokens from `start` on become others, as many."""
    ahead = edit.common(old, made)
    behind = edit.common(old[ahead:][::-1], made[ahead:][::-1])
    until = len(made) - behind
    return Rewritten(start=start + ahead, end=start + until, ids=made[ahead:until])


def _spans(starts: np.ndarray, boundary: int, size: int, before: bool) -> Iterator[tuple[int, int]]:
    """Lines from the boundary on, or up to it, with `size` tokens and then some more."""
    if before:
        most = int(np.searchsorted(starts, starts[boundary] - size, side="right")) - 1
        yield from ((first, boundary) for first in range(most, most - MORE_LINES, -1) if first >= 0)
    else:
        least = int(np.searchsorted(starts, starts[boundary] + size))
        ends = range(least, min(least + MORE_LINES, len(starts)))
        yield from ((boundary, last) for last in ends)


def _texts(
    tokenizer: Tokenizer, old: np.ndarray, needle: str, size: int, before: bool, torn: bool
) -> Iterator[str]:
    """The needle and what is left of `old` when about as many tokens are taken out.

    With `before` the needle comes last, and the line above it is given an end.
    """
    for cut_out in (size, size + 1, size - 1, size + 2, size - 2):
        cut = len(old) - cut_out if before else cut_out
        if not 0 <= cut <= len(old):
            continue
        whole = cut in (0, len(old)) or tokenizer.decode(old[cut - 1 : cut]).endswith("\n")
        whole = whole or tokenizer.decode(old[cut : cut + 1]).startswith((" ", "\n"))
        rest = tokenizer.decode(old[:cut] if before else old[cut:])
        if "\ufffd" in rest or not (whole or torn):
            continue
        bare = rest.rstrip(" ") if before else rest.lstrip(" ")
        for left in dict.fromkeys((bare, rest)):
            end = "\n" if before and left and not left.endswith("\n") else ""
            yield left + end + needle if before else needle + left


@contextmanager
def overwritten(haystack: Haystack, planted: Sequence[Planted]) -> Generator[None, None, None]:
    """The haystack's reading as if its text had the needles; afterwards as it was, bit by bit.

    Nobody else may use the reading meanwhile: whole segments of it are scanned where they lie.
    """
    model, reading, stretches = haystack.model, haystack.reading, haystack.respondent.stretches
    tokens = haystack.tokens
    changes = [one.change for one in planted]
    rereads = edit._rereads(changes, model.config.receptive_field, len(tokens))
    spans = [slice(one.start, one.end) for one in rereads]
    with put_back(reading, stretches, spans):
        for change in changes:
            tokens[change.start : change.end] = change.ids
        put(reading, stretches, spans, edit._read(model, tokens, rereads))
        yield


@contextmanager
def put_back(
    reading: Reading, stretches: list[scan.Stretch], spans: Sequence[slice]
) -> Generator[None, None, None]:
    """Afterwards the rows of `spans`, and what is open of the keys, are as they were."""
    arrays, opened = reading.stores[0].arrays, list(stretches)
    kept = [[array[span].copy() for array in arrays] for span in spans]
    try:
        yield
    finally:
        for span, columns in zip(spans, kept, strict=True):
            for array, column in zip(arrays, columns, strict=True):
                array[span] = column
        stretches[:] = opened


def put(
    reading: Reading,
    stretches: list[scan.Stretch],
    spans: Sequence[slice],
    columns: Sequence[Sequence[np.ndarray]],
) -> None:
    """Other rows, of each span its own."""
    for span, own in zip(spans, columns, strict=True):
        for array, column in zip(reading.stores[0].arrays, own, strict=True):
            array[span] = column
    _open_again(reading, stretches, spans)


def _open_again(reading: Reading, stretches: list[scan.Stretch], spans: Sequence[slice]) -> None:
    """The stretches that the spans touch; of a single reading there is one a segment."""
    starts = np.array([part.start for part in reading.parts])
    touched = {
        number
        for span in spans
        for number in range(span.start // SEGMENT, (span.stop - 1) // SEGMENT + 1)
    }
    for number in touched:
        segment = reading.segment(number)
        stretches[number] = scan._stretch([segment], starts, stretches[number].goes_on)


def read_anew(
    haystack: Haystack,
    planted: Sequence[Planted],
    report: reader.Report = lambda progress: None,
) -> Reading:
    """The text with the needles in it, read as a whole, into RAM."""
    lines, at = [], 0
    for one in planted:
        lines += [*haystack.lines[at : one.first], one.text.removesuffix("\n")]
        at = one.last
    return read_lines(haystack.model, [*lines, *haystack.lines[at:]], report)
