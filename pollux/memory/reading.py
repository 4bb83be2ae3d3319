# SPDX-License-Identifier: Apache-2.0
"""A reading to recall from: opened from disk as memory maps, made in RAM, or several side by side.

Opening reads only the manifest; a segment's checksums are verified when it is first delivered.
Readings compose because every part starts at a block boundary and from a clean window: positions
are shifted, nothing else changes.
"""

import bisect
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
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
    PartSpan,
    Shape,
    array_files,
    bytes_of,
    read_manifest,
)
from pollux.memory.target import beside, restore


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """What the memory holds at some positions; the scales are those of each position's block."""

    keys: np.ndarray  # int8 [n, key_dim]
    values: np.ndarray  # int8 [n, value_dim]
    key_scales: np.ndarray  # float32 [n]
    value_scales: np.ndarray  # float32 [n]
    tokens: np.ndarray  # uint16 [n]


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """Up to SEGMENT consecutive tokens, always whole blocks. `valid` is False on padding."""

    index: int
    start: int  # position of its first token in the reading
    keys: np.ndarray  # int8 [n, key_dim]
    values: np.ndarray  # int8 [n, value_dim]
    key_scales: np.ndarray  # float32 [n / BLOCK]
    value_scales: np.ndarray  # float32 [n / BLOCK]
    tokens: np.ndarray  # uint16 [n]
    valid: np.ndarray  # bool [n]


@dataclass(frozen=True, kw_only=True, eq=False)
class Store:
    """The arrays of one reading, mapped or in RAM, in the order of `array_files`."""

    manifest: Manifest
    arrays: tuple[np.ndarray, ...]
    path: Path | None = None
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
        files = array_files(self.manifest.shape)
        return tuple(
            array[start // file.tokens_per_row : end // file.tokens_per_row]
            for file, array in zip(files, self.arrays, strict=True)
        )

    def verify(self, number: int) -> None:
        """Compare the checksums of one segment; ReadingError names the file and the tokens."""
        if number in self.verified or not self.manifest.checksums:
            return
        start = number * SEGMENT
        end = min(start + SEGMENT, self.manifest.tokens)
        files = array_files(self.manifest.shape)
        slices = self.slices(start, end)
        for file, rows, sums in zip(files, slices, self.manifest.checksums, strict=True):
            if zlib.crc32(rows.data) != sums[number]:
                raise ReadingError(
                    f"{self.path}/{file.file} is damaged in tokens {start:,} to {end - 1:,} "
                    "(wrong checksum): read the files again"
                )
        self.verified.add(number)


@dataclass(frozen=True, eq=False)
class Reading:
    """One or more stores, side by side: positions run through them in order."""

    stores: tuple[Store, ...]

    def __post_init__(self):
        if not self.stores:
            raise ValueError("a reading needs at least one store")
        first = self.stores[0].manifest
        for store in self.stores[1:]:
            check_fingerprints(
                store, first.weights_fingerprint, first.tokenizer_fingerprint, "the first reading's"
            )
            if store.manifest.shape != first.shape:
                raise ReadingError(
                    f"{name_of(store)} holds {store.manifest.shape}, not {first.shape}"
                )

    @classmethod
    def open(
        cls,
        path: str | Path,
        weights_fingerprint: str | None = None,
        tokenizer_fingerprint: str | None = None,
    ) -> "Reading":
        """Map a finished reading; contents are not read. Fingerprints, when given, must match."""
        store = open_store(Path(path))
        check_fingerprints(store, weights_fingerprint, tokenizer_fingerprint, "the model's")
        return cls((store,))

    @classmethod
    def from_arrays(
        cls,
        *,
        keys: np.ndarray,
        values: np.ndarray,
        key_scales: np.ndarray,
        value_scales: np.ndarray,
        tokens: np.ndarray,
        parts: Sequence[PartSpan],
        weights_fingerprint: str,
        tokenizer_fingerprint: str,
    ) -> "Reading":
        """A reading in RAM. Arrays are laid out as on disk, padding zero; they are not copied."""
        shape = Shape(key_dim=keys.shape[-1], value_dim=values.shape[-1])
        manifest = Manifest(
            tokens=len(tokens),
            shape=shape,
            weights_fingerprint=weights_fingerprint,
            tokenizer_fingerprint=tokenizer_fingerprint,
            parts=tuple(parts),
        )
        arrays = (keys, values, key_scales, value_scales, tokens)
        check_arrays(arrays, len(tokens), shape)
        return cls((Store(manifest=manifest, arrays=arrays),))

    @classmethod
    def combine(cls, readings: Sequence["Reading"]) -> "Reading":
        """Put readings side by side without copying; ReadingError when other weights made one."""
        return cls(tuple(store for reading in readings for store in reading.stores))

    def save(self, path: str | Path) -> "Reading":
        """Write it to `path`, beside and then renamed, and open it there."""
        from pollux.memory.store import Writer, check_space  # it opens what it wrote

        self.verify()  # else damage would be given a fresh checksum
        check_space(path, len(self), self.shape)
        writer = Writer.create(
            path, self.shape, self.weights_fingerprint, self.tokenizer_fingerprint
        )
        with writer:
            for store in self.stores:
                for part in store.manifest.parts:
                    writer.begin_part(part.name, part.kind, part.note)
                    for start in range(part.start, part.end, SEGMENT):
                        end = min(start + SEGMENT, part.end)
                        blocks = -(-end // BLOCK) * BLOCK
                        writer.append(*store.slices(start, blocks), valid=BLOCK - (blocks - end))
                    writer.end_part(part.text_start - part.start, part.sha256)
            return writer.finish()

    def __len__(self) -> int:
        """Tokens, the padding of last blocks included."""
        return sum(store.manifest.tokens for store in self.stores)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Position of the first token of each store."""
        ends = np.cumsum([store.manifest.tokens for store in self.stores]).tolist()
        return (0, *ends[:-1])

    @property
    def shape(self) -> Shape:
        return self.stores[0].manifest.shape

    @property
    def weights_fingerprint(self) -> str:
        return self.stores[0].manifest.weights_fingerprint

    @property
    def tokenizer_fingerprint(self) -> str:
        return self.stores[0].manifest.tokenizer_fingerprint

    @property
    def path(self) -> Path | None:
        """Where it is on disk; None in RAM and when combined."""
        return self.stores[0].path if len(self.stores) == 1 else None

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays take, on disk or in RAM."""
        return bytes_of(len(self), self.shape)

    @cached_property
    def parts(self) -> tuple[PartSpan, ...]:
        return tuple(
            replace(
                part,
                start=part.start + offset,
                text_start=part.text_start + offset,
                end=part.end + offset,
            )
            if offset
            else part
            for offset, store in zip(self.offsets, self.stores, strict=True)
            for part in store.manifest.parts
        )

    def part_of(self, position: int) -> PartSpan:
        """The part that `position` is in; IndexError on padding and outside."""
        index = bisect.bisect_right(self._part_starts, position) - 1
        if index < 0 or position >= self.parts[index].end:
            raise IndexError(f"position {position} is in no part of the reading")
        return self.parts[index]

    @cached_property
    def _part_starts(self) -> tuple[int, ...]:
        return tuple(part.start for part in self.parts)

    # Whole arrays: maps for one reading, copies in RAM when several are combined; not verified.
    # `segments` and `take` never copy more than they return.
    @cached_property
    def keys(self) -> np.ndarray:
        return self._whole(0)

    @cached_property
    def values(self) -> np.ndarray:
        return self._whole(1)

    @cached_property
    def key_scales(self) -> np.ndarray:
        return self._whole(2)

    @cached_property
    def value_scales(self) -> np.ndarray:
        return self._whole(3)

    @cached_property
    def tokens(self) -> np.ndarray:
        return self._whole(4)

    def _whole(self, number: int) -> np.ndarray:
        arrays = [store.arrays[number] for store in self.stores]
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

    def take(self, positions: np.ndarray) -> Rows:
        """The memory at `positions`, int [n]; a copy of those rows only."""
        positions = np.asarray(positions, np.int64)
        if len(positions) and not 0 <= positions.min() <= positions.max() < len(self):
            raise IndexError(f"positions must be in 0..{len(self) - 1}")
        files = array_files(self.shape)
        rows = [np.empty((len(positions), *file.row_shape), file.dtype) for file in files]
        owner = np.searchsorted(self.offsets, positions, side="right") - 1
        for number in np.unique(owner):
            here = owner == number
            local = positions[here] - self.offsets[number]
            for file, out, array in zip(files, rows, self.stores[number].arrays, strict=True):
                out[here] = array[local // file.tokens_per_row]
        return Rows(**{file.name: out for file, out in zip(files, rows, strict=True)})

    @cached_property
    def _segments(self) -> tuple[tuple[int, int], ...]:
        """(store, number within it) of each segment."""
        return tuple(
            (i, number)
            for i, store in enumerate(self.stores)
            for number in range(store.manifest.segments)
        )

    @property
    def num_segments(self) -> int:
        return len(self._segments)

    def segment(self, index: int) -> Segment:
        """One segment, verified the first time it is delivered; views, no copies."""
        owner, number = self._segments[index]
        store = self.stores[owner]
        store.verify(number)
        start = number * SEGMENT
        end = min(start + SEGMENT, store.manifest.tokens)
        arrays = zip(array_files(self.shape), store.slices(start, end), strict=True)
        return Segment(
            index=index,
            start=self.offsets[owner] + start,
            valid=self.valid_mask(index),
            **{file.name: array for file, array in arrays},
        )

    def segments(self) -> Iterator[Segment]:
        """Every segment in order. Only the last one of each combined reading may be short."""
        for index in range(self.num_segments):
            yield self.segment(index)

    def valid_mask(self, segment: int) -> np.ndarray:
        """Where a segment holds real tokens, bool [n]; False on padding."""
        owner, number = self._segments[segment]
        blocks = SEGMENT // BLOCK
        counts = self.stores[owner].valid_counts[number * blocks : (number + 1) * blocks]
        return (np.arange(BLOCK) < counts[:, None]).ravel()

    @property
    def num_valid(self) -> int:
        """Tokens without the padding."""
        return sum(part.end - part.start for part in self.parts)

    def verify(self, segment: int | None = None) -> None:
        """Check the checksums of one segment or of all; those checked before are not read again."""
        for owner, number in self._segments if segment is None else (self._segments[segment],):
            self.stores[owner].verify(number)


def name_of(store: Store) -> str:
    return str(store.path or "a reading in memory")


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
        expected = (file.rows(tokens), *file.row_shape)
        if array.shape != expected or array.dtype != np.dtype(file.dtype):
            raise ValueError(
                f"{file.name} must be {file.dtype} {expected}, not {array.dtype} {array.shape}"
            )


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
        shape = (file.rows(tokens), *file.row_shape)
        if not needed:  # nothing cannot be mapped
            return np.zeros(shape, file.dtype)
        return np.memmap(opened, file.dtype, "r", shape=shape).view(np.ndarray)
