# SPDX-License-Identifier: Apache-2.0
"""What a run shows: a progress bar, a CSV, TensorBoard events, and a picture of the loss at the end."""

import csv
import time
from pathlib import Path

import numpy as np
import rich.progress
import tensorboardX

from pollux.train.loss import Measures
from pollux.train.recipe import Recipe

COLUMNS = ("step", "loss", "text", "answer", "right", "found", "busiest", "gradient", "tokens_per_s")


class Metrics:
    """Rows up to step `first` of an earlier run are kept, later ones dropped."""

    def __init__(self, directory: Path, recipe: Recipe, first: int):
        self.directory = directory
        self.rows = [r for r in read(directory / "metrics.csv") if r[0] <= first]
        self.file = open(directory / "metrics.csv", "w", newline="", buffering=1)
        self.csv = csv.writer(self.file)
        self.csv.writerow(COLUMNS)
        self.csv.writerows(self.rows)
        self.board = tensorboardX.SummaryWriter(str(directory / "tensorboard"), purge_step=first)
        columns = (
            rich.progress.TextColumn("training {task.fields[name]}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[shown]}"),
            rich.progress.TimeRemainingColumn(),
        )
        self.progress = rich.progress.Progress(*columns)
        self.task = self.progress.add_task("", total=recipe.steps, completed=first, name=recipe.name, shown="")
        self.clock = time.monotonic()

    def __enter__(self) -> "Metrics":
        self.progress.start()
        return self

    def __exit__(self, *_) -> None:
        self.progress.stop()
        self.file.close()
        self.board.close()
        if len(self.rows) > 1:
            picture(self.rows, self.directory / "loss.png")

    def add(self, number: int, m: Measures, gradient: float, tokens: int) -> None:
        now = time.monotonic()
        load = np.asarray(m.load)
        busiest = float(load.max() * load.shape[1]) if load.size else 1.0
        means = [float(x) for x in (m.loss, m.text, m.answer, m.right, m.found)]
        row = [number, *means, busiest, gradient, tokens / (now - self.clock)]
        self.clock = now
        self.rows.append(row)
        self.csv.writerow([number, *(repr(x) for x in row[1:])])
        for name, value in zip(COLUMNS[1:], row[1:], strict=True):
            self.board.add_scalar(name, value, number)
        shown = f"loss {row[1]:.3f}  answers {row[4]:.1%}  looks {row[5]:.1%}  load {busiest:.1f}  {row[-1]:,.0f} tok/s"
        self.progress.update(self.task, completed=number, shown=shown)


def read(path: Path) -> list[list[float]]:
    """The rows of a metrics file; a torn last line is left out."""
    if not path.is_file():
        return []
    with open(path, newline="") as file:
        rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS)]
    return [[int(row[0]), *map(float, row[1:])] for row in rows if row[0].isdigit()]


def picture(rows: list[list[float]], path: Path) -> None:
    """Loss and share of right answers against the step."""
    from matplotlib.figure import Figure

    table = np.array(rows)
    window = max(1, len(table) // 100)
    smooth = lambda y: np.convolve(y, np.ones(window) / window, "valid")
    figure = Figure((8, 4.5), layout="constrained")
    left = figure.subplots()
    right = left.twinx()
    steps = smooth(table[:, 0])
    for column, label in ((3, "answers, nats a token"), (2, "text, nats a token")):
        left.plot(steps, smooth(table[:, column]), label=label)
    right.plot(steps, smooth(table[:, 4]), "k--", lw=1, label="answer tokens right")
    left.set(xlabel="step", ylabel="nats a token", yscale="log")
    right.set(ylabel="share", ylim=(0, 1))
    figure.legend(loc="outside upper center", ncols=3)
    figure.savefig(path, dpi=120)
