# SPDX-License-Identifier: Apache-2.0
"""The arrays of one reading: mapped from disk, made in RAM, or a stretch of another's.

Opening reads only the manifest; a segment's checksums are verified when it is first delivered.
"""

import bisect
import math
import os
import stat
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from pollux.errors import ReadingError
from pollux.memory.manifest import (
    BLOCK,
    MANIFEST,
    MANIFEST_LIMIT,
    SEGMENT,
    ArrayFile,
    Manifest,
    Shape,
    array_files,
    read_manifest,
    round_up,
)
from pollux.memory.target import beside, restore

ALIGNED = 64  # bytes: arrays that begin at a multiple are used by jax without being copied
GROWN = 1 << 20  # rows that an array grows by


@dataclass(frozen=True, kw_only=True, eq=False)
class Store:
    """The arrays of one reading, in the order of `array_files`.

    Of a stretch of another store: `whole` is that one, and `begin` the stretch's first token there.
    """

    manifest: Manifest
    arrays: tuple[np.ndarray, ...]
    path: Path | None = None
    whole: "Store | None" = None
    begin: int = 0
    verified: set[int] = field(default_factory=set)  # numbers of the segments found whole

    @cached_property
    def valid_counts(self) -> np.ndarray:
        """Real tokens in each block, uint8 [blocks]."""
        counts = np.full(self.manifest.tokens // BLOCK, BLOCK, np.uint8)
        ends = np.array([part.end for part in self.manifest.parts], np.int64)
        last = (ends - 1) // BLOCK
        counts[last] = ends - last * BLOCK
        return counts

    def slices(self, start: int, end: int) -> tuple[np.ndarray, ...]:
        """Every array from token `start` to before `end`, both at block boundaries; no copies."""
        return tuple(array[start:end] for array in self.arrays)

    def cut(self, first: int, last: int) -> "Store":
        """Its parts from number `first` to before `last`, one at least: views, no copies."""
        parts = self.manifest.parts[first:last]
        begin, end = parts[0].start, round_up(parts[-1].end)
        manifest = replace(
            self.manifest,
            tokens=end - begin,
            parts=tuple(part.moved(-begin) for part in parts),
            checksums=(),
        )
        whole = self.whole or self
        arrays = self.slices(begin, end)
        return Store(manifest=manifest, arrays=arrays, whole=whole, begin=self.begin + begin)

    def number_of(self, start: int) -> int:
        """Which of its parts begins at token `start`."""
        return bisect.bisect_left(self.manifest.parts, start, key=lambda part: part.start)

    def verify(self, number: int) -> None:
        """Compare the checksums of one segment; ReadingError names the file and the tokens."""
        start = number * SEGMENT
        end = min(start + SEGMENT, self.manifest.tokens)
        if self.whole:
            first, last = self.begin + start, self.begin + end - 1
            for number in range(first // SEGMENT, last // SEGMENT + 1):
                self.whole.verify(number)
            return
        if number in self.verified or not self.manifest.checksums:
            return
        files = array_files(self.manifest.shape)
        slices = self.slices(start, end)
        for file, rows, sums in zip(files, slices, self.manifest.checksums, strict=True):
            if zlib.crc32(rows.data) != sums[number]:
                raise ReadingError(
                    f"{self.path}/{file.file} is damaged in tokens {start:,} to {end - 1:,} "
                    "(wrong checksum): read the files again"
                )
        self.verified.add(number)


def name_of(store: Store) -> str:
    return str((store.whole or store).path or "a reading in memory")


def check_fingerprints(
    store: Store, weights: str | None, tokenizer: str | None, whose: str
) -> None:
    """ReadingError unless `store` was made by these weights and this tokenizer (None: any)."""
    wanted = (("weights", weights), ("tokenizer", tokenizer))
    for what, fingerprint in wanted:
        found = getattr(store.manifest, f"{what}_fingerprint")
        if fingerprint is not None and found != fingerprint:
            raise ReadingError(
                f"{name_of(store)} was made with other {what} ({found}, {whose} is {fingerprint}): "
                "read the files again"
            )


def check_arrays(arrays: tuple[np.ndarray, ...], tokens: int, shape: Shape) -> None:
    """ValueError unless the arrays hold `tokens` tokens, as their files would."""
    if tokens % BLOCK:
        raise ValueError(f"{tokens} tokens are not whole blocks of {BLOCK}")
    for file, array in zip(array_files(shape), arrays, strict=True):
        expected = (tokens, *file.row_shape)
        if array.shape != expected or array.dtype != np.dtype(file.dtype):
            raise ValueError(
                f"{file.name} must be {file.dtype} {expected}, not {array.dtype} {array.shape}"
            )


def joined(pieces: Sequence[np.ndarray]) -> np.ndarray:
    """The pieces one after another, a copy that begins at a multiple of ALIGNED bytes."""
    return np.concatenate(pieces, out=_aligned(sum(map(len, pieces)), pieces[0]))


def _aligned(rows: int, like: np.ndarray) -> np.ndarray:
    room = np.empty(rows * math.prod(like.shape[1:]) * like.itemsize + ALIGNED, np.uint8)
    skip = -room.ctypes.data % ALIGNED
    return np.ndarray((rows, *like.shape[1:]), like.dtype, room.data, skip)


class Growing:
    """An array that grows at its end and never is there twice.

    It is kept in blocks so large that the system has their memory back when they are let go.
    """

    def __init__(self):
        self.blocks: list[np.ndarray] = []
        self.used = GROWN  # rows of the last block

    def append(self, rows: np.ndarray) -> None:
        while len(rows):
            if self.used == GROWN:
                self.blocks.append(np.empty((GROWN, *rows.shape[1:]), rows.dtype))
                self.used = 0
            fit = rows[: GROWN - self.used]
            self.blocks[-1][self.used : self.used + len(fit)] = fit
            self.used, rows = self.used + len(fit), rows[len(fit) :]

    def whole(self) -> np.ndarray:
        """All of it, as `joined` gives it; nothing is left here."""
        total = GROWN * (len(self.blocks) - 1) + self.used
        whole, self.used = _aligned(total, self.blocks[0]), GROWN
        for start in range(0, total, GROWN):
            end = min(start + GROWN, total)
            whole[start:end] = self.blocks.pop(0)[: end - start]
        return whole


def open_store(path: Path) -> Store:
    """Map the reading at `path`. Every way in which it can be unusable is a ReadingError."""
    try:
        directory = open_directory(path)
        try:
            manifest = read_manifest(read_bounded(directory, path), path)
            files = array_files(manifest.shape)
            arrays = tuple(map_array(directory, path, file, manifest.tokens) for file in files)
        finally:
            os.close(directory)
    except OSError as error:
        raise ReadingError(f"{path} cannot be opened: {error.strerror or error}") from None
    return Store(manifest=manifest, arrays=arrays, path=path)


def open_directory(path: Path) -> int:
    """A descriptor: a reading that is replaced meanwhile cannot mix its files with the new ones."""
    if not os.path.lexists(path):
        restore(path)
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        unfinished = beside(path, "partial").exists()
        reason = "was never finished: read the files again" if unfinished else "does not exist"
        raise ReadingError(f"{path} {reason}") from None
    except NotADirectoryError:
        raise ReadingError(f"{path} is not a reading: it is not a directory") from None


def open_file(directory: int, path: Path, name: str) -> int:
    """A descriptor of a plain file in the reading; anything else is refused, never followed."""
    try:
        # O_NONBLOCK: opening a pipe of that name must not wait for a writer.
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except FileNotFoundError:
        lacks = "is not a reading: it has no" if name == MANIFEST else "is broken: it lacks"
        raise ReadingError(f"{path} {lacks} {name}") from None
    except OSError as error:
        raise ReadingError(f"{path}/{name} cannot be opened: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ReadingError(f"{path}/{name} is not a plain file")
    return fd


def read_bounded(directory: int, path: Path) -> bytes:
    with open(open_file(directory, path, MANIFEST), "rb") as file:
        data = file.read(MANIFEST_LIMIT + 1)
    if len(data) > MANIFEST_LIMIT:
        raise ReadingError(f"{path}/{MANIFEST} is damaged (too large): read the files again")
    return data


def map_array(directory: int, path: Path, file: ArrayFile, tokens: int) -> np.ndarray:
    with open(open_file(directory, path, file.file), "rb") as opened:
        needed = file.nbytes(tokens)
        found = os.fstat(opened.fileno()).st_size
        if found < needed:
            raise ReadingError(
                f"{path}/{file.file} is truncated ({found:,} bytes of {needed:,}): "
                "read the files again"
            )
        shape = (tokens, *file.row_shape)
        if not needed:  # nothing cannot be mapped
            return np.zeros(shape, file.dtype)
        return np.memmap(opened, file.dtype, "r", shape=shape).view(np.ndarray)
