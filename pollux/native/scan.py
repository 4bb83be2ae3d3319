# SPDX-License-Identifier: Apache-2.0
"""The scan of keys, compiled (scan.c)."""

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import numpy as np

from pollux.config import BLOCK
from pollux.native.library import THREADS, address, compiled
from pollux.ops.attention import MASKED

PIECE = 256  # keys whose scores stay in the cache
EDGE = 8  # keys before the first, and positions at most
HEADS, WIDTH = 32, 256  # of queries and of a key, at most
NUMBERS = {"PIECE": PIECE, "EDGE": EDGE, "BLOCK": BLOCK, "HEADS": HEADS, "WIDTH": WIDTH}
LEAST = 32 * PIECE  # keys that are worth a thread

# (digits, scale, decay, keys, key_scales, valid, since, total, edge) -> total, maxima of blocks
Scan = Callable[..., tuple[np.ndarray, np.ndarray]]
Edge = tuple[np.ndarray, np.ndarray, np.ndarray]  # keys [8, K], scales [8], sums [Q, 8]


class _Queries(ctypes.Structure):
    _fields_ = (
        ("digits", ctypes.c_void_p),
        ("factor", ctypes.c_void_p),
        ("left", ctypes.c_void_p),
        ("positions", ctypes.c_int64),
        ("heads", ctypes.c_int64),
        ("width", ctypes.c_int64),
    )


class _Keys(ctypes.Structure):
    _fields_ = (("keys", ctypes.c_void_p), ("key_scales", ctypes.c_void_p))


@cache
def scan(heads: int, width: int) -> Scan | None:
    """`add` for so many heads and entries of a key; None where XLA has to do it."""
    fits = heads <= HEADS and width <= WIDTH and not width % 64
    made = compiled("scan.c", NUMBERS) if fits else None
    if made is None:
        return None
    function = made.pollux_scan
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = (
        *(ctypes.POINTER(_Queries), _Keys, pointer, pointer, _Keys, pointer, count),
        *(pointer, count, pointer, count, ctypes.c_float),
    )
    return partial(add, function, ThreadPoolExecutor(THREADS))


def add(
    function: Callable[..., int],
    threads: ThreadPoolExecutor,
    digits: np.ndarray,
    scale: np.ndarray,
    decay: np.ndarray,
    *stretch: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Adds M positions to the sums of one stretch of keys, in place.

    `digits` int8 [M, Q, K], `scale` and `decay` float32 [M, Q], M 8 at most. `stretch`: keys int8
    [N, K], key scales float16 [N], valid [N], since uint8 [N], total float32 [Q, N], Edge; N a
    multiple of 256. Gives total and the maximum of each block [Q, N / 64].
    """
    *columns, total, edge = stretch
    keys, key_scales, valid, since = map(np.ascontiguousarray, columns)
    positions, heads, width = digits.shape
    after = np.cumprod(decay[::-1], 0)[::-1]  # what is left at the last position, its own too
    factor = scale * np.concatenate([after[1:], np.ones((1, heads), np.float32)])
    arrays = [np.ascontiguousarray(array) for array in (digits, factor, after[0])]
    asked = _Queries(*map(address, arrays), positions, heads, width)
    best = np.empty((heads, len(keys) // BLOCK), np.float32)

    def part(start: int, end: int, edge: Edge) -> int:
        here = _Keys(address(keys[start:]), address(key_scales[start:]))
        before = _Keys(address(edge[0]), address(edge[1]))
        return function(
            *(
                asked,
                here,
                address(valid[start:]),
                address(since[start:]),
                before,
                address(edge[2]),
            ),
            *(end - start, address(total[:, start:]), len(keys)),
            *(address(best[:, start // BLOCK :]), best.shape[1], MASKED),
        )

    share = max(LEAST, -(-len(keys) // THREADS // PIECE) * PIECE)
    starts = range(0, len(keys), share)
    edges = [edge, *(ends(keys[:s], key_scales[:s], total[:, :s]) for s in starts[1:])]
    stops = [min(start + share, len(keys)) for start in starts]
    if any(threads.map(part, starts, stops, edges)):
        raise ValueError(f"{positions} positions, {heads} heads, {width} entries, {len(keys)} keys")
    return total, best


def ends(keys: Any, key_scales: Any, total: np.ndarray) -> Edge:
    """What the keys after these need to know of them: a copy, because sums are added in place."""
    last = np.asarray(keys)[-EDGE:], np.asarray(key_scales)[-EDGE:]
    return *last, total[:, -EDGE:].copy()
