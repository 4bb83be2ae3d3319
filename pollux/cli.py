# SPDX-License-Identifier: Apache-2.0
"""The command line, thin over the Python functions.

Progress goes to standard error, answers to standard output.
"""

import dataclasses
import json
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn

import rich.console
import rich.markup
import rich.table
import typer

from pollux import terminal
from pollux.bench import command as bench
from pollux.cache import compiled_directory
from pollux.data import command as data
from pollux.errors import InputError, PolluxError, RecipeError
from pollux.evals import command as evals
from pollux.media.view import VIEW, View
from pollux.serve import command as serving
from pollux.terminal import End, Fps, MediaResolution, SkipUnreadable, Start, view_of

HELP = """Read a long text once, ask for ever, exactly, and see where it was read.

    pollux ask book.txt -q "What is the secret word?"

    pollux read book.txt src/ -o all.reading;  pollux ask all.reading -q "Where is main defined?"
"""
app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(bench.app, name="bench")
app.add_typer(data.app, name="data")
app.add_typer(evals.app, name="eval")
app.command("serve")(serving.serve)
console = terminal.console

GIVEN = typer.Argument(
    help="Files and directories (text, code, PDF, writing on pictures and in films, English spoken "
    "in recordings and films), - for standard input, or saved readings."
)
Inputs = Annotated[list[Path], GIVEN]
MaybeInputs = Annotated[list[Path] | None, GIVEN]
Drawn = Annotated[
    Path | None, typer.Option("-o", "--output", help="Save what is drawn, as in out.png.")
]
Weights = Annotated[
    Path | None, typer.Option(help="A weights file; by default spark, from the package.")
]
MaxTokens = Annotated[int, typer.Option(help="Stop an answer after this many tokens.")]
Temperature = Annotated[float, typer.Option(help="0: the likeliest answer; higher: more varied.")]
Seed = Annotated[int, typer.Option(help="The same seed repeats the same sampled answer.")]


@app.command("read")
def read_command(
    inputs: Annotated[list[Path], typer.Argument(help="Files and directories, in reading order.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Where to save, as in NAME.reading.")
    ],
    update: Annotated[
        bool, typer.Option("--update", help="Take over what OUTPUT holds already, read the rest.")
    ] = False,
    media_resolution: MediaResolution = "medium",
    fps: Fps = 1.0,
    start: Start = None,
    end: End = None,
    skip_unreadable: SkipUnreadable = False,
    weights: Weights = None,
) -> None:
    """Read files once and save the reading: a directory of about 134 bytes a token."""
    from pollux.engine import reader
    from pollux.media.inputs import open_parts
    from pollux.media.part import KINDS

    view = view_of(media_resolution, fps, start, end)
    model = loaded(weights)
    parts = open_parts(inputs, kinds=KINDS, skip_unreadable=skip_unreadable)
    kept = 0
    with terminal.reading_progress() as report:

        def count(done: Any) -> None:
            nonlocal kept
            kept = done.parts_kept
            report(done)

        reading = reader.read(
            *(model.loaded, parts, output, count, update),
            view=view,
            skip_unreadable=skip_unreadable,
        )
    terminal.notes(reading.parts, parts.skipped)
    typer.echo(
        f"{output}: {reading.num_valid:,} tokens of {len(reading.parts)} parts, "
        f"{reading.nbytes:,} bytes" + (f"; {kept} parts had not changed" if update else "")
    )


@app.command("edit")
def edit_command(
    path: Annotated[Path, typer.Argument(metavar="READING", help="A saved reading.")],
    part: Annotated[str, typer.Option(help="Which part: its name, or the end of its path.")],
    lines: Annotated[
        str, typer.Option(help="From 1: 12 or 12-15; 12-11 is the empty place before line 12.")
    ],
    text: Annotated[
        str | None, typer.Option("--with", help="What the lines become; '' deletes them.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--with-file", help="The same from a file, - standard input.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write here, READING stays as it is.")
    ] = None,
    weights: Weights = None,
) -> None:
    """Change lines of a saved reading; only what the change reaches is read again.

    The reading becomes what reading the changed text would give. The files it was made from are
    not touched: for files that changed there is pollux read --update.

    \b
    pollux edit all.reading --part app.py --lines 12-15 --with "def main():"
    pollux edit all.reading --part notes.txt --lines 3 --with ""             (deletes line 3)
    pollux edit all.reading --part notes.txt --lines 3-2 --with-file new.txt (inserts before it)
    """
    from pollux.engine import edit

    found = re.fullmatch(r"(\d{1,12})(?:-(\d{1,12}))?", lines)
    if not found:
        raise InputError(f"--lines {lines} is no line, as in 12, and no lines, as in 12-15")
    span = int(found[1]), int(found[2] or found[1])
    if (text is None) == (file is None):
        raise InputError("give either --with TEXT or --with-file FILE")
    new = text_of(file) if file else text or ""
    model = loaded(weights)

    def change(reading: Any) -> Any:
        return edit.replace_lines(model.loaded, reading, part, span, new)

    reading = edit.edit_saved(model.loaded, path, change, output)
    typer.echo(
        f"{output or path}: {reading.num_valid:,} tokens of {len(reading.parts)} parts, "
        f"{reading.nbytes:,} bytes"
    )


def text_of(file: Path) -> str:
    """The text of one file, or of standard input."""
    from pollux.media.inputs import open_parts

    parts = list(open_parts([file]))
    terminal.notes(parts, [])
    if len(parts) > 1:
        raise InputError(f"{file} holds {len(parts)} files; name one")
    return parts[0].text


@app.command()
def ask(
    question: Annotated[
        list[str], typer.Option("-q", "--question", help="Several are answered together.")
    ],
    inputs: MaybeInputs = None,
    output: Drawn = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON object; of several questions, a list.")
    ] = False,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 0.0,
    seed: Seed = 0,
    top_k: Annotated[int, typer.Option(help="Draw among so many tokens; 0: all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw among the likeliest of this share.")] = 1.0,
    stop: Annotated[
        list[str] | None, typer.Option(help="Text that ends the answer; may be given several times")
    ] = None,
    media_resolution: MediaResolution = "medium",
    fps: Fps = 1.0,
    start: Start = None,
    end: End = None,
    skip_unreadable: SkipUnreadable = False,
    weights: Weights = None,
) -> None:
    """Answer questions about files or saved readings, with the places.

    Skills: facts ("What is the access code for Berlin?"), quotations ("Quote the passage that
    begins ..."), places ("Where does it say ...?", "When did they say ...?", "Where is main
    defined?"). For any other question the passages that come to mind are shown. Files are read
    once and kept: asked again, the reading is opened. Weights that draw need none to draw.
    """
    from pollux import Sampling

    sampling = Sampling(
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        top_k=top_k,
        top_p=top_p,
        stop=tuple(stop or ()),
    )
    terminal.check_asked(question, inputs, output)
    view = view_of(media_resolution, fps, start, end)
    model = loaded(weights)
    if output:
        terminal.check_drawing(output, question, model.loaded.config)
    reading = opened(model, inputs or [], view, skip_unreadable)
    if output:
        terminal.show_drawn(model.ask(reading, question[0], sampling), output)
    elif as_json:
        answers = model.ask_many(reading, question, sampling)
        found = [terminal.as_dict(*pair) for pair in zip(question, answers, strict=True)]
        typer.echo(json.dumps(found if len(found) > 1 else found[0], ensure_ascii=False))
    elif len(question) == 1:
        terminal.show_stream(model.stream(reading, question[0], sampling))
    else:
        with model.scheduler() as scheduler:
            for handle in [scheduler.submit(reading, text, sampling) for text in question]:
                terminal.show_stream(iter(handle))


@app.command()
def chat(
    inputs: Inputs,
    max_tokens: MaxTokens = 256,
    media_resolution: MediaResolution = "medium",
    fps: Fps = 1.0,
    start: Start = None,
    end: End = None,
    skip_unreadable: SkipUnreadable = False,
    weights: Weights = None,
) -> None:
    """Ask one question after another. Each stands for itself: spark forgets the ones before."""
    from pollux import Sampling

    view = view_of(media_resolution, fps, start, end)
    model = loaded(weights)
    reading = opened(model, inputs, view, skip_unreadable)
    console.print(f"{reading.num_valid:,} tokens read. Ask; an empty line or Ctrl-D ends.")
    while True:
        try:
            text = input("> " if sys.stdin.isatty() else "")
        except EOFError:
            return
        if not text.strip():
            return
        try:
            terminal.show_stream(model.stream(reading, text, Sampling(max_tokens=max_tokens)))
        except InputError as error:
            console.print(f"pollux: {error}", markup=False)


@app.command()
def info(path: Annotated[Path, typer.Argument(help="A reading or a weights file.")]) -> None:
    """Say what a reading or a weights file holds."""
    from pollux import checkpoint, params
    from pollux.config import PRESETS
    from pollux.memory.reading import Reading

    if path.suffix == ".safetensors":
        weights, config, fingerprint = checkpoint.load(path)
        typer.echo(
            f"{path}: weights of {config.name}, {params.count(weights):,} parameters, "
            f"fingerprint {fingerprint}"
        )
        for field in dataclasses.fields(config):
            typer.echo(f"  {field.name} = {getattr(config, field.name)}")
        typer.echo(f"presets: {', '.join(PRESETS)}")
        return
    reading = Reading.open(path)
    reading.verify()
    typer.echo(
        f"{path}: {reading.num_valid:,} tokens of {len(reading.parts)} parts, "
        f"{reading.nbytes:,} bytes, whole"
    )
    typer.echo(
        f"  weights {reading.weights_fingerprint}, tokenizer {reading.tokenizer_fingerprint}"
    )
    for part in reading.parts:
        typer.echo(
            f"  {part.end - part.start:>12,} tokens  {part.kind}  {part.name}  {part.note}".rstrip()
        )


@app.command("plan")
def plan_command(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL] [FILE]...",
            help="tiny, spark, nano-1, nano-2, pro, ultra or a weights file; then what to read.",
        ),
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(help="In place of files, as in 128k or 10M; by default 10M.")
    ] = None,
    machine: Annotated[
        str, typer.Option(help="this, cpu:CORES,GB, cpu:CORES,GB,GB (of disk), v5e-256, v5p-1024.")
    ] = "this",
    tokens_per_second: Annotated[
        float | None, typer.Option(help="As measured before; by default estimated from FLOPs.")
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure first how fast this machine reads.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, in bytes.")] = False,
) -> None:
    """Say what a reading will cost, and whether it fits, before anything is loaded."""
    from pollux.engine import reader, scan
    from pollux.plan import report
    from pollux.plan.machine import machine_of

    config, number, parts = report.asked(what or [], tokens)
    chosen = machine_of(machine)
    if measure:
        from pollux.bench.speed import measured

        chosen = measured(chosen)
    steps = report.Steps(chunk=reader.CHUNK, at_once=scan.AT_ONCE)
    made = report.plan(
        config, number, chosen, steps, parts=parts, tokens_per_second=tokens_per_second
    )
    if as_json:
        typer.echo(json.dumps(report.as_dict(made)))
        return
    table = rich.table.Table(
        title=f"{number:,} tokens with {config.name} on {chosen.name}", show_header=False
    )
    for row in report.rows(made):
        table.add_row(*map(rich.markup.escape, row))
    rich.console.Console().print(table)


@app.command()
def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="spark, senses, draw, spotter, speller, namer, listener, caller, picture, tiny."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Directory of the run; by default runs/RECIPE.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint.")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value, as in learning_rate=1e-3 or stages.0.steps=50."),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Start from these weights.")] = None,
    hand: Annotated[
        Path | None, typer.Option(help="What draws, from train picture, for the recipe draw.")
    ] = None,
) -> None:
    """Train by a recipe (pollux/train/recipe.py).

    Public data is taken from the directory in POLLUX_DATA; spotter, speller and namer (they find
    writing, read it, and name icons) need none. The listener hears words, the caller calls tools.
    """
    loop, recipes = training()
    known = recipes.RECIPES | {one.name: one for one in recipes.OTHERS}
    if recipe not in known:
        raise RecipeError(f"no recipe {recipe!r}; there are {', '.join(known)}")
    directory = out or Path("runs") / recipe
    chosen = recipes.override(known[recipe], settings or [])
    shown = f"numbers in {directory}/metrics.csv"
    try:
        if isinstance(chosen, recipes.Recipe):
            path = loop.train(chosen, directory, resume=resume, weights=weights, hand=hand)
            shown = f"curves in {directory}/loss.png, {shown}"
        elif hand:
            raise RecipeError(f"{recipe} has no image codes: leave --hand out")
        elif isinstance(chosen, recipes.Alone):
            module = import_module(f"pollux.train.{chosen.name}")
            path = module.train(chosen, directory, resume=resume, weights=weights)
        elif weights:
            raise RecipeError(f"{recipe} begins afresh: leave --weights out")
        else:
            from pollux.train import picture

            path = picture.train(chosen, directory, resume=resume)
    except KeyboardInterrupt as stop:
        fail(str(stop) or "interrupted; go on with --resume", 130)
    typer.echo(f"{path}; {shown}")


@app.command()
def tokenizer(
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write the model.")],
    vocab_size: Annotated[int, typer.Option(help="Pieces, control tokens included.")] = 8_192,
) -> None:
    """Train the tokenizer on English, Chinese and code, and say how much text a token holds."""
    training()
    from pollux.data import corpora
    from pollux.examples import war_and_peace
    from pollux.tokenizer import Tokenizer, bytes_per_token, train_tokenizer

    train_tokenizer(corpora.tokenizer_lines(), vocab_size, output)
    made = Tokenizer.load(output)
    held_out = bytes_per_token(made, [war_and_peace().text])
    typer.echo(
        f"{output}: {made.vocab_size:,} pieces, {held_out:.2f} bytes a token of War and Peace"
    )


@app.command()
def lexicon(
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write it.")],
) -> None:
    """Count the words of a listener's lexicon, in public texts and in recordings for training."""
    training()
    from pollux.tokenizer import Tokenizer
    from pollux.train import lexicon as counting

    made = counting.made(Tokenizer.load(), output)
    typer.echo(f"{output}: {len(made.words):,} words, {len(made.pairs):,} pairs")


def training() -> tuple[Any, Any]:
    """The training modules; RecipeError when their extra is not installed."""
    try:
        from pollux.train import loop, recipe
    except ModuleNotFoundError as error:
        raise RecipeError(f"training needs {error.name}: install pollux[train]") from None
    return loop, recipe


def loaded(weights: Path | None) -> Any:
    """The model. Compiled code is kept in the cache, so only the first start is slow."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(compiled_directory()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    import pollux

    return pollux.load(weights)


def opened(model: Any, inputs: list[Path], view: View = VIEW, skip_unreadable: bool = False) -> Any:
    """A reading of the inputs: saved ones are opened, files are read unless they were before."""
    from pollux import Part, Reading
    from pollux.engine import shelf
    from pollux.media.inputs import open_parts
    from pollux.media.part import KINDS

    if not inputs:
        return model.read(Part(name="prompt", kind="text"))
    saved = [path for path in inputs if path.is_dir() and path.suffix == ".reading"]
    files = [path for path in inputs if path not in saved]
    readings = [model.open(*saved)] if saved else []
    if files:
        opening = open_parts(files, kinds=KINDS, skip_unreadable=skip_unreadable)
        held = list(opening)  # standard input can be read only once
        with terminal.reading_progress() as report:
            reading, _ = shelf.read_or_open(
                model.loaded, held, report, view=view, skip_unreadable=skip_unreadable
            )
        terminal.notes(reading.parts, opening.skipped)
        readings.append(reading)
    return readings[0] if len(readings) == 1 else Reading.combine(readings)


def main() -> None:
    """Runs the command line; every foreseen mistake is one line and exit code 1, Ctrl-C is 130."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA's chatter about its own cache
    try:
        code = int(app(standalone_mode=False) or 0)  # of typer.Exit; 130 is typer's for Ctrl-C
        if code == 130:
            raise KeyboardInterrupt
        if code:
            sys.exit(code)
    except PolluxError as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        fail("interrupted; nothing half-written is kept", 130)
    except Exception as error:
        if message := getattr(error, "format_message", None):  # a usage error of the command line
            fail(message(), 2)
        raise


def fail(message: str, code: int) -> NoReturn:
    line = " ".join(message.split())
    print(f"pollux: {line}", file=sys.stderr)
    sys.exit(code)
