# SPDX-License-Identifier: Apache-2.0
"""Machines that a reading may be planned for: this one, a CPU described, or TPU chips.

What chips have is what their maker says. What they sustain is an assumption, and said to be one.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pollux.errors import InputError

GB = 10**9
CPU_FLOPS = 70e9  # a second and core, sustained by reading
CPU_BASIS = "70 GFLOP/s a core, about what reading reaches on two AVX-512 cores (docs/peers.md)"
TPU_SHARE = 0.4
TPU_BASIS = "40% of the bfloat16 peak, an assumption: Pollux was not run on TPUs"
MOST_CORES, MOST_GB = 10_000, 10**6
EXAMPLES = "this, cpu:8,64 (cores, GB of RAM), cpu:8,64,500 (GB of disk too), v5e-256, v5p-1024"


@dataclass(frozen=True, kw_only=True)
class Chip:
    """A kind of TPU. A machine's name counts chips, or their cores where each has two."""

    memory: int  # bytes of HBM
    flops: float  # a second in bfloat16, at the peak
    most: int  # chips of the largest slice
    cores: int  # that a name counts for a chip
    source: str


CHIPS = {
    "v5e": Chip(
        memory=16 * GB,
        flops=197e12,
        most=256,
        cores=1,
        source="cloud.google.com/tpu/docs/v5e",
    ),
    "v5p": Chip(
        memory=95 * GB,
        flops=459e12,
        most=6_144,
        cores=2,
        source="cloud.google.com/tpu/docs/v5p",
    ),
    "v6e": Chip(
        memory=32 * GB,
        flops=918e12,
        most=256,
        cores=1,
        source="cloud.google.com/tpu/docs/v6e",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A CPU, with all its cores, is one chip."""

    name: str
    kind: str  # "CPU" or a key of CHIPS
    chips: int = 1
    memory: int  # bytes free: RAM, or HBM of a chip
    disk: int | None = None  # bytes free; None: not known, and for chips not used
    flops: float  # a second of a chip, sustained
    basis: str  # of `flops`
    source: str  # of the rest

    @property
    def is_cpu(self) -> bool:
        return self.kind == "CPU"

    @property
    def number_bytes(self) -> int:
        """Of a weight or activation: float32 on CPUs, bfloat16 on chips."""
        return 4 if self.is_cpu else 2

    def larger(self) -> Iterator["Machine"]:
        """Slices of twice as many chips, and again, as far as there are."""
        chips = 2 * self.chips
        while not self.is_cpu and chips <= CHIPS[self.kind].most:
            yield replace(self, name=f"{self.kind}-{chips * CHIPS[self.kind].cores}", chips=chips)
            chips *= 2


def machine_of(name: str, directory: Path = Path()) -> Machine:
    """The machine of that name; InputError when there is none. `directory`: whose disk counts."""
    kind, _, number = name.partition("-")
    if name == "this":
        return this_machine(directory)
    if name.startswith("cpu:"):
        return _described(name)
    if kind not in CHIPS or not re.fullmatch(r"[1-9]\d{0,6}", number):
        raise InputError(f"there is no machine {name!r}; name one like {EXAMPLES}")
    chip = CHIPS[kind]
    chips, odd = divmod(int(number), chip.cores)
    if odd or chips > chip.most:
        counted = "chips" if chip.cores == 1 else f"cores, {chip.cores} a chip"
        raise InputError(
            f"there is no machine {name!r}: the number counts {counted}, and {kind} ends at "
            f"{kind}-{chip.most * chip.cores}"
        )
    return Machine(
        name=name,
        kind=kind,
        chips=chips,
        memory=chip.memory,
        flops=TPU_SHARE * chip.flops,
        basis=TPU_BASIS,
        source=chip.source,
    )


def _described(name: str) -> Machine:
    """cpu:CORES,GB[,GB]."""
    found = re.fullmatch(r"cpu:(\d{1,6}),(\d{1,9}(?:\.\d+)?)(?:,(\d{1,9}(?:\.\d+)?))?", name)
    cores, ram, disk = found.groups() if found else ("0", "0", None)
    if not (1 <= int(cores) <= MOST_CORES and 0 < float(ram) <= MOST_GB):
        raise InputError(f"{name!r} is no machine; write cpu:8,64 or cpu:8,64,500 (cores, GB, GB)")
    return Machine(
        name=name,
        kind="CPU",
        memory=round(float(ram) * GB),
        disk=None if disk is None else round(float(disk) * GB),
        flops=int(cores) * CPU_FLOPS,
        basis=CPU_BASIS,
        source="as described",
    )


def this_machine(directory: Path = Path()) -> Machine:
    """What is free here now, and on the disk of `directory`, or of the nearest one above it."""
    directory = directory.absolute()
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(
        name="this machine",
        kind="CPU",
        memory=free_memory(),
        disk=shutil.disk_usage(directory).free,
        flops=(cores or 1) * CPU_FLOPS,
        basis=CPU_BASIS,
        source=f"{cores or 1} cores; free RAM and disk of {directory}",
    )


def free_memory() -> int:
    """Bytes of RAM that could be used, this process's own among them."""
    page = os.sysconf("SC_PAGE_SIZE")
    free = page * os.sysconf("SC_AVPHYS_PAGES")
    own = 0
    with suppress(OSError, LookupError, ValueError):  # Linux: caches can be given up too
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = 1024 * int(
            next(line for line in lines if line.startswith("MemAvailable")).split()[1]
        )
        own = page * int(Path("/proc/self/statm").read_text().split()[1])
    with suppress(OSError, ValueError):  # a container's limit; "max" is none
        return min(free + own, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return free + own


def size(number: float | int, unit: str = "B") -> str:
    """As people say it: 1340000000 is "1.34 GB"."""
    for power, prefix in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if number >= 0.9995 * 10**power:
            return f"{number / 10**power:.3g} {prefix}{unit}"
    return f"{number:.0f} {unit}"


def duration(seconds: float | int) -> str:
    """ "0.4 s", "5 min 40 s", "3 h 20 min", "12 days"."""
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds >= 0.01 else "0.01 s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 48 * 3_600:
        return f"{whole // 3_600} h {whole % 3_600 // 60} min"
    return f"{round(whole / 86_400):,} days"
