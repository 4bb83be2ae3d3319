# SPDX-License-Identifier: Apache-2.0
"""A reading to recall from: opened from disk as memory maps, made in RAM, or several side by side.

Readings compose because every part starts at a block boundary and from a clean window: positions
are shifted, nothing else changes.
"""

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pollux.errors import ReadingError
from pollux.memory.arrays import Store, check_arrays, check_fingerprints, name_of, open_store
from pollux.memory.manifest import (
    BLOCK,
    SEGMENT,
    Manifest,
    PartSpan,
    Shape,
    array_files,
    bytes_of,
)

SHOWN = 8  # names in a message


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """What the memory holds at some positions."""

    keys: np.ndarray  # int8 [n, key_dim]
    values: np.ndarray  # int8 [n, value_dim]
    key_scales: np.ndarray  # float16 [n]
    value_scales: np.ndarray  # float16 [n]
    tokens: np.ndarray  # uint16 [n]


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """Up to SEGMENT consecutive tokens, always whole blocks. `valid` is False on padding."""

    index: int
    start: int  # position of its first token in the reading
    keys: np.ndarray  # int8 [n, key_dim]
    values: np.ndarray  # int8 [n, value_dim]
    key_scales: np.ndarray  # float16 [n]
    value_scales: np.ndarray  # float16 [n]
    tokens: np.ndarray  # uint16 [n]
    valid: np.ndarray  # bool [n]


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

        check_space(path, len(self), self.shape)
        writer = Writer.create(
            path, self.shape, self.weights_fingerprint, self.tokenizer_fingerprint
        )
        with writer:
            writer.add(self)
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
        """Where it is on disk; None in RAM, when combined, and for a part of it."""
        return self.stores[0].path if len(self.stores) == 1 else None

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays take, on disk or in RAM."""
        return bytes_of(len(self), self.shape)

    @cached_property
    def parts(self) -> tuple[PartSpan, ...]:
        return tuple(
            part.moved(offset) if offset else part
            for offset, store in zip(self.offsets, self.stores, strict=True)
            for part in store.manifest.parts
        )

    def part_of(self, position: int) -> PartSpan:
        """The part that `position` is in; IndexError on padding and outside."""
        index = bisect.bisect_right(self._part_starts, position) - 1
        if index < 0 or position >= self.parts[index].end:
            raise IndexError(f"position {position} is in no part of the reading")
        return self.parts[index]

    def ends_of(self, positions: np.ndarray) -> np.ndarray:
        """One past the last token of the part that each position is in, or is padding behind."""
        index = np.searchsorted(self._part_starts, positions, side="right") - 1
        return self._part_ends[index]

    def store_of(self, position: int) -> int:
        """The number of the store that `position` is in."""
        return bisect.bisect_right(self.offsets, position) - 1

    def find(self, name: str) -> PartSpan:
        """The part of that name, or the only one whose path ends so; ReadingError if none or many.

        "app.py" finds "src/app.py".
        """
        found = [part for part in self.parts if part.name == name]
        found = found or [part for part in self.parts if part.name.endswith(f"/{name}")]
        if len(found) == 1:
            return found[0]
        names = [part.name for part in found or self.parts]
        more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
        listed = ", ".join(names[:SHOWN]) + more
        if not found:
            raise ReadingError(f"no part is called {name!r}; there are {listed or 'none'}")
        mend = "give the whole name" if len({*names}) > 1 else "open the readings one by one"
        raise ReadingError(f"{len(found)} parts are called {name!r} ({listed}): {mend}")

    def part(self, name: str) -> "Reading":
        """A reading of that one part (see `find`), without copying."""
        return self.alone(self.find(name))

    def alone(self, part: PartSpan) -> "Reading":
        """A reading of one of `parts`, without copying."""
        number = self.store_of(part.start)
        index = self.stores[number].number_of(part.start - self.offsets[number])
        return Reading((self.stores[number].cut(index, index + 1),))

    @cached_property
    def _part_starts(self) -> tuple[int, ...]:
        return tuple(part.start for part in self.parts)

    @cached_property
    def _part_ends(self) -> np.ndarray:
        return np.array([part.end for part in self.parts])

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
        if len(self.stores) == 1:  # the usual case, in a third of the time
            found = [np.asarray(array)[positions] for array in self.stores[0].arrays]
            return Rows(**{file.name: rows for file, rows in zip(files, found, strict=True)})
        rows = [np.empty((len(positions), *file.row_shape), file.dtype) for file in files]
        owner = np.searchsorted(self.offsets, positions, side="right") - 1
        for number in np.unique(owner):
            here = owner == number
            local = positions[here] - self.offsets[number]
            for out, array in zip(rows, self.stores[number].arrays, strict=True):
                out[here] = array[local]
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
