# SPDX-License-Identifier: Apache-2.0
"""pollux eval: heavy modules are imported when a command runs, not with the command line."""

from pathlib import Path
from typing import Annotated

import rich.console
import rich.progress
import rich.table
import typer

from pollux.errors import InputError

app = typer.Typer(help="Evaluate the weights on held-out documents.", no_args_is_help=True)
console = rich.console.Console(stderr=True)


@app.callback()
def group() -> None:
    """Evaluate the weights on held-out documents."""


@app.command()
def text(
    skill: Annotated[
        list[str] | None, typer.Option(help="One of the skills; may be repeated.")
    ] = None,
    length: Annotated[
        list[str] | None, typer.Option(help="8k, 32k, 128k or 800k+; may be repeated.")
    ] = None,
    trials: Annotated[int, typer.Option(help="Questions a cell.")] = 100,
    seed: Annotated[int, typer.Option(help="Draws other keys, values and places.")] = 0,
    weights: Annotated[
        Path | None, typer.Option(help="By default spark, from the package.")
    ] = None,
    wheel: Annotated[
        Path | None, typer.Option(help="A copy of the jax 0.4.23 wheel, for define.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="JSON with every trial.")] = Path(
        "eval-text.json"
    ),
) -> None:
    """Every text skill at several lengths, with 95% intervals (Wilson).

    Skills: find, distractors, unseen wording, absent, quote, when, define.
    """
    import pollux
    from pollux.data import facts
    from pollux.evals import haystack
    from pollux.evals import text as evaluation
    from pollux.examples import war_and_peace

    skills = _chosen(skill, list(evaluation.SKILLS), "skill")
    lengths = _chosen(length, list(evaluation.LENGTHS), "length")
    model = pollux.load(weights)
    english = facts.words(war_and_peace().text)
    words = facts.Vocabulary(model.loaded.tokenizer, english, [], evaluation=True)
    code = haystack.code(wheel) if "define" in skills else []
    bench = evaluation.Bench(model, words, code)
    cells: dict[tuple[str, str], evaluation.Cell] = {}
    with rich.progress.Progress(console=console) as progress:
        task = progress.add_task("", total=len(skills) * len(lengths) * trials)
        for s in skills:
            for n in lengths:
                progress.update(task, description=f"{s}, {n}")
                for cell, _ in evaluation.run(bench, s, n, trials, seed):
                    progress.advance(task)
                    cells[s, n] = cell
                evaluation.save(
                    list(cells.values()), model, output, {"trials": trials, "seed": seed}
                )
    table = rich.table.Table(
        "skill", *lengths, title=f"share right [95% interval], {trials} trials a cell"
    )
    for s in skills:
        table.add_row(s, *(str(c.score) for c in cells.values() if c.skill == s))
    rich.console.Console().print(table)
    console.print(f"every trial: {output}", markup=False)


def _chosen(given: list[str] | None, known: list[str], what: str) -> list[str]:
    if unknown := set(given or []) - set(known):
        raise InputError(f"no {what} {sorted(unknown)[0]!r}; there are {', '.join(known)}")
    return given or known
