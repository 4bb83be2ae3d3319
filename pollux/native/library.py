# SPDX-License-Identifier: Apache-2.0
"""C files of this folder, compiled where they are first needed.

They need Linux on a processor with AVX-512 VNNI, and a C compiler; where there is none, XLA does
the same more slowly. The result is kept in the cache directory, under a name that says what it was
made from.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np

from pollux.cache import cache_directory

NEEDED = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"}
THREADS = os.cpu_count() or 1
OPTIONS = ("-O3", "-march=native", "-shared", "-fPIC")
PATIENCE = 60  # seconds for the compiler


def compiled(name: str, numbers: Mapping[str, int | float]) -> ctypes.CDLL | None:
    """The library made of a file, with its numbers; None where it cannot be made."""
    flags = processor()
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if not compiler or not flags >= NEEDED or platform.machine() != "x86_64":
        return None
    source = (files("pollux") / "native" / name).read_bytes()
    options = (*OPTIONS, *(f"-D{key}={value}" for key, value in numbers.items()))
    made_from = f"{source} {options} {compiler} {sorted(flags)}"
    library = hashlib.sha256(made_from.encode()).hexdigest()[:24]
    path = cache_directory() / "native" / f"{library}.so"
    if path.exists():
        return ctypes.CDLL(str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as directory:
            made = Path(directory) / path.name
            command = [compiler, *options, "-x", "c", "-", "-o", str(made)]
            subprocess.run(command, input=source, capture_output=True, timeout=PATIENCE, check=True)
            made.replace(path)
    except (OSError, subprocess.SubprocessError):
        return None
    return ctypes.CDLL(str(path))


def address(array: np.ndarray) -> int:
    return array.ctypes.data


def processor() -> set[str]:
    """What it can do, as Linux says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split(":")[1].split()) for line in lines if line[:5] == "flags"), set())
