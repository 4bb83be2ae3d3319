# SPDX-License-Identifier: Apache-2.0
"""What the user named, as a stream of parts: files, directories, archives, standard input."""

import io
import os
import stat
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pollux.errors import InputError
from pollux.media.archive import File, archive_format, damage_told, expanded, members
from pollux.media.code import kind_of
from pollux.media.content import Content
from pollux.media.directory import walk
from pollux.media.document import Stream, decode, read_within, refuse_head, too_large
from pollux.media.file import open_regular, refuse_special, status
from pollux.media.limits import LIMITS, Limits, Tally, Unreadable
from pollux.media.part import TEXT, Kind, Part, one_line
from pollux.media.signature import HEAD, medium
from pollux.media.stream import media_part, unseen

STDIN = "-"
_READ_ALREADY = "was read already"
_MAX_GROUPS = 4  # of reasons in one message


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """`reason` is said of the path: "is a PNG image". What follows a colon in it is detail."""

    path: str
    reason: str


class Opened(Iterator[Part]):
    """The parts, one at a time; `skipped` fills while they are taken."""

    def __init__(self, limits: Limits, kinds: Collection[Kind]) -> None:
        self.skipped: list[Skipped] = []
        self.limits = limits
        self.kinds = kinds
        self.tally = Tally(limits)
        self.seen: set[str] = set()  # real paths: no file is read twice
        self.parts: Iterator[Part] = iter(())

    def __next__(self) -> Part:
        return next(self.parts)

    def skip(self, path: str | Path, reason: str) -> None:
        self.skipped.append(Skipped(path=one_line(str(path)), reason=reason))


def open_parts(
    paths: Sequence[str | Path] | Path,
    *,
    kinds: Collection[Kind] = TEXT,
    skip_unreadable: bool = False,
    limits: Limits = LIMITS,
) -> Opened:
    """Text and code, and media of these `kinds`, of files, directories and archives; "-" is
    standard input.

    A file gives one part, named as it is; a directory gives one for each file in it, in sorted
    order, named by the path from the directory on (`src/app.py`), and so does an archive. In a
    directory or archive what cannot be read is skipped, and so is a file that was read already.
    Raises InputError: what is named wrongly at once, what proves unreadable when its turn comes;
    with `skip_unreadable`, only when nothing at all could be read.
    """
    sources = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not sources:
        raise InputError("no input is named; name a file, a directory, or - for standard input")
    opened = Opened(limits, kinds)
    sound = []
    for source, name in zip(sources, part_names(sources), strict=True):
        try:
            _check(source, kinds, limits)
            sound.append((source, name))
        except Unreadable as error:
            if not skip_unreadable:
                raise InputError(f"{_shown(source)} {one_line(str(error))}") from None
            opened.skip(_shown(source), error.reason)
    opened.parts = _parts(opened, sound, skip_unreadable)
    return opened


def part_names(sources: Sequence[str | Path]) -> list[str]:
    """The last name of each path, with as many of those before it as tell it from the others."""
    paths = [Path(os.path.abspath(source)) for source in sources]
    depths = [1] * len(paths)

    def named(index: int) -> str:
        return "/".join(paths[index].parts[-depths[index] :]).lstrip("/")

    for _ in range(max(len(path.parts) for path in paths)):
        users: dict[str, set[int]] = {}
        for index in range(len(paths)):
            users.setdefault(named(index), set()).add(index)
        for clash in users.values():
            if len({paths[index] for index in clash}) > 1:
                for index in clash:
                    depths[index] += 1
    names = [named(index) or "root" for index in range(len(paths))]
    return [
        "stdin" if str(source) == STDIN else one_line(name)
        for source, name in zip(sources, names, strict=True)
    ]


def _check(source: str | Path, kinds: Collection[Kind], limits: Limits) -> None:
    """Finds what is named wrongly before the first part is read, which may take minutes."""
    if str(source) == STDIN:
        return
    if not str(source):
        raise Unreadable("is an empty path", "name a file")
    found = status(Path(source))
    refuse_special(found.st_mode)
    if stat.S_ISDIR(found.st_mode):
        return
    with open_regular(Path(source)) as file, damage_told():
        if archive_format(file):
            return
        stream = expanded(file)
        head = stream.read(HEAD)
        kind = _medium(head, kinds)
        if kind is None:
            refuse_head(head)
        most = limits.max_bytes if kind is None else limits.max_media_bytes
        if stream is file and found.st_size > most:
            raise too_large(most)


def _parts(
    opened: Opened, sources: list[tuple[str | Path, str]], skip_unreadable: bool
) -> Iterator[Part]:
    given = False
    for source, name in sources:
        try:
            for part in _source_parts(opened, source, name):
                given = True
                yield part
        except Unreadable as error:
            if not skip_unreadable:
                raise InputError(f"{_shown(source)} {one_line(str(error))}") from None
            opened.skip(_shown(source), error.reason)
    if not given:
        raise InputError(f"there is nothing to read: {_summary(opened.skipped)}; name a text file")


def _source_parts(opened: Opened, source: str | Path, name: str) -> Iterator[Part]:
    if str(source) == STDIN:
        yield from _file_parts(opened, _standard_input(opened.limits), name)
        return
    path = Path(source)
    real = os.path.realpath(path)
    if path.is_dir():
        yield from _directory_parts(opened, path, name)
    elif real in opened.seen:
        opened.skip(path, _READ_ALREADY)
    else:
        opened.seen.add(real)
        with open_regular(path) as file:
            yield from _file_parts(opened, file, name, path)


def _standard_input(limits: Limits) -> io.BytesIO:
    return io.BytesIO(read_within(sys.stdin.buffer, limits.max_bytes))


def _file_parts(opened: Opened, file: File, name: str, path: Path | None = None) -> Iterator[Part]:
    with damage_told():
        is_archive = bool(archive_format(file))
    if is_archive:
        yield from _archive_parts(opened, file, name)
    else:
        opened.tally.count_file()
        yield _file_part(opened, file, name, path)


def _archive_parts(opened: Opened, file: File, name: str) -> Iterator[Part]:
    before = len(opened.skipped)
    given = False
    for member in members(file, opened.limits):
        opened.tally.count_file()
        inside = f"{name}/{member.name}"
        if member.stream is None:
            opened.skip(inside, member.reason)
            continue
        try:
            part = _part(opened, member.stream, inside)
        except Unreadable as error:
            opened.skip(inside, error.reason)
            continue
        given = True
        yield part
    if not given:
        raise _nothing_in(opened.skipped[before:])


def _directory_parts(opened: Opened, path: Path, name: str) -> Iterator[Part]:
    before = len(opened.skipped)
    given = False
    for entry in walk(path):
        opened.tally.count_file()
        inside = f"{name}/{entry.name}"
        real = str(entry.path)  # as no link was followed to it
        if real in opened.seen:
            opened.skip(inside, _READ_ALREADY)
            given = True
            continue
        if entry.reason:
            opened.skip(inside, entry.reason)
            continue
        try:
            with open_regular(entry.path) as file:
                part = _file_part(opened, file, inside, entry.path)
        except Unreadable as error:
            opened.skip(inside, error.reason)
            continue
        opened.seen.add(real)
        given = True
        yield part
    if not given:
        raise _nothing_in(opened.skipped[before:])


def _file_part(opened: Opened, file: File, name: str, path: Path | None) -> Part:
    stream = expanded(file)
    return _part(opened, stream, name, path if stream is file else None)


def _part(opened: Opened, stream: Stream, name: str, path: Path | None = None) -> Part:
    """`path`: where the stream's very bytes are on disk, if they are; a medium stays there."""
    limits = opened.limits
    with damage_told():
        head = stream.read(HEAD)
        kind = _medium(head, opened.kinds)
        if kind is None:
            refuse_head(head)
            data = read_within(stream, limits.max_bytes, head)
        else:
            data = b"" if path else read_within(stream, limits.max_held_bytes, head)
    opened.tally.count_bytes(len(data))
    if kind is not None:
        content = Content(path=path, data=bytes(data))
        return media_part(content, one_line(name), kind, opened.kinds, limits)
    text, note = decode(data)
    return Part(name=one_line(name), kind=kind_of(name), text=text, note=note)


def _medium(head: bytes, kinds: Collection[Kind]) -> Kind | None:
    """What to decode it as; None for what may be text. Raises Unreadable for a kind not wanted."""
    name, kind = medium(head)
    played = kind in ("audio", "video")  # which of them shows when it is opened
    if kind is None or kind in kinds or played and ("audio" in kinds or "video" in kinds):
        return kind
    raise Unreadable(f"is {name}", unseen(kinds))


def _nothing_in(skipped: list[Skipped]) -> Unreadable:
    return Unreadable(f"holds nothing to read: {_summary(skipped)}", "name a text file")


def _summary(skipped: list[Skipped]) -> str:
    """One example of each reason, the commonest first: "a.png is a PNG image (and 3 more)"."""
    if not skipped:
        return "it is empty"
    groups: dict[str, list[Skipped]] = {}
    for one in skipped:
        groups.setdefault(one.reason.partition(":")[0], []).append(one)
    ordered = sorted(groups.values(), key=len, reverse=True)
    told = []
    for group in ordered[:_MAX_GROUPS]:
        more = f" (and {len(group) - 1} more)" if len(group) > 1 else ""
        told.append(f"{group[0].path} {group[0].reason}{more}")
    if rest := sum(len(group) for group in ordered[_MAX_GROUPS:]):
        told.append(f"and {rest} more")
    return ", ".join(told)


def _shown(source: str | Path) -> str:
    return "standard input" if str(source) == STDIN else one_line(str(source)) or '""'
