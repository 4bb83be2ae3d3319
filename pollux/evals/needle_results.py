# SPDX-License-Identifier: Apache-2.0
"""Every trial of a needle grid, on disk as soon as its cell is done: needle.json."""

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from pollux.errors import InputError
from pollux.evals import needle_report, ruler
from pollux.evals.needle_report import label
from pollux.evals.score import wilson

FAMILIES = ("needle", "control", "needles", "multi-key", "multi-query")  # by default
ALL = (*FAMILIES, *ruler.TASKS)
FILE = "needle.json"
FORMAT = "pollux needle 1"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A family at a length, in tokens as asked for; of the plain needle at a depth, 0 to 1."""

    family: str
    length: int
    depth: float | None = None

    @property
    def told(self) -> str:
        depth = "" if self.depth is None else f", depth {self.depth:.0%}"
        return f"{label(self.length)}, {self.family}{depth}"

    @property
    def place(self) -> tuple[int, int, float]:
        """To sort by."""
        return ALL.index(self.family), self.length, self.depth or 0.0


@dataclass(kw_only=True, eq=False)
class Results:
    """What has been run, in `directory`. `settings` are those that all cells share."""

    directory: Path
    settings: dict[str, Any]
    cells: dict[Cell, dict] = field(default_factory=dict)

    def add(
        self, cell: Cell, trials: list[dict], haystack: dict, skipped: str | None = None
    ) -> None:
        """Keeps a finished cell, on disk too; `skipped`: why it has no trials."""
        self.cells[cell] = {"haystack": haystack, "skipped": skipped, "trials": trials}
        self.save()

    def save(self) -> None:
        text = json.dumps(self.as_dict(), ensure_ascii=False, indent=1)
        replace(self.directory / FILE, text.encode("utf-8", "replace"))

    def write(self) -> None:
        """The picture and the page, from what there is."""
        made = self.as_dict()
        page = needle_report.page(made, self.directory).encode("utf-8", "replace")
        replace(self.directory / "needle.html", page)
        if picture := needle_report.picture(made):
            replace(self.directory / "needle.png", picture)

    def scores(self, length: int) -> dict[str, float]:
        """Of RULER's tasks at a length, as it counts: the share found of what was expected."""
        tasks = [c for c in self.cells if c.length == length and c.family in ruler.RULER]
        found = {cell.family: scored([self.cells[cell]])["found"] for cell in tasks}
        return {family: share for family, share in found.items() if share is not None}

    def as_dict(self) -> dict[str, Any]:
        order = sorted(self.cells, key=lambda cell: cell.place)
        return {
            "format": FORMAT,
            "settings": self.settings,
            "machine": machine(),
            "pooled": [
                {"family": family, "length": length}
                | scored(self.cells[c] for c in order if (c.family, c.length) == (family, length))
                for family, length in dict.fromkeys((c.family, c.length) for c in order)
            ],
            "ruler": [
                {"length": length} | made
                for length in dict.fromkeys(sorted(cell.length for cell in order))
                if (made := ruler.averages(self.scores(length)))["tasks"]
            ],
            "audits": audits(self.cells.values()),
            "cells": [asdict(c) | scored([self.cells[c]]) | self.cells[c] for c in order],
        }


def scored(cells: Iterable[dict]) -> dict[str, Any]:
    """Share right with its 95% interval, share of the numbers found, median time, of some cells."""
    trials = [trial for cell in cells for trial in cell["trials"]]
    count, right = len(trials), sum(trial["right"] for trial in trials)
    expected = sum(len(trial["expected"]) for trial in trials)
    placed = [trial["placed"] for trial in trials if "placed" in trial]  # of sound and film
    return {
        "count": count,
        "right": right,
        "share": right / count if count else None,
        "interval": [round(edge, 6) for edge in wilson(right, count)],
        "found": sum(trial["found"] for trial in trials) / expected if expected else None,
        "seconds": median(trial["seconds"] for trial in trials) if count else None,
        **({"placed": sum(placed), "to_place": len(placed)} if placed else {}),
    }


def audits(cells: Iterable[dict]) -> dict[str, int]:
    """Cells of which a trial was read in full, and how many of those gave the same answer."""
    made = [trial["audit"] for cell in cells for trial in cell["trials"] if "audit" in trial]
    return {"cells": len(made), "agreed": sum(one["agrees"] for one in made)}


def machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "jax": version("jax"),
    }


def opened(directory: Path, wanted: dict[str, Any], resume: bool) -> Results:
    """Results to add to. InputError when there are some already and none, or others, are meant."""
    path = directory / FILE
    results = Results(directory=directory, settings=wanted)
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        return results
    if not resume:
        raise InputError(
            f"{path} holds results: go on with --resume, or name another directory with -o"
        )
    try:
        found = json.loads(path.read_text("utf-8"))
        if found["format"] != FORMAT:
            raise ValueError("of another format")
        for record in found["cells"]:
            if record["family"] not in ALL:
                raise ValueError(f"no family {record['family']}")
            cell = Cell(**{name: record[name] for name in ("family", "length", "depth")})
            kept = ("haystack", "skipped", "trials")
            results.cells[cell] = {name: record[name] for name in kept}
        other = [name for name in wanted if found["settings"][name] != wanted[name]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be gone on with ({error}): name another directory with -o"
        ) from None
    if other:
        raise InputError(
            f"{path} was made with another {', '.join(other)}: give the same, or name another "
            "directory with -o"
        )
    return results


def replace(path: Path, data: bytes) -> None:
    """Written beside, then renamed."""
    beside = path.with_name(path.name + ".partial")
    beside.write_bytes(data)
    beside.replace(path)
