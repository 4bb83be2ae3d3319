# SPDX-License-Identifier: Apache-2.0
"""pollux eval ruler: RULER's tasks at a length, and their average."""

from pathlib import Path
from typing import Annotated

import rich.table
import typer

from pollux.options import Haystack, Resume, Weights

RULER_BAR = 0.856  # Llama 2 at 4k: where RULER calls a length effective


def ruler(
    length: Annotated[
        list[str] | None,
        typer.Option(help="Tokens, as in 8k or 1M; may be repeated. By default 128k."),
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="One of RULER's; may be repeated. By default all.")
    ] = None,
    trials: Annotated[int, typer.Option(help="A task, but of cwe and fwe one.")] = 100,
    haystack: Haystack = None,
    seed: Annotated[int, typer.Option(help="Draws other names, numbers and places.")] = 0,
    resume: Resume = False,
    weights: Weights = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Directory: needle.json and .html.")
    ] = Path("eval-ruler"),
) -> None:
    """Eleven of RULER's thirteen tasks in its own wording, scored and averaged as it does.

    All but question answering. docs/needle.md says which ones spark was trained for.
    """
    from pollux.evals import command
    from pollux.evals import needle as evaluation
    from pollux.evals.ruler import RULER
    from pollux.plan.report import tokens_of

    tasks = command.chosen(task, list(RULER), "task")
    run = evaluation.Grid(
        lengths=tuple(sorted({tokens_of(one) for one in length or ["128k"]})),
        families=tuple(name for name in RULER if name in tasks),
        trials=trials,
        audit=0,
        seed=seed,
    )
    command.run_needle(run, haystack, weights, resume, output, table)


def table(made: dict) -> rich.table.Table:
    from pollux.evals.needle_report import label, percent
    from pollux.evals.ruler import RULER

    rows = {(row["family"], row["length"]): row for row in made["pooled"]}
    means = {mean["length"]: mean for mean in made["ruler"]}
    shown = rich.table.Table(
        "task",
        *map(label, means),
        title="score; all right [95% interval], trials",
        caption="* spark was not trained for it. Not run: qa_1, qa_2. "
        f"RULER's bar for an effective length: {RULER_BAR:.1%}",
    )
    for name, task in RULER.items():
        cells = [_cell(rows.get((name, length))) for length in means]
        if any(cell != "–" for cell in cells):
            shown.add_row(name + "*" * (not task.trained), *cells)
    for what, told in (("", "all"), ("trained_", "those trained for")):
        means_of = [
            f"{percent(mean[what + 'average'])} of {mean[what + 'tasks']}"
            for mean in means.values()
        ]
        shown.add_row(f"average, {told}", *means_of)
    return shown


def _cell(row: dict | None) -> str:
    from pollux.evals.needle_report import percent
    from pollux.evals.score import Score

    if not row or not row["count"]:
        return "–"
    return f"{percent(row['found'])}; {Score(row['right'], row['count'])}, {row['count']:,}"
