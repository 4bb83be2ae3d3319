# SPDX-License-Identifier: Apache-2.0
"""What a run shows: progress, a CSV, TensorBoard events, and a picture of the loss at the end."""

import csv
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import rich.console
import rich.progress
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2

from pollux.train.loss import Measures
from pollux.train.recipe import Recipe

COLUMNS = (
    "step",
    "loss",
    "text",
    "answer",
    "right",
    "found",
    "survey",
    "surveyed",
    "aloud",
    "seen",
    "heard",
    "drawn",
    "busiest",
    "gradient",
    "tokens_per_s",
)
LINE_SECONDS = 10.0  # between lines where there is no terminal for a bar
Row = list[int | float]  # a step and what was measured at it


class Metrics:
    """Rows up to step `first` of an earlier run are kept, later ones dropped."""

    def __init__(self, directory: Path, recipe: Recipe, first: int):
        self.directory = directory
        self.recipe = recipe
        self.rows: list[Row] = kept(directory / "metrics.csv", COLUMNS, first)
        self.files = ExitStack()
        self.csv = self._open_csv(directory / "metrics.csv")
        self.board = self._open_board(directory / "tensorboard", first)
        self.console = rich.console.Console(highlight=False, markup=False, soft_wrap=True)
        columns = (  # in all less than 80 wide
            rich.progress.TextColumn("{task.fields[name]}"),
            rich.progress.BarColumn(bar_width=14),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[shown]}"),
            rich.progress.TimeRemainingColumn(),
        )
        self.progress = rich.progress.Progress(*columns, console=self.console)
        self.task = self.progress.add_task(
            "", total=recipe.steps, completed=first, name=recipe.name, shown=""
        )
        self.live = sys.stdout.isatty()
        self.clock = time.monotonic()
        self.last_line = -LINE_SECONDS

    def _open_csv(self, path: Path):
        """A writer that goes on after the rows that are kept."""
        write(path, COLUMNS, self.rows)
        file = self.files.enter_context(open(path, "a", newline="", buffering=1))
        return csv.writer(file)

    def _open_board(self, directory: Path, first: int) -> EventsWriter:
        # Not SummaryWriter: its thread dies where the disk is full, and the run then waits for it.
        directory.mkdir(parents=True, exist_ok=True)
        board = EventsWriter(str(directory / "events"), f".{first}")
        self.files.callback(board.close)
        board.write_event(event(first, session_log={"status": "START"}))  # forget later ones
        return board

    def __enter__(self) -> "Metrics":
        if self.live:
            self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_) -> None:
        if self.live:
            self.progress.stop()
        try:
            self.files.close()
            if len(self.rows) > 1:
                picture(self.rows, self.directory / "loss.png")
        except OSError:
            if kind is None:  # else what ended the run is the news
                raise

    def say(self, text: str) -> None:
        """A line for the person who waits."""
        self.console.print(text)

    def add(self, number: int, m: Measures, gradient: float, tokens: int) -> None:
        """What step `number` measured, on a batch of `tokens` tokens."""
        now = time.monotonic()
        load = np.asarray(m.load)
        busiest = float(load.max() * load.shape[1]) if load.size else 1.0
        means = [float(x) for x in m[:-1]]
        row: Row = [number, *means, busiest, gradient, tokens / (now - self.clock)]
        self.clock = now
        self.rows.append(row)
        self.csv.writerow([number, *(repr(x) for x in row[1:])])
        values = [
            summary.scalar(name, value).value[0]
            for name, value in zip(COLUMNS[1:], row[1:], strict=True)
        ]
        self.board.write_event(event(number, summary=summary.Summary(value=values)))
        self.board.flush()
        self._show(row)

    def _show(self, row: Row) -> None:
        number, loss, _, _, right, found, _, surveyed, *_, busiest, _, speed = row
        if self.live:
            shown = f"loss {loss:.3f}  {right:.0%} right  {speed:,.0f} tok/s"
            self.progress.update(self.task, completed=number, shown=shown)
        elif number == self.recipe.steps or self.clock - self.last_line >= LINE_SECONDS:
            self.last_line = self.clock
            self.say(
                f"training {self.recipe.name}  {number}/{self.recipe.steps}  loss {loss:.3f}  "
                f"answers {right:.1%}  looks {found:.1%}  passages {surveyed:.0%}  "
                f"load {busiest:.1f}  {speed:,.0f} tok/s"
            )


def event(step: int, **content) -> Any:
    """A TensorBoard event of now. Protobuf makes its classes while running, so no type is known."""
    return vars(event_pb2)["Event"](wall_time=time.time(), step=step, **content)


def kept(path: Path, columns: Sequence[str], first: int) -> list[Row]:
    """The rows up to step `first`."""
    return [row for row in read(path, columns) if row[0] <= first]


def write(path: Path, columns: Sequence[str], rows: list[Row]) -> None:
    beside = path.with_name(path.name + ".partial")
    with open(beside, "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    os.replace(beside, path)


def read(path: Path, columns: Sequence[str] = COLUMNS) -> list[Row]:
    """The rows of a metrics file; torn ones, such as the last of a killed run, are left out.

    What an earlier version did not measure is 0.
    """
    if not path.is_file():
        return []
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    header, *lines = csv.reader(whole.decode("utf-8", "replace").splitlines() or [""])
    rows: list[Row] = []
    for line in lines:
        try:
            number, *values = int(line[0]), *map(float, line[1:])
        except (IndexError, ValueError):
            continue
        if len(line) == len(header):
            known = dict(zip(header[1:], values, strict=True))
            rows.append([number, *(known.get(name, 0.0) for name in columns[1:])])
    return rows


def picture(rows: list[Row], path: Path) -> None:
    """Loss and share of right answers against the step."""
    from matplotlib.figure import Figure

    table = np.array(rows)
    window = max(1, len(table) // 100)

    def smooth(column: int) -> np.ndarray:
        return np.convolve(table[:, column], np.ones(window) / window, "valid")

    figure = Figure((8, 4.5), layout="constrained")
    left = figure.subplots()
    right = left.twinx()
    steps = smooth(0)
    for column, label in ((3, "answers, nats a token"), (2, "text, nats a token")):
        left.plot(steps, smooth(column), label=label)
    right.plot(steps, smooth(4), "k--", lw=1, label="answer tokens right")
    left.set(xlabel="step", ylabel="nats a token", yscale="log")
    right.set(ylabel="share", ylim=(0, 1))
    figure.legend(loc="outside upper center", ncols=3)
    beside = path.with_name(path.name + ".partial")
    try:
        figure.savefig(beside, dpi=120, format="png")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
