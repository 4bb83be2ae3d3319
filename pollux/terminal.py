# SPDX-License-Identifier: Apache-2.0
"""What the commands that read and answer share: options, progress, how answers are printed."""

import dataclasses
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import rich.console
import rich.progress
import typer

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


def as_dict(question: str, answer: Any) -> dict[str, Any]:
    """What --json prints."""
    return {"question": question, **dataclasses.asdict(answer)}
