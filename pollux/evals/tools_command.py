# SPDX-License-Identifier: Apache-2.0
"""pollux eval tools: heavy modules are imported when it runs."""

from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Annotated

import rich.console
import rich.progress
import rich.table
import typer

from pollux.errors import InputError
from pollux.options import Weights

console = rich.console.Console(stderr=True)


def tools(
    trials: Annotated[int, typer.Option(help="Requests a row of the table.")] = 200,
    services: Annotated[
        bool, typer.Option(help="Schema-Guided Dialogue's too, of POLLUX_DATA.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Draws other requests.")] = 0,
    weights: Weights = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="JSON with every request.")] = Path(
        "eval-tools.json"
    ),
) -> None:
    """Calls of tools: held-out simple ones, and services of dialogues that training never met."""
    if not find_spec("llguidance"):
        raise InputError("calls are made by the server: install pollux[serve]")
    if trials < 1 or seed < 0:
        raise InputError("--trials must be 1 or more, --seed 0 or more")
    import pollux
    from pollux.data import facts
    from pollux.evals import tools as evaluation
    from pollux.examples import war_and_peace

    model = pollux.load(weights)
    english = facts.words(war_and_peace().text)
    words = facts.Vocabulary(model.loaded.tokenizer, english, [], evaluation=True)
    cases = [evaluation.simple(words, trials, seed)]
    cases += [evaluation.of_services(trials, seed)] if services else []
    about = {"weights": model.loaded.fingerprint, "trials": trials, "seed": seed}
    made: list[evaluation.Trial] = []
    with rich.progress.Progress(console=console) as progress:
        task = progress.add_task("calls", total=trials * (7 if services else 4))
        for trial in evaluation.run(model, chain(*cases)):
            made.append(trial)
            progress.advance(task)
    evaluation.save(made, output, {"about": about})
    table = rich.table.Table("", "right function", "exact call", title="share [95% interval]")
    for cell, scores in evaluation.cells(made).items():
        table.add_row(cell, *map(str, scores))
    rich.console.Console().print(table)
    console.print(f"every request: {output}", markup=False)
