# SPDX-License-Identifier: Apache-2.0
"""A grid of needles on the terminal: its progress, what to do after Ctrl-C, and its end."""

from collections.abc import Callable
from pathlib import Path

import rich.console
import rich.progress
import rich.table

from pollux.evals.needle_results import Results

Report = Callable[[str, float | int], None]

console = rich.console.Console(stderr=True)


def shown(
    go: Callable[[Report], None],
    work: float | int,
    results: Results,
    output: Path,
    table: Callable[[dict], rich.table.Table],
) -> None:
    """Runs `go`, which reports `work` in all, and prints what came of it as a table."""
    columns = (
        *rich.progress.Progress.get_default_columns()[:3],
        rich.progress.TimeElapsedColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=console, speed_estimate_period=600) as progress:
        task = progress.add_task("", total=work)

        def report(told: str, done: float | int) -> None:
            progress.update(task, description=told, advance=done)

        try:
            go(report)
        except KeyboardInterrupt:
            console.print(f"{output} has what was done: go on with --resume", markup=False)
            raise
    made = results.as_dict()
    rich.console.Console().print(table(made))
    cells, agreed = made["audits"]["cells"], made["audits"]["agreed"]
    console.print(
        f"read in full: {cells} cells, {agreed} with the identical answer; "
        f"every trial: {output}/needle.html and needle.json",
        markup=False,
    )
