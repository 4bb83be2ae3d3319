# SPDX-License-Identifier: Apache-2.0
"""What a figure was measured on: without it the figure says little."""

import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Machine:
    processor: str
    cores: int  # that this process may use
    memory_gib: float
    system: str
    python: str
    versions: dict[str, str]
    load: float  # mean number of running processes over the last minute: near 0 on an idle machine

    def __str__(self) -> str:
        packages = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return (
            f"{self.processor}, {self.cores} cores, {self.memory_gib:.0f} GiB, {self.system}, "
            f"Python {self.python}, {packages}; load before the start {self.load:.1f}"
        )


def machine(packages: tuple[str, ...] = ("pollux", "jax", "numpy")) -> Machine:
    """This machine, with the versions of those `packages` that are installed."""
    return Machine(
        processor=_processor(),
        cores=cores(),
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        system=f"{platform.system()} {platform.machine()}",
        python=".".join(map(str, sys.version_info[:3])),
        versions=_versions(packages),
        load=os.getloadavg()[0],
    )


def cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
