# SPDX-License-Identifier: Apache-2.0
"""What a reading on disk consists of: five arrays, and the manifest that says what they hold.

The manifest is written last, beside, and renamed into place, so a directory either has a whole
manifest or is not a reading. It carries its own crc32 besides one for every array and segment.
File names are fixed: a manifest cannot point anywhere else. Array files may be longer than the
manifest says (an append that never finished); the rest is ignored.
"""

import json
import math
import os
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pollux.config import BLOCK
from pollux.errors import ReadingError

SEGMENT = 65_536  # tokens; the unit of checksums and of scans
FORMAT = "pollux reading"
VERSION = 2
MANIFEST = "manifest.json"
MANIFEST_LIMIT = 256_000_000  # bytes; nothing larger is parsed


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Numbers per token in the memory."""

    key_dim: int
    value_dim: int

    def __post_init__(self):
        if not (0 < self.key_dim <= 65_536 and 0 < self.value_dim <= 65_536):
            raise ValueError(f"key_dim {self.key_dim} and value_dim {self.value_dim} must be >= 1")


@dataclass(frozen=True, kw_only=True)
class ArrayFile:
    """One array of a reading: a row a token."""

    name: str
    file: str
    dtype: str
    row_shape: tuple[int, ...]
    row_bytes: int

    def nbytes(self, tokens: int) -> int:
        return tokens * self.row_bytes


def array_file(name: str, suffix: str, dtype: str, row_shape: tuple[int, ...]) -> ArrayFile:
    return ArrayFile(
        name=name,
        file=f"{name}.{suffix}",
        dtype=dtype,
        row_shape=row_shape,
        row_bytes=np.dtype(dtype).itemsize * math.prod(row_shape),
    )


def array_files(shape: Shape) -> tuple[ArrayFile, ...]:
    """The five arrays, in the order used everywhere."""
    return (
        array_file("keys", "i8", "<i1", (shape.key_dim,)),
        array_file("values", "i8", "<i1", (shape.value_dim,)),
        array_file("key_scales", "f16", "<f2", ()),
        array_file("value_scales", "f16", "<f2", ()),
        array_file("tokens", "u16", "<u2", ()),
    )


FILES = tuple(array.file for array in array_files(Shape(key_dim=1, value_dim=1)))


def bytes_of(tokens: int, shape: Shape) -> int:
    """Bytes that the arrays of `tokens` tokens take."""
    return sum(array.nbytes(tokens) for array in array_files(shape))


def round_up(tokens: int) -> int:
    """The next block boundary."""
    return -(-tokens // BLOCK) * BLOCK


class Mark(NamedTuple):
    """From a token on, until the next mark: what is shown there. -1: has none."""

    at: int  # tokens from the beginning of the part
    milliseconds: int  # of the token, from the beginning of the medium
    step: int  # milliseconds that a token lasts: 0 where time stands still
    frame: int  # of a film, from 0
    page: int  # of a document, from 1


@dataclass(frozen=True, kw_only=True)
class PartSpan:
    """Where a part stands, in token positions: its header from `start`, its text from `text_start`.

    `end` is one past the last real token; the next part starts at the next block boundary. Pictures
    and sound have `marks`, ascending.
    """

    name: str
    kind: str
    note: str
    start: int
    text_start: int
    end: int
    sha256: str  # of the text's bytes, or the medium's and how it was looked at
    marks: tuple[Mark, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether all of it is text, which can be changed."""
        return not self.marks and self.kind not in ("image", "audio", "video")

    def moved(self, tokens: int) -> "PartSpan":
        """The same part, that many positions later."""
        return replace(
            self,
            start=self.start + tokens,
            text_start=self.text_start + tokens,
            end=self.end + tokens,
        )


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """`tokens` counts the padding of last blocks too, so it is a multiple of BLOCK.

    `checksums`: crc32 per array (in the order of `array_files`) and segment; () in RAM.
    """

    tokens: int
    shape: Shape
    weights_fingerprint: str
    tokenizer_fingerprint: str
    parts: tuple[PartSpan, ...]
    checksums: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self):
        at = 0
        for part in self.parts:
            if part.start != at or not part.start <= part.text_start <= part.end:
                raise ValueError(f"part {part.name!r} is out of place")
            if part.end == part.start:
                raise ValueError(f"part {part.name!r} has no tokens")
            marked = [mark.at for mark in part.marks]
            if marked and not 0 <= marked[0] <= max(marked) < part.end - part.start:
                raise ValueError(f"part {part.name!r} has marks out of place")
            if marked != sorted(marked):
                raise ValueError(f"part {part.name!r} has marks out of order")
            at = round_up(part.end)
        if at != self.tokens:
            raise ValueError(f"the parts come to {at} tokens, not {self.tokens}")
        if any(len(sums) != self.segments for sums in self.checksums):
            raise ValueError(f"there is not one checksum for each of {self.segments} segments")

    @property
    def segments(self) -> int:
        return -(-self.tokens // SEGMENT)


def write_all(fd: int, data: bytes) -> None:
    """Write every byte: a bare write may stop early, as it does just before the disk is full."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_directory(path: Path) -> None:
    """Make renames in `path` outlast a power cut, where the file system can; they stand anyway."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write beside, then rename over the old one. OSError leaves the old one as it was."""
    body = asdict(manifest)
    for part in body["parts"]:
        if not part["marks"]:
            del part["marks"]  # as it was before there were any
    body["checksums"] = dict(zip(FILES, manifest.checksums, strict=True))
    record = {"format": FORMAT, "version": VERSION, "crc32": body_crc(body), "reading": body}
    data = json.dumps(record).encode()
    if len(data) > MANIFEST_LIMIT:
        raise ReadingError(f"{directory} has too many parts for one reading: make several")
    partial = directory / (MANIFEST + ".partial")
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666)
    try:
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(partial, directory / MANIFEST)
    sync_directory(directory)


def read_manifest(data: bytes, path: Path) -> Manifest:
    """Parse and check; ReadingError in one line. `path` is the reading's, for messages."""
    try:
        record = typed(json.loads(data), dict)
        if record.get("format") != FORMAT:
            raise ReadingError(f"{path} is not a reading: its {MANIFEST} is of another kind")
        version = typed(record["version"], int)
        if version < VERSION:
            raise ReadingError(
                f"{path} was made by an older version of Pollux (format {version}, now {VERSION}): "
                "read the files again"
            )
        if version > VERSION:
            raise ReadingError(
                f"{path} is of format {version}, and this Pollux knows format {VERSION}: "
                "use the Pollux that wrote it, or read the files again"
            )
        body = typed(record["reading"], dict)
        if body_crc(body) != record["crc32"]:
            raise ValueError("its checksum is wrong")
        return parse_body(body)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error).split("\n")[0]
        raise ReadingError(
            f"{path}/{MANIFEST} is damaged ({reason}): read the files again"
        ) from None


def body_crc(body: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(body, sort_keys=True).encode())


def parse_body(body: dict[str, Any]) -> Manifest:
    shape = typed(body["shape"], dict)
    sums = typed(body["checksums"], dict)
    return Manifest(
        tokens=typed(body["tokens"], int),
        shape=Shape(key_dim=typed(shape["key_dim"], int), value_dim=typed(shape["value_dim"], int)),
        weights_fingerprint=typed(body["weights_fingerprint"], str),
        tokenizer_fingerprint=typed(body["tokenizer_fingerprint"], str),
        parts=tuple(parse_part(typed(part, dict)) for part in typed(body["parts"], list)),
        checksums=tuple(integers(sums[file]) for file in FILES),
    )


def parse_part(record: dict[str, Any]) -> PartSpan:
    texts = {name: typed(record[name], str) for name in ("name", "kind", "note", "sha256")}
    places = {name: typed(record[name], int) for name in ("start", "text_start", "end")}
    marks = tuple(parse_mark(typed(mark, list)) for mark in typed(record.get("marks", []), list))
    return PartSpan(**texts, **places, marks=marks)


def parse_mark(record: list[Any]) -> Mark:
    return Mark(*integers(record))


def integers(values: Iterable[Any]) -> tuple[int, ...]:
    return tuple(typed(value, int) for value in values)


def typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:  # not isinstance: True is no integer here
        raise TypeError(f"{kind.__name__} expected, found {type(value).__name__}")
    return value
