# SPDX-License-Identifier: Apache-2.0
"""pollux eval media, and pollux eval needle of sound and film; heavy modules are imported late."""

from pathlib import Path
from typing import Annotated, Any, Literal

import rich.console
import rich.progress
import rich.table
import typer

from pollux.errors import InputError
from pollux.options import Weights

console = rich.console.Console(stderr=True)

ROWS = (
    "digits, prompts, sentences, voices, written, icons-style, icons-concepts, when-said, "
    "when-shown"
)


def media(
    row: Annotated[list[str] | None, typer.Option(help=f"One of: {ROWS}; may be repeated.")] = None,
    trials: Annotated[int, typer.Option(help="Questions a row.")] = 100,
    seed: Annotated[int, typer.Option(help="Draws other pictures, clips and places.")] = 0,
    weights: Weights = None,
    folder: Annotated[Path | None, typer.Option(help="Where prepare laid out its art.")] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Directory: media.json and pictures.")
    ] = Path("eval-media"),
) -> None:
    """What is heard, read, named and placed in time, of material held out from training.

    Needs pollux data prepare, and recordings (POLLUX_DATA). docs/media.md says what is asked.
    """
    installed()
    import pollux
    from pollux.evals import media as evaluation
    from pollux.evals import media_report

    names = list(evaluation.ROWS)
    if unknown := set(row or []) - set(names):
        raise InputError(f"no row {sorted(unknown)[0]!r}; there are {', '.join(names)}")
    if trials < 1 or seed < 0:
        raise InputError("--trials must be 1 or more, and --seed 0 or more")
    model = pollux.load(weights).loaded
    bench = evaluation.bench(model, folder)
    about = {"weights": model.fingerprint, "trials": trials, "seed": seed}
    rows: dict[str, list[dict]] = {}
    with rich.progress.Progress(console=console) as progress:
        chosen = [name for name in names if not row or name in row]
        task = progress.add_task("", total=len(chosen) * trials)
        for name in chosen:
            progress.update(task, description=name)
            rows[name], shown = [], []
            for case, trial in evaluation.run(bench, name, trials, seed):
                rows[name].append(trial)
                if len(shown) < media_report.SHOWN:
                    shown.append((case, trial))
                progress.advance(task)
            evaluation.save(output, rows, about)
            media_report.draw(name, shown, output)
    table = rich.table.Table(*media_report.HEADS, title="held out; in brackets 95% intervals")
    for name, made in rows.items():
        table.add_row(*media_report.line(evaluation.scored(name, made)))
    rich.console.Console().print(table)
    console.print(f"every trial: {output}/media.json; pictures beside it", markup=False)


def installed() -> None:
    """InputError when what draws and decodes is not."""
    try:
        import av  # noqa: F401
        import matplotlib  # noqa: F401
        import PIL  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"this needs {error.name}: pip install 'pollux[media,train]'") from None


def grid(
    kind: Literal["audio", "video"],
    lengths: list[str] | None,
    families: list[str] | None,
    trials: int,
    audit: float,
    seed: int,
) -> Any:
    """What is to be run; InputError for what cannot be."""
    installed()
    from pollux.evals import media_needle as evaluation

    if unknown := set(families or []) - {*evaluation.FAMILIES}:
        known = " and ".join(evaluation.FAMILIES)
        raise InputError(f"no family {sorted(unknown)[0]!r} of {kind}; there are {known}")
    return evaluation.Grid(
        kind=kind,
        lengths=evaluation.lengths_of(lengths or evaluation.LENGTHS),
        families=tuple(n for n in evaluation.FAMILIES if not families or n in families),
        trials=trials,
        audit=audit,
        seed=seed,
    )


def run_needle(
    run: Any, haystack: list[Path] | None, weights: Path | None, resume: bool, output: Path
) -> None:
    """As `pollux eval needle` does of text."""
    import pollux
    from pollux.evals import grid_run, media_sources, needle, needle_results
    from pollux.evals import media_needle as evaluation
    from pollux.media.inputs import open_parts
    from pollux.media.part import KINDS

    model = pollux.load(weights).loaded
    longest = (run.tokens(max(run.lengths)),)
    needle.check_room(model.config, needle.Grid(lengths=longest, audit=run.audit))
    given = evaluation.needles(model, run.kind)
    if haystack:
        parts = open_parts(haystack, kinds=KINDS)
        source = media_sources.source_of_parts(run.kind, parts)
    elif run.kind == "audio":
        source = media_sources.speech_source()
    else:
        with console.status("drawing the film"):
            size = media_sources.SIZE if model.config.vision else media_sources.SPOTTED_SIZE
            source = media_sources.film_source(given.material, size=size)
    results = needle_results.opened(output, evaluation.settings(model, source, run), resume)
    work = evaluation.work(run, evaluation.waiting(run, results))

    def go(report: grid_run.Report) -> None:
        evaluation.go(model, run, source, given, results, report)

    grid_run.shown(go, work, results, output, needle_table)


def needle_table(made: dict) -> rich.table.Table:
    """A row a length."""
    from pollux.evals.needle_report import hours
    from pollux.evals.score import Score

    table = rich.table.Table(
        *("length", "family", "right", "at its place, within 1 s", "trials", "answer, s"),
        title="shares [95% interval]",
    )
    for row in made["pooled"]:
        if row["count"]:
            placed = Score(row["placed"], row["to_place"]) if row.get("to_place") else "–"
            table.add_row(
                hours(row["length"]),
                row["family"],
                str(Score(row["right"], row["count"])),
                str(placed),
                f"{row['count']:,}",
                f"{row['seconds']:.2f}",
            )
    return table
