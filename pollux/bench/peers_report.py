# SPDX-License-Identifier: Apache-2.0
"""What a run beside peers found: table, peers.json and peers.png, with what was never run marked.

The time of what was cut off or not started is that of a x + b x^2 through the last measurements,
a and b not below 0: layers cost the same for every token, attention more with each. Memory goes on
along the line through the last two.
"""

import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rich.table

from pollux.bench.limit import limit
from pollux.bench.peers import PEERS, Bench, Run, shape_parameters
from pollux.config import SPARK
from pollux.model import decoder
from pollux.plan.cost import read_flops
from pollux.plan.machine import duration, size

LAST = 3  # measurements that an extrapolation goes by
LEAST_SHARE = 0.01  # of a text, to go by what was read of it
MEANING = {
    "length": "tokens of Pollux's tokenizer; all peers read the same bytes",
    "found.tokens": "of the peer's own tokenizer",
    "found.read_seconds": "until a question can be asked; of a run that was cut off, until then",
    "found.share": "of the text read in that time",
    "found.peak_bytes": "most memory resident; found.base_bytes: before reading",
    "found.first_token_seconds": "from the question to the first piece of the answer, text read",
    "found.reopened_seconds": "the same from a reading on disk",
    "found.right": "whether the answer has the needle's number",
    "extrapolated": "where nothing was measured: seconds a x + b x^2, bytes a straight line",
}


def seconds_at(runs: Sequence[Run], length: int) -> float | None:
    """Reading, from what was measured at shorter lengths; None where that is nothing."""
    points = [(run.length, run.seconds) for run in runs if run.seconds is not None][-LAST:]
    points += [
        (run.length * run.found["share"], run.found["read_seconds"])
        for run in runs
        if run.status != "done" and run.found.get("share", 0) > LEAST_SHARE
    ]
    if not points:
        return None
    x, y = np.array(points, float).T
    columns = np.stack([x, x**2], 1) / y[:, None]  # errors are relative
    fits = [_least_squares(columns * kept) for kept in ((1, 1), (1, 0), (0, 1))]
    if len(points) == 1:
        fits = fits[1:2]  # at least in proportion
    _, (a, b) = min(fit for fit in fits if min(fit[1]) >= 0)
    return float(a * length + b * length**2)


def _least_squares(columns: np.ndarray) -> tuple[float, list[float]]:
    """Sum of squared errors, and factors of the columns whose sum is nearest to 1."""
    factors = np.linalg.lstsq(columns, np.ones(len(columns)), rcond=None)[0]
    return float(((columns @ factors - 1) ** 2).sum()), factors.tolist()


def bytes_at(runs: Sequence[Run], length: int) -> float | None:
    """Peak memory, from what was measured at two shorter lengths."""
    done = [(run.length, run.found["peak_bytes"]) for run in runs if run.status == "done"][-2:]
    if len(done) < 2:
        return None
    (x, low), (end, high) = done
    return float(high + max(0.0, (high - low) / (end - x)) * (length - end))


def extrapolated(bench: Bench, peer: str) -> list[dict[str, Any]]:
    """The lengths that were asked for and not done, where there is anything to go by."""
    runs = bench.of(peer)
    left = set(bench.lengths) - {run.length for run in runs if run.status == "done"}
    return [
        {"length": length, "seconds": seconds, "peak_bytes": bytes_at(runs, length)}
        for length in sorted(left)
        if (seconds := seconds_at(runs, length)) is not None
    ]


def label(tokens: int) -> str:
    """128000 is "128k"."""
    return size(tokens, "").replace(" ", "")


def reading_flops(run: Run) -> float:
    """A second, as pollux.plan counts them."""
    flops = read_flops(SPARK, decoder.declare(SPARK))
    return run.found["tokens"] * flops / run.found["read_seconds"]


def summary(bench: Bench) -> dict[str, Any]:
    """The figures that have a goal."""
    own = {run.length: run for run in bench.of("pollux") if run.status == "done"}
    other = {run.length: run for run in bench.of("llama.cpp") if run.status == "done"}
    both = sorted(own.keys() & other.keys())
    ends = sorted(own)[-2:]
    made: dict[str, Any] = {
        "limit_flops": limit(bench.flops),
        "share_of_limit": {
            label(n): reading_flops(run) / limit(bench.flops) for n, run in own.items()
        },
        "times_llama_cpp_per_byte": {
            label(n): (other[n].seconds or 0.0) / (own[n].seconds or 1.0) for n in both
        },
    }
    if len(ends) == 2:
        costs = [(own[n].seconds or 0.0) / own[n].found["tokens"] for n in ends]
        name = f"cost_per_token_{label(ends[1])}_over_{label(ends[0])}"
        made[name] = costs[1] / costs[0]
    return made


def as_dict(bench: Bench) -> dict[str, Any]:
    return {
        "meaning": MEANING,
        "cap_seconds": bench.cap,
        "memory_bytes": bench.memory,
        "machine": dataclasses.asdict(bench.machine),
        "versions": bench.versions,
        "active_parameters": shape_parameters(),
        "flops": bench.flops,
        "summary": summary(bench),
        "missing": bench.missing,
        "runs": [dataclasses.asdict(run) for run in bench.runs],
        "extrapolated": {peer: extrapolated(bench, peer) for peer in PEERS if bench.of(peer)},
        "tried": [dataclasses.asdict(run) for run in bench.screened],
    }


def save(bench: Bench, directory: Path) -> None:
    """peers.json and peers.png, each written beside and renamed."""
    directory.mkdir(parents=True, exist_ok=True)
    files = {"peers.json": json.dumps(as_dict(bench), indent=1).encode()}
    if bench.runs:
        files["peers.png"] = picture(bench)
    for name, data in files.items():
        beside = directory / f"{name}.partial"
        beside.write_bytes(data)
        beside.replace(directory / name)


def table(bench: Bench) -> rich.table.Table:
    names = ("", "tokens", "reading", "tokens/s", "text kB/s", "peak", "first token", "decoding/s")
    made = rich.table.Table(*names, title="~: extrapolated, not run", caption=str(bench.machine))
    for peer, told in PEERS.items():
        runs = {run.length: run for run in bench.of(peer)}
        beyond = {row["length"]: row for row in extrapolated(bench, peer)}
        for length in bench.lengths if runs else ():
            run = runs.get(length)
            if run and run.status == "done":
                made.add_row(told, label(length), *_cells(run))
            elif run and run.status == "failed":
                made.add_row(told, label(length), f"failed: {run.message}")
            else:
                made.add_row(told, label(length), *_cut(run, beyond.get(length)))
    return made


def _cells(run: Run) -> list[str]:
    found, seconds = run.found, run.found["read_seconds"]
    first, speed = (found.get(n) for n in ("first_token_seconds", "decode_tokens_per_second"))
    return [
        duration(seconds),
        f"{found['tokens'] / seconds:,.0f}",
        f"{run.bytes / seconds / 1e3:,.1f}",
        size(found["peak_bytes"]),
        "" if first is None else f"{first:.3f} s",
        "" if speed is None else f"{speed:,.1f}",
    ]


def _cut(run: Run | None, beyond: dict[str, Any] | None) -> list[str]:
    """Of a length that was not done: why, and what would be to expect."""
    told = run.status if run else ""
    seconds = f"~{duration(beyond['seconds'])}" if beyond else "–"
    peak = f"~{size(beyond['peak_bytes'])}" if beyond and beyond["peak_bytes"] else ""
    return [f"{told} {seconds}".strip(), "", "", peak]


def picture(bench: Bench) -> bytes:
    """Time and memory against length, log-log; dashed and hollow where extrapolated."""
    from matplotlib.figure import Figure

    figure = Figure((11, 5), dpi=120, layout="constrained")
    panels = figure.subplots(1, 2)
    for number, (peer, told) in enumerate(PEERS.items()):
        done = [run for run in bench.of(peer) if run.status == "done"]
        beyond = extrapolated(bench, peer)
        if not done:
            continue
        times = [(run.length, run.found["read_seconds"]) for run in done]
        peaks = [(run.length, run.found["peak_bytes"] / 1e9) for run in done]
        later = [(row["length"], row["seconds"]) for row in beyond]
        most = [(row["length"], row["peak_bytes"] / 1e9) for row in beyond if row["peak_bytes"]]
        for axes, measured, expected in zip(panels, (times, peaks), (later, most), strict=True):
            axes.plot(*zip(*measured, strict=True), "o-", color=f"C{number}", ms=5, label=told)
            if expected:
                along = [measured[-1], *expected]
                axes.plot(*zip(*along, strict=True), "--", color=f"C{number}", lw=1)
                axes.plot(*zip(*expected, strict=True), "o", color=f"C{number}", mfc="none", ms=5)
    lines = (bench.cap, "cap"), (bench.memory / 1e9, "memory")
    for axes, (height, told) in zip(panels, lines, strict=True):
        axes.axhline(height, color="0.4", ls=":", lw=1)
        axes.annotate(told, (0.01, height), xycoords=("axes fraction", "data"), va="bottom")
        axes.set(xscale="log", yscale="log", xlabel="tokens of text (Pollux's)")
        axes.set_xticks(bench.lengths, [label(length) for length in bench.lengths])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("seconds to read it")
    panels[1].set_ylabel("GB resident at most")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3)
    figure.suptitle(f"The same text, {bench.machine.cores} cores; dashed: extrapolated, not run")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
