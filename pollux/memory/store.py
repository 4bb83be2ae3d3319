# SPDX-License-Identifier: Apache-2.0
"""Writing readings: parts are appended block by block, and nothing counts before the manifest.

A new reading grows in NAME.reading.partial and takes its name when it is finished. An existing
one grows in place, beyond what its manifest knows, so whoever has it open is not disturbed.
Whatever goes wrong, the old state is what remains.
"""

import errno
import os
import shutil
import zlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pollux.errors import PolluxError, ReadingError, SpaceError
from pollux.memory.arrays import check_arrays, check_fingerprints, open_store
from pollux.memory.manifest import (
    BLOCK,
    MANIFEST,
    SEGMENT,
    Manifest,
    Mark,
    PartSpan,
    Shape,
    array_files,
    bytes_of,
    read_manifest,
    round_up,
    write_all,
    write_manifest,
)
from pollux.memory.reading import Reading
from pollux.memory.target import (
    beside,
    check_replaceable,
    put_in_place,
    release_lock,
    remove,
    settle,
    take_lock,
)

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(kw_only=True)
class OpenPart:
    """The part being written; `end` is one past its last real token so far."""

    name: str
    kind: str
    note: str
    start: int
    end: int


class Writer:
    """Writes one reading; made by `create` or `extend`, ended by `finish` or `abandon`.

    As a context manager it is abandoned when the block is left before `finish`. After a failed
    write (SpaceError, ReadingError, Ctrl-C) it is abandoned already.
    """

    def __init__(self, *, path: Path, directory: Path, lock: int, manifest: Manifest):
        self.path = path
        self.directory = directory  # where the files are: `path`, or the partial reading
        self.manifest = manifest  # what is kept already
        self.tokens = manifest.tokens  # written so far, padding included
        self.parts = list(manifest.parts)
        self.files = array_files(manifest.shape)
        self.checksums = [list(sums) for sums in manifest.checksums] or [[] for _ in self.files]
        self.part: OpenPart | None = None
        self._lock: int | None = lock
        self._fds: list[int] = []

    @classmethod
    def create(
        cls, path: str | Path, shape: Shape, weights_fingerprint: str, tokenizer_fingerprint: str
    ) -> "Writer":
        """Begin a new reading beside `path`; one that stands there is replaced by `finish`."""
        manifest = Manifest(
            tokens=0,
            shape=shape,
            weights_fingerprint=weights_fingerprint,
            tokenizer_fingerprint=tokenizer_fingerprint,
            parts=(),
        )
        path = followed(path)
        partial = beside(path, "partial")
        lock = lock_for_writing(path)
        writer = cls(path=path, directory=partial, lock=lock, manifest=manifest)
        with writer.guarded():
            check_replaceable(path)
            check_replaceable(partial)
            remove(partial)  # of a writer that was killed
            partial.mkdir()
            writer._open_files(os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        return writer

    @classmethod
    def extend(
        cls,
        path: str | Path,
        weights_fingerprint: str | None = None,
        tokenizer_fingerprint: str | None = None,
    ) -> "Writer":
        """Open a finished reading to append parts. Fingerprints, when given, must match."""
        path = followed(path)
        lock = lock_for_writing(path)
        try:
            store = open_store(path)
            check_fingerprints(store, weights_fingerprint, tokenizer_fingerprint, "the model's")
        except BaseException:
            release_lock(path, lock)
            raise
        writer = cls(path=path, directory=path, lock=lock, manifest=store.manifest)
        with writer.guarded():
            writer._open_files(os.O_WRONLY | os.O_NOFOLLOW)
        return writer

    def _open_files(self, flags: int) -> None:
        """Open each array at its end, which is where the manifest says, not the file."""
        for file in self.files:
            fd = os.open(self.directory / file.file, flags, 0o666)
            self._fds.append(fd)
            os.ftruncate(fd, file.nbytes(self.tokens))
            os.lseek(fd, 0, os.SEEK_END)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

    @contextmanager
    def guarded(self, tokens: int = 0) -> Generator[None]:
        """Whatever goes wrong inside abandons the writer; `tokens` are those being written."""
        try:
            yield
        except BaseException as error:
            self.abandon()
            if isinstance(error, OSError):
                shape = self.manifest.shape
                written, needed = bytes_of(self.tokens, shape), bytes_of(tokens, shape)
                raise write_error(self.path, error, written, needed) from None
            raise

    def begin_part(self, name: str, kind: str, note: str = "") -> None:
        """What is appended from here on belongs to this part."""
        self._check_between()
        self.part = OpenPart(name=name, kind=kind, note=note, start=self.tokens, end=self.tokens)

    def append(
        self,
        keys: np.ndarray,
        values: np.ndarray,
        key_scales: np.ndarray,
        value_scales: np.ndarray,
        tokens: np.ndarray,
        valid: int = BLOCK,
    ) -> None:
        """Append whole blocks: int8 [n, K], int8 [n, V], float16 [n] twice, uint16 [n].

        `valid` is how many tokens of the last block are real; the others are written as zeros, and
        nothing may follow them in this part.
        """
        part = self._open_part()
        arrays = (keys, values, key_scales, value_scales, tokens)
        check_arrays(arrays, len(tokens), self.manifest.shape)
        if not 0 < valid <= BLOCK or (valid < BLOCK and not len(tokens)):
            raise ValueError(f"valid must be 1..{BLOCK}, not {valid}")
        if part.end != self.tokens:
            raise ValueError(f"part {part.name!r} was padded already: nothing can follow")
        padding = BLOCK - valid
        columns = tuple(padded(array, padding) for array in arrays)
        with self.guarded(len(tokens)):
            self._write(columns, len(tokens))
        part.end = self.tokens - padding

    def add(self, reading: Reading) -> None:
        """Append every part of a reading as it is; ReadingError when a checksum is wrong."""
        reading.verify()  # else damage would be given a fresh checksum
        for store in reading.stores:
            for part in store.manifest.parts:
                self.begin_part(part.name, part.kind, part.note)
                for start in range(part.start, part.end, SEGMENT):
                    end = min(start + SEGMENT, part.end)
                    whole = round_up(end)
                    self.append(*store.slices(start, whole), valid=BLOCK - (whole - end))
                self.end_part(part.text_start - part.start, part.sha256, part.marks)

    def _write(self, columns: tuple[np.ndarray, ...], count: int) -> None:
        """Write `count` tokens segment by segment, carrying on the checksums."""
        done = 0
        while done < count:
            number = self.tokens // SEGMENT
            end = min(count, done + (number + 1) * SEGMENT - self.tokens)
            for array, fd, sums in zip(columns, self._fds, self.checksums, strict=True):
                data = array[done:end].tobytes()
                write_all(fd, data)
                if number == len(sums):
                    sums.append(0)
                sums[number] = zlib.crc32(data, sums[number])
            self.tokens += end - done
            done = end

    def end_part(
        self, header_tokens: int, sha256: str, marks: Sequence[Mark] = (), note: str | None = None
    ) -> None:
        """The part is whole: its first `header_tokens` are its header, `sha256` is of its text.

        `note`: in place of that it began with.
        """
        part = self._open_part()
        if not 0 <= header_tokens <= part.end - part.start or part.end == part.start:
            raise ValueError(f"part {part.name!r} has {part.end - part.start} tokens in all")
        span = PartSpan(
            name=part.name,
            kind=part.kind,
            note=part.note if note is None else note,
            start=part.start,
            text_start=part.start + header_tokens,
            end=part.end,
            sha256=sha256,
            marks=tuple(marks),
        )
        self.parts.append(span)
        self.part = None

    def finish(self) -> Reading:
        """Make it count: everything to the disk, then the manifest, then the name. Opens it."""
        self._check_between()
        manifest = replace(
            self.manifest,
            tokens=self.tokens,
            parts=tuple(self.parts),
            checksums=tuple(tuple(sums) for sums in self.checksums),
        )
        with self.guarded():
            for fd in self._fds:
                os.fsync(fd)
            write_manifest(self.directory, manifest)
            if self.directory != self.path:
                put_in_place(self.directory, self.path)
        self._close()
        return Reading.open(self.path, manifest.weights_fingerprint, manifest.tokenizer_fingerprint)

    def abandon(self) -> None:
        """Leave on disk what was there before; does nothing once finished or abandoned."""
        if self._lock is None:
            return
        with suppress(OSError, PolluxError):
            if self.directory == self.path:
                self._truncate()
            else:
                remove(self.directory)
                settle(self.path)
        self._close()

    def _truncate(self) -> None:
        """Back to what the manifest says: the one on disk, for `finish` may have got that far."""
        data = (self.path / MANIFEST).read_bytes()
        tokens = read_manifest(data, self.path).tokens
        for file, fd in zip(self.files, self._fds, strict=False):
            os.ftruncate(fd, file.nbytes(tokens))
        (self.path / (MANIFEST + ".partial")).unlink(missing_ok=True)

    def _close(self) -> None:
        fds, self._fds = self._fds, []
        for fd in fds:
            with suppress(OSError):
                os.close(fd)
        if self._lock is not None:
            lock, self._lock = self._lock, None
            with suppress(OSError):
                release_lock(self.path, lock)

    def _check_between(self) -> None:
        """RuntimeError unless the writer is open and between parts."""
        if self._lock is None or self.part:
            raise RuntimeError(
                "this writer has ended" if self._lock is None else "end the part first"
            )

    def _open_part(self) -> OpenPart:
        if self._lock is None or not self.part:
            raise RuntimeError("this writer has ended" if self._lock is None else "begin a part")
        return self.part


def padded(array: np.ndarray, padding: int) -> np.ndarray:
    """`array` with its last `padding` tokens zero."""
    if not padding:
        return array
    array = array.copy()
    array[-padding:] = 0
    return array


def followed(path: str | Path) -> Path:
    """Where a link leads, so that what is written beside the reading is on the reading's disk."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else Path(path)


def lock_for_writing(path: Path) -> int:
    """Take the lock of `path` and settle what a killed writer left there."""
    try:
        lock = take_lock(path)
        try:
            settle(path)
        except BaseException:
            release_lock(path, lock)
            raise
        return lock
    except OSError as error:
        raise write_error(path, error, 0, 0) from None


def write_error(path: Path, error: OSError, written: int, needed: int) -> PolluxError:
    """The line for a failed write, when `written` bytes were done and `needed` more were not."""
    if error.errno not in FULL:
        return ReadingError(f"{path} cannot be written: {error.strerror or error}")
    more = f"at least {needed:,} more" if needed else "a little more"
    return SpaceError(
        f"no space for {path}: {written:,} bytes were written to {path.parent} and it takes {more}"
        ": free some, or write it elsewhere"
    )


def check_space(path: str | Path, tokens: int, shape: Shape) -> None:
    """SpaceError unless a reading of `tokens` tokens fits on the disk of `path`."""
    parent = Path(os.path.abspath(followed(path))).parent
    while not parent.exists():
        parent = parent.parent
    needed = bytes_of(round_up(tokens), shape)
    free = shutil.disk_usage(parent).free
    if needed > free:
        raise SpaceError(
            f"no space for {path}: it takes {needed:,} bytes and {parent} has {free:,} free: "
            "free some, or write it elsewhere"
        )
