# SPDX-License-Identifier: Apache-2.0
"""Exact recall: every key of a reading is scored, segment by segment, on disk or in memory."""

from dataclasses import dataclass

import jax
import numpy as np

from pollux.config import BLOCK
from pollux.engine.model import Loaded, Recalled
from pollux.memory.reading import Reading, Segment
from pollux.memory.store import SEGMENT


@dataclass(frozen=True, eq=False)
class Scannable:
    """A stretch of keys of one of a few sizes. Key i is at `start + i`, or `positions[i]`."""

    keys: jax.Array  # int8 [n, key_dim]; whole segments alias the reading's own memory
    key_scales: jax.Array
    valid: jax.Array
    start: int
    positions: np.ndarray | None = None

    def to_reading(self, at: np.ndarray) -> np.ndarray:
        return at + self.start if self.positions is None else self.positions[at]


@dataclass(frozen=True, eq=False)
class Hits:
    """The best keys for one position, per head: logits, and where in the reading."""

    score: np.ndarray  # float32 [H, k]
    position: np.ndarray  # int64 [H, k]


def scannables(reading: Reading) -> list[Scannable]:
    """The whole reading, opened for scanning; each segment's checksum is verified on the way."""
    found, short = [], []
    for segment in reading.segments():
        if len(segment.keys) == SEGMENT:
            arrays = map(jax.device_put, (segment.keys, segment.key_scales, segment.valid))
            found.append(Scannable(*arrays, start=segment.start))
        else:
            short.append(segment)
    waiting: list[Segment] = []
    for segment in [*short, None]:
        if segment is None or sum(len(s.keys) for s in [*waiting, segment]) > SEGMENT:
            found += [packed(waiting)] if waiting else []
            waiting = []
        waiting += [segment] if segment else []
    return found


def packed(segments: list[Segment]) -> Scannable:
    """Short segments put together and padded to a power of two, so that few shapes are compiled."""
    size = sum(len(segment.keys) for segment in segments)
    room = max(BLOCK * 64, 1 << (size - 1).bit_length())
    return Scannable(
        keys=jax.device_put(_joined([s.keys for s in segments], room - size)),
        key_scales=jax.device_put(
            _joined([s.key_scales for s in segments], (room - size) // BLOCK)
        ),
        valid=jax.device_put(_joined([s.valid for s in segments], room - size)),
        start=0,
        positions=_joined([s.start + np.arange(len(s.keys)) for s in segments], room - size),
    )


def _joined(arrays: list[np.ndarray], zeros: int) -> np.ndarray:
    """The arrays put together, with that many zeros (rows of them) behind."""
    return np.concatenate([*arrays, np.zeros((zeros, *arrays[0].shape[1:]), arrays[0].dtype)])


def recall(model: Loaded, stretches: list[Scannable], digits: jax.Array, scale: jax.Array) -> Hits:
    """The top k of every head over all keys."""
    found = [model.scan(digits, scale, s.keys, s.key_scales, s.valid) for s in stretches]
    score = np.concatenate([np.asarray(s) for s, _ in found], 1)
    where = [s.to_reading(np.asarray(at)) for s, (_, at) in zip(stretches, found, strict=True)]
    position = np.concatenate(where, 1)
    best = np.argsort(-score, 1, kind="stable")[:, : model.config.recall_top_k]
    return Hits(np.take_along_axis(score, best, 1), np.take_along_axis(position, best, 1))


def gather(reading: Reading, hits: Hits) -> Recalled:
    """What the hits hold."""
    rows = reading.take(hits.position.ravel())
    shape = hits.position.shape
    return Recalled(hits.score, rows.values.reshape(*shape, -1), rows.value_scales.reshape(shape))
