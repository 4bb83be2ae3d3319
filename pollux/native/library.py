# SPDX-License-Identifier: Apache-2.0
"""`scan.c`, compiled where it is first needed; where it cannot be, XLA does the same more slowly.

It needs Linux on a processor with AVX-512 VNNI, and a C compiler. The result is kept in the cache
directory, under a name that says what it was made from.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from pollux.cache import cache_directory
from pollux.config import BLOCK
from pollux.ops.attention import MASKED

NEEDED = {"avx512f", "avx512bw", "avx512vl", "avx512_vnni"}
PIECE = 256  # keys whose scores stay in the cache
EDGE = 8  # keys before the first, and positions at most
HEADS, WIDTH = 32, 256  # of queries and of a key, at most
NUMBERS = {"PIECE": PIECE, "EDGE": EDGE, "BLOCK": BLOCK, "HEADS": HEADS, "WIDTH": WIDTH}
LEAST = 32 * PIECE  # keys that are worth a thread
THREADS = os.cpu_count() or 1
OPTIONS = ("-O3", "-march=native", "-shared", "-fPIC", *(f"-D{k}={v}" for k, v in NUMBERS.items()))
PATIENCE = 60  # seconds for the compiler

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
    path = _compiled() if fits else None
    if path is None:
        return None
    function = ctypes.CDLL(str(path)).pollux_scan
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
    asked = _Queries(*map(_at, arrays), positions, heads, width)
    best = np.empty((heads, len(keys) // BLOCK), np.float32)

    def part(start: int, end: int, edge: Edge) -> int:
        here = _Keys(_at(keys[start:]), _at(key_scales[start:]))
        before = _Keys(_at(edge[0]), _at(edge[1]))
        return function(
            *(asked, here, _at(valid[start:]), _at(since[start:]), before, _at(edge[2])),
            *(end - start, _at(total[:, start:]), len(keys)),
            *(_at(best[:, start // BLOCK :]), best.shape[1], MASKED),
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


def _at(array: np.ndarray) -> int:
    return array.ctypes.data


def _compiled() -> Path | None:
    """The library's file, made if need be."""
    flags = processor()
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if not compiler or not flags >= NEEDED or platform.machine() != "x86_64":
        return None
    source = files("pollux") / "native" / "scan.c"
    made_from = f"{source.read_text()} {OPTIONS} {compiler} {sorted(flags)}"
    name = hashlib.sha256(made_from.encode()).hexdigest()[:24]
    path = cache_directory() / "native" / f"{name}.so"
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as directory:
            made = Path(directory) / path.name
            command = [compiler, *OPTIONS, "-x", "c", "-", "-o", str(made)]
            subprocess.run(
                command,
                input=source.read_bytes(),
                capture_output=True,
                timeout=PATIENCE,
                check=True,
            )
            made.replace(path)
    except (OSError, subprocess.SubprocessError):
        return None
    return path


def processor() -> set[str]:
    """What it can do, as Linux says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split(":")[1].split()) for line in lines if line[:5] == "flags"), set())
