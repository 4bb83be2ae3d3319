# SPDX-License-Identifier: Apache-2.0
"""How much text the named files hold, and some of it, without reading them whole.

What is compressed or in UTF-16 or UTF-32 has to be gone through; only its sample is kept.
"""

import bisect
import codecs
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pollux.errors import InputError
from pollux.media.archive import archive_format, damage_told, expanded
from pollux.media.content import Content
from pollux.media.directory import walk
from pollux.media.document import decode, read_bytes, refuse_head, too_large
from pollux.media.file import open_regular
from pollux.media.inputs import STDIN, open_parts
from pollux.media.limits import LIMITS, Limits, Tally, Unreadable
from pollux.media.part import TEXT
from pollux.media.signature import HEAD, compression, medium
from pollux.media.stream import media_part

SAMPLE = 1 << 20  # bytes, of all files together
SLICE = 1 << 14  # bytes taken at a place
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """`texts` are at most SAMPLE of the `bytes` of UTF-8 that the parts hold."""

    parts: int
    bytes: int
    texts: tuple[str, ...]


@dataclass
class Found:
    """Plain files and their sizes; of the others what they hold, and the beginnings of that."""

    tally: Tally
    plain: list[tuple[Path, int]] = field(default_factory=list)
    parts: int = 0
    bytes: int = 0
    texts: list[str] = field(default_factory=list)

    def add_text(self, text: str) -> None:
        self.parts += 1
        self.bytes += len(text.encode("utf-8", "replace"))
        if len(self.texts) < SAMPLE // SLICE // 2:
            self.texts.append(text[: SLICE // 4])  # a character has at most four bytes


def sample(paths: Sequence[str | Path], limits: Limits = LIMITS) -> Sample:
    """Of the files, directories and archives that `open_parts` reads; InputError as there."""
    if any(str(path) == STDIN for path in paths):
        raise InputError("standard input can be read only once; name a file to plan for")
    open_parts(paths, limits=limits)  # refuses what is named wrongly
    found, seen = Found(Tally(limits)), set()
    for path in map(Path, paths):
        if path.is_dir() and path.suffix == ".reading":
            raise InputError(f"{path} is a reading already; pollux info says what it holds")
        for file in [path] if not path.is_dir() else _files(path):
            real = os.path.realpath(file)
            if real not in seen:
                seen.add(real)
                _look(found, file, named=file == path)
    if not found.plain and not found.parts:
        raise InputError("there is nothing to read; name a text file")
    whole = sum(size for _, size in found.plain)
    room = SAMPLE - sum(len(text.encode("utf-8", "replace")) for text in found.texts)
    return Sample(
        parts=len(found.plain) + found.parts,
        bytes=whole + found.bytes,
        texts=(*found.texts, *_slices(found.plain, whole, room)),
    )


def _files(directory: Path) -> Iterator[Path]:
    try:
        yield from (entry.path for entry in walk(directory) if not entry.reason)
    except Unreadable as error:
        raise InputError(f"{directory} {error}") from None


def _look(found: Found, path: Path, named: bool) -> None:
    """Counts one file; in a directory what cannot be read is skipped."""
    found.tally.count_file()
    try:
        with open_regular(path) as file, damage_told():
            limits = found.tally.limits
            if named and archive_format(file):
                for part in open_parts([path], limits=limits):
                    found.add_text(part.text)
                return
            head = file.read(HEAD)
            file.seek(0)
            if medium(head)[1] == "pdf":
                content = Content(path=path)
                found.add_text(media_part(content, "a.pdf", "pdf", TEXT, limits).text)
                return
            most = limits.max_bytes
            if compression(head) or head.startswith(_MARKS):
                found.add_text(decode(read_bytes(expanded(file), most))[0])
                return
            refuse_head(head)
            size = os.fstat(file.fileno()).st_size
            if size > most:
                raise too_large(most)
        found.tally.count_bytes(size)
        found.plain.append((path, size))
    except Unreadable as error:
        if named:
            raise InputError(f"{path} {error}") from None


def _slices(files: list[tuple[Path, int]], whole: int, room: int) -> Iterator[str]:
    """All of it where there is room; else places evenly strewn over the files, laid end to end."""
    if whole <= room:
        yield from (_read(path, 0, size) for path, size in files)
        return
    ends = list(itertools.accumulate(size for _, size in files))
    number = room // SLICE
    for at in (place * whole // number for place in range(number)):
        which = bisect.bisect_right(ends, at)
        path, size = files[which]
        yield _read(path, at - (ends[which] - size), SLICE)


def _read(path: Path, start: int, size: int) -> str:
    try:
        with open_regular(path) as file:
            file.seek(start)
            return file.read(size).decode("utf-8", "ignore")  # cut within characters
    except (OSError, Unreadable):  # gone since
        return ""
