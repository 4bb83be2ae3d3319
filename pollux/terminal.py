# SPDX-License-Identifier: Apache-2.0
"""What the commands that read and answer share: options, progress, how answers are printed."""

import base64
import dataclasses
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import rich.console
import rich.progress
import typer

from pollux.config import Config
from pollux.errors import InputError, SpaceError
from pollux.media.png import png
from pollux.media.resolution import Resolution
from pollux.media.view import View, seconds_of

console = rich.console.Console(stderr=True)

SHOWN_SKIPPED = 8

SkipUnreadable = Annotated[
    bool, typer.Option("--skip-unreadable", help="Leave out what cannot be read, and say so.")
]
MediaResolution = Annotated[
    Resolution,
    typer.Option(help="Of pictures and frames: 16, 64 or 256 patches each."),
]
Fps = Annotated[float, typer.Option(help="Frames of a film looked at a second.")]
Start = Annotated[
    str | None,
    typer.Option(help="Where in film and sound to begin, as in 90 or 01:30."),
]
End = Annotated[str | None, typer.Option(help="Where in film and sound to stop.")]


def view_of(resolution: Resolution, fps: float, start: str | None, end: str | None) -> View:
    """How media are looked at; InputError for what cannot be."""
    until = None if end is None else seconds_of(end)
    return View(resolution=resolution, fps=fps, start=seconds_of(start or "0"), end=until)


def notes(parts: Any, skipped: list[Any]) -> None:
    """What was mended in the parts, and which files were left out."""
    for part in parts:
        if part.note:
            console.print(f"{part.name}: {part.note}", markup=False)
    for one in skipped[:SHOWN_SKIPPED]:
        console.print(f"left out: {one.path} {one.reason}", markup=False)
    if len(skipped) > SHOWN_SKIPPED:
        console.print(f"left out: {len(skipped) - SHOWN_SKIPPED} more files", markup=False)


@contextmanager
def reading_progress() -> Generator[Callable[[Any], None], None, None]:
    """A line with tokens and tokens per second while something is read; nothing if nothing is."""
    columns = (
        rich.progress.TextColumn("reading"),
        rich.progress.SpinnerColumn(),
        rich.progress.TextColumn("{task.fields[tokens]:,} tokens"),
        rich.progress.TextColumn("{task.fields[rate]:,.0f} tok/s"),
        rich.progress.TimeElapsedColumn(),
    )
    with rich.progress.Progress(*columns, console=console) as progress:
        tasks: list[rich.progress.TaskID] = []

        def report(done: Any) -> None:
            if not tasks:
                tasks.append(progress.add_task("", tokens=0, rate=0.0))
            progress.update(tasks[0], tokens=done.tokens, rate=done.tokens_per_second)

        yield report


def show_stream(stream: Iterator[Any]) -> None:
    """Prints an answer as it comes, then where it was read."""
    answer: Any = None
    for piece in stream:
        if isinstance(piece, str):
            typer.echo(piece, nl=False)
        else:
            answer = piece
    introduction = {
        "other": "This is none of my skills (pollux ask --help). The passages that come to mind:",
        "unsure": "\nI am not sure of that. The passages that come to mind:",
    }
    typer.echo(introduction.get(answer.kind, ""))
    for number, source in enumerate(answer.sources, 1):
        text = " ".join(source.text.split())
        typer.echo(f"  [{number}] {source.place}  {source.weight:.0%}  {text}".rstrip())
    if answer.finish == "max_tokens":
        console.print("(cut at --max-tokens; give more to see the rest)", markup=False)


def show_drawn(answer: Any, output: Path) -> None:
    """Prints an answer, and saves its pictures: the first as `output`, OUTPUT-2 and so on.

    InputError when it has none.
    """
    saved = 0
    for part in answer.parts:
        if isinstance(part, str):
            typer.echo(part, nl=False)
            continue
        saved += 1
        path = output if saved == 1 else output.with_stem(f"{output.stem}-{saved}")
        beside = path.with_name(path.name + ".partial")
        try:
            beside.write_bytes(png(part.pixels))
            beside.replace(path)
        except OSError as error:
            raise SpaceError(f"cannot write {path} ({error.strerror}): name another") from None
        typer.echo(f" [{path}]", nl=False)
    typer.echo("")
    if not saved:
        raise InputError("the answer has no picture: ask for one, as in -q 'Draw a red apple'")
    if answer.finish == "max_tokens":
        console.print("(cut at --max-tokens; give more to see the rest)", markup=False)


def check_asked(questions: list[str], inputs: list[Path] | None, output: Path | None) -> None:
    """InputError where there is nothing to ask, or nothing to ask of."""
    if not all(text.strip() for text in questions):
        raise InputError(
            "the question is empty; ask something, as in -q 'What is the secret word?'"
        )
    if not inputs and not output:
        raise InputError(
            "nothing to read: name files, or have something drawn, as in "
            "pollux ask -q 'Draw a red apple' -o out.png"
        )


def check_drawing(output: Path, questions: list[str], config: Config) -> None:
    """InputError where pictures cannot be saved, or cannot be drawn."""
    if config.picture is None:
        raise InputError(
            f"{config.name} has no image codes, so it cannot draw: name weights that can, "
            "as in --weights runs/draw/draw.safetensors (pollux train draw)"
        )
    if output.suffix.lower() != ".png":
        raise InputError(f"{output} must end in .png")
    if len(questions) > 1:
        raise InputError("ask one question when its pictures are to be saved")


def as_dict(question: str, answer: Any) -> dict[str, Any]:
    """What --json prints."""
    parts = [part if isinstance(part, str) else picture_of(part) for part in answer.parts]
    return {"question": question, **dataclasses.asdict(answer), "parts": parts}


def picture_of(drawing: Any) -> dict[str, str]:
    """For JSON, as in the API."""
    return {
        "mime_type": "image/png",
        "data": base64.b64encode(png(drawing.pixels)).decode(),
    }
