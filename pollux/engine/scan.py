# SPDX-License-Identifier: Apache-2.0
"""Exact recall: every key of a reading is scored, stretch by stretch, on disk or in memory."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from pollux.config import BLOCK
from pollux.engine.model import Edge, Held, Loaded, Queries
from pollux.memory.arrays import joined
from pollux.memory.reading import Reading, Segment
from pollux.memory.store import SEGMENT
from pollux.native import scan as compiled

AT_ONCE = compiled.EDGE  # positions together: 16 cost four times as much, out of the cache (0010)
PAUSE = 16 << 20  # keys times positions, some tenths of a second

Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True, eq=False)
class Stretch:
    """Keys of one of a few sizes; key i is at `positions[i]` of the reading.

    `goes_on`: its first key follows the last one of the stretch before it.
    """

    keys: jax.Array  # int8 [n, key_dim]; whole segments alias the reading's own memory
    key_scales: jax.Array
    valid: jax.Array
    since: jax.Array  # uint8: tokens before it in its part, 255 and more
    positions: np.ndarray
    goes_on: bool


def stretches(reading: Reading) -> list[Stretch]:
    """The whole reading, opened for scanning; each segment's checksum is verified on the way.

    Small readings are put together, so that many of them are no slower than a large one.
    """
    starts = np.array([part.start for part in reading.parts])
    stores = set(reading.offsets)
    found, small, size = [], [], 0
    segments = list(reading.segments())
    for segment, following in zip(segments, [*segments[1:], None], strict=True):
        first = segment.start in stores
        last = following is None or following.start in stores
        if not (first and last and len(segment.keys) < SEGMENT):
            found.append(_stretch([segment], starts, goes_on=not first))
            continue
        if size + len(segment.keys) > SEGMENT:
            found.append(_stretch(small, starts, goes_on=False))
            small, size = [], 0
        small.append(segment)
        size += len(segment.keys)
    return [*found, _stretch(small, starts, goes_on=False)] if small else found


def _stretch(segments: list[Segment], starts: np.ndarray, goes_on: bool) -> Stretch:
    """Padded to a power of two, so that few shapes are compiled."""
    positions = np.concatenate([s.start + np.arange(len(s.keys)) for s in segments])
    size = len(positions)
    room = max(BLOCK * 64, 1 << (size - 1).bit_length()) - size
    since = positions - starts[np.searchsorted(starts, positions, side="right") - 1]
    return Stretch(
        keys=jax.device_put(_padded([s.keys for s in segments], room)),
        key_scales=jax.device_put(_padded([s.key_scales for s in segments], room)),
        valid=jax.device_put(_padded([s.valid for s in segments], room)),
        since=jax.device_put(_padded([np.minimum(since, 255).astype(np.uint8)], room)),
        positions=_padded([positions], room),
        goes_on=goes_on,
    )


def _padded(arrays: list[np.ndarray], zeros: int) -> np.ndarray:
    """The arrays put together, with that many zeros (rows of them) behind; one alone as it is."""
    if len(arrays) == 1 and not zeros:
        return arrays[0]
    return joined([*arrays, np.zeros((zeros, *arrays[0].shape[1:]), arrays[0].dtype)])


@dataclass(frozen=True, eq=False)
class Hits:
    """The best keys of each head: sums of scores, and where in the reading."""

    total: np.ndarray  # float32 [Q, k]
    position: np.ndarray  # int64 [Q, k]


class Scan:
    """One answer's way through a reading: what every key has scored up to its last position."""

    def __init__(self, model: Loaded, stretches: list[Stretch]):
        self.model, self.stretches = model, stretches
        heads, sizes = model.query_heads, [len(stretch.keys) for stretch in stretches]
        self.totals: list[Any]
        if native := compiled.scan(heads, model.config.key_dim):
            self.add_to, self.ends = native, compiled.ends
            self.totals = [np.zeros((heads, size), np.float32) for size in sizes]
        else:
            self.add_to, self.ends = model.scan, _ends
            zeros = {size: jnp.zeros((heads, size)) for size in set(sizes)}
            self.totals = [zeros[size] for size in sizes]
        self.waiting: list[Queries] = []
        self.fresh = True  # nothing has been scored
        self.pieces: list[list[np.ndarray]] = []  # what is gone over the keys with
        self.edges: list[Edge] = []  # for each piece
        self.highest: list[Any] = []  # maximum of each block, for each stretch gone over

    def add(self, queries: Queries) -> None:
        """Positions to be scored when next there is something to recall."""
        self.waiting.append(queries)

    def recall(self) -> Hits:
        """The top k of every head over all keys, at the position added last."""
        return run(recall([self]))[0]

    def begin(self) -> int:
        """Makes ready to go over the keys; says for how many positions."""
        asked = [(queries.digits, queries.scale, queries.decay) for queries in self.waiting]
        rows = [np.concatenate(arrays) for arrays in zip(*asked, strict=True)]
        if self.fresh and (count := len(rows[0])) <= AT_ONCE:
            # One pass of a few more is quicker than several: nothing in front adds nothing.
            front = (1 << (count - 1).bit_length()) - count
            rows = [np.pad(a, ((front, 0), *[(0, 0)] * (a.ndim - 1))) for a in rows]
        self.waiting, self.pieces, self.fresh, at = [], [], False, 0
        while at < len(rows[0]):
            size = min(AT_ONCE, 1 << ((len(rows[0]) - at).bit_length() - 1))  # few to compile
            self.pieces.append([array[at : at + size] for array in rows])
            at += size
        heads, width = rows[0].shape[1:]
        self.none = Edge(
            np.zeros((AT_ONCE, width), np.int8),
            np.zeros(AT_ONCE, np.float16),
            np.zeros((heads, AT_ONCE), np.float32),
        )
        self.edges, self.highest = [self.none] * len(self.pieces), []
        return at

    def go_over(self, number: int) -> None:
        """Adds the positions to the totals of one stretch, which come in order."""
        stretch, total = self.stretches[number], self.totals[number]
        following = self.stretches[number + 1 : number + 2]
        for i, (digits, scale, decay) in enumerate(self.pieces):
            edge = self.edges[i] if stretch.goes_on else self.none
            if following and following[0].goes_on:
                self.edges[i] = Edge(*self.ends(stretch.keys, stretch.key_scales, total))
            total, highest = self.add_to(
                digits,
                scale,
                decay,
                stretch.keys,
                stretch.key_scales,
                stretch.valid,
                stretch.since,
                total,
                edge,
            )
        self.totals[number] = total
        self.highest.append(highest)

    def end(self) -> Hits:
        return self._best([np.asarray(highest) for highest in self.highest])

    def _best(self, blocks: list[np.ndarray]) -> Hits:
        """The exact top k: all of them lie in the k blocks with the highest maxima."""
        heads, top_k = len(blocks[0]), self.model.config.recall_top_k
        highest = np.concatenate(blocks, 1)
        chosen = _largest(highest, top_k)
        total = np.empty((*chosen.shape, BLOCK), np.float32)
        position = np.empty((*chosen.shape, BLOCK), np.int64)
        start = 0
        for stretch, totals, of_blocks in zip(self.stretches, self.totals, blocks, strict=True):
            head, column = np.nonzero((chosen >= start) & (chosen < start + of_blocks.shape[1]))
            block = chosen[head, column] - start
            start += of_blocks.shape[1]
            valid = np.asarray(stretch.valid).reshape(-1, BLOCK)[block]
            sums = np.asarray(totals).reshape(heads, -1, BLOCK)[head, block]
            total[head, column] = np.where(valid, sums, NOTHING)
            position[head, column] = stretch.positions.reshape(-1, BLOCK)[block]
        total, position = total.reshape(heads, -1), position.reshape(heads, -1)
        best = _largest(total, top_k)
        return Hits(np.take_along_axis(total, best, 1), np.take_along_axis(position, best, 1))


NOTHING = np.float32(-1e30)


def recall(scans: Sequence[Scan]) -> Generator[None, None, list[Hits]]:
    """What each recalls of the same reading: its keys are gone through once, for all of them.

    Pauses from time to time, so that something else can be done between. Nothing is stacked: that
    would move more memory than it saves (docs/decisions/0010-batching.md).
    """
    positions, since = sum(scan.begin() for scan in scans), 0
    for number, stretch in enumerate(scans[0].stretches):
        for scan in scans:
            scan.go_over(number)
        since += positions * len(stretch.keys)
        if since >= PAUSE:
            jax.block_until_ready([scan.highest[-1] for scan in scans])
            since = 0
            yield
    return [scan.end() for scan in scans]


def run(making: Generator[Any, None, Made]) -> Made:
    """To its end, without a pause."""
    while True:
        try:
            next(making)
        except StopIteration as stop:
            return stop.value


def total_bytes(model: Loaded, stretches: Sequence[Stretch]) -> int:
    """What one answer takes besides the reading: a number for each key and head."""
    return 4 * model.query_heads * sum(len(stretch.keys) for stretch in stretches)


def _largest(x: np.ndarray, count: int) -> np.ndarray:
    """Where the `count` largest of each row are, in no order; all where there are fewer."""
    if x.shape[1] <= count:
        return np.broadcast_to(np.arange(x.shape[1]), x.shape)
    return np.argpartition(-x, count - 1, 1)[:, :count]


@jax.jit
def _ends(keys: jax.Array, key_scales: jax.Array, total: jax.Array) -> tuple[jax.Array, ...]:
    return keys[-AT_ONCE:], key_scales[-AT_ONCE:], total[:, -AT_ONCE:]


def hold(reading: Reading, position: np.ndarray, valid: np.ndarray) -> Held:
    """What the memory holds at positions [M, Q, k]; where not valid, anything."""
    rows = reading.take(np.where(valid, position, 0).ravel())
    shape = position.shape
    return Held(
        rows.keys.reshape(*shape, -1),
        rows.key_scales.reshape(shape),
        rows.values.reshape(*shape, -1),
        rows.value_scales.reshape(shape),
        valid,
    )
