# SPDX-License-Identifier: Apache-2.0
"""Where the weights and the memory lie on a machine, whether they fit, and what would help."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from pollux.memory.manifest import BLOCK
from pollux.plan.cost import Job, Kinds, Way, ways
from pollux.plan.machine import Machine, size

Kept = Literal["disk", "RAM", "either"]  # where a CPU is to keep the reading
Layout = tuple[dict[str, int], int]  # a mesh, and the parameters of a chip on it


@dataclass(frozen=True, kw_only=True)
class Placed:
    way: Way
    peak: int  # memory of a chip, bytes
    fits: bool


def parameters_a_chip(kinds: Kinds, mesh: dict[str, int]) -> int:
    """0 where a dimension does not divide: sharding.shardings refuses that."""
    total = 0
    for (shape, axes), number in kinds.items():
        split = [ways(axis, mesh) for axis in axes]
        if any(length % parts for length, parts in zip(shape, split, strict=True)):
            return 0
        total += number * math.prod(shape) // math.prod(split)
    return total


def layouts(kinds: Kinds, chips: int) -> list[Layout]:
    """All that divide, the best first.

    Tokens are split as far as the weights allow, for shares are read without waiting for one
    another; weights by expert and head before `fsdp`, which is gathered for every layer.
    """
    if chips == 1:
        return [({}, parameters_a_chip(kinds, {}))]
    found = []
    for split in divisors(chips):
        tried = [
            {"seq": chips // split, "expert": e, "tensor": t, "fsdp": split // e // t}
            for e in divisors(split)
            for t in divisors(split // e)
        ]
        sound = [(mesh, number) for mesh in tried if (number := parameters_a_chip(kinds, mesh))]
        found += sorted(sound, key=lambda layout: (layout[0]["fsdp"], layout[1]))
    return found


def divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def place(job: Job, machine: Machine, kept: Kept, choices: list[Layout]) -> Placed:
    """The first way that fits, else the one that needs least memory."""
    wheres: tuple[Literal["disk", "RAM", "HBM"], ...] = ("HBM",)
    if machine.is_cpu:
        wheres = ("disk", "RAM") if kept == "either" else (kept,)
    tried = []
    for where in wheres:
        room = where != "disk" or enough_disk(job, machine)
        for mesh, parameters in choices:
            way = Way(mesh=mesh, parameters=parameters, where=where)
            peak = max(sum(phase.values()) for phase in job.needs(machine, way))
            placed = Placed(way=way, peak=peak, fits=room and peak <= machine.memory)
            if placed.fits:
                return placed
            tried.append(placed)
    return min(tried, key=lambda placed: placed.peak)


def enough_disk(job: Job, machine: Machine) -> bool:
    return machine.disk is None or job.reading <= machine.disk


def shortage(job: Job, machine: Machine, placed: Placed) -> Iterator[str]:
    """What the machine has too little of, and how much it has; nothing when the job fits."""
    if placed.peak > machine.memory:
        phase = max(job.needs(machine, placed.way), key=lambda phase: sum(phase.values()))
        largest = sorted(phase.items(), key=lambda need: -need[1])[:2]
        told = ", ".join(f"{name} {size(number)}" for name, number in largest)
        what = "RAM" if machine.is_cpu else "HBM a chip"
        yield f"{what} ({size(machine.memory)} free, {size(placed.peak)} needed: {told})"
    if placed.way.where == "disk" and not enough_disk(job, machine):
        yield f"disk ({size(machine.disk or 0)} free, {size(job.reading)} needed)"


def remedies(
    job: Job, machine: Machine, kept: Kept, placed: Placed, choices: list[Layout]
) -> Iterator[str]:
    """What would make it fit."""
    if most := most_tokens(job, machine, kept, choices):
        yield f"read at most {most:,} tokens"
    if kept == "RAM" and place(job, machine, "disk", choices).fits:
        yield f"save the reading ({size(job.reading)} of disk)"
    if not machine.is_cpu:
        larger = next((m for m in machine.larger() if fits_on(job, m, kept)), None)
        yield f"take {larger.name} ({larger.chips:,} chips)" if larger else "take larger chips"
        return
    no_disk = placed.way.where == "disk" and not enough_disk(job, machine)
    if placed.peak > machine.memory:
        disk = f" and {size(job.reading)} of disk" if no_disk else ""
        yield f"take a machine with {size(placed.peak)} of free RAM{disk}"
    elif no_disk:
        yield f"free {size(job.reading - (machine.disk or 0))} of disk or save it on another"


def fits_on(job: Job, machine: Machine, kept: Kept) -> bool:
    return place(job, machine, kept, layouts(job.kinds, machine.chips)).fits


def most_tokens(job: Job, machine: Machine, kept: Kept, choices: list[Layout]) -> int:
    """The greatest length that fits, to two digits; 0 if none does."""
    low, high = 0, job.tokens // BLOCK  # in blocks: `low` fits, `high` does not
    while high - low > 1:
        middle = (low + high) // 2
        fits = place(replace(job, tokens=middle * BLOCK), machine, kept, choices).fits
        low, high = (middle, high) if fits else (low, middle)
    unit = 10 ** max(0, len(str(low * BLOCK)) - 2)
    return low * BLOCK // unit * unit
