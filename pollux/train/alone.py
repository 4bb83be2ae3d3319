# SPDX-License-Identifier: Apache-2.0
"""Training of what stands beside a model: what it is shown is made while it learns.

Every step other examples; some that are held out say how much of it holds for what was never met.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import grain
import jax
import jax.numpy as jnp
import numpy as np
import rich.console

from pollux.errors import RecipeError
from pollux.train import metrics
from pollux.train import step as stepping
from pollux.train.recipe import Alone
from pollux.train.run import Interruption, Keeping, about, begun
from pollux.train.saves import Saves, writing

EVERY = 100  # steps between lines, each with a look at what is held out

Kind = TypeVar("Kind", bound=Alone)
Draw = Callable[[np.random.Generator], Any]  # a batch, a NamedTuple of arrays
Loss = Callable[[Any, Any], tuple[jax.Array, Any]]


@dataclass(frozen=True, kw_only=True)
class Task(Generic[Kind]):
    """How one kind of such weights is trained.

    `measures`: a NamedTuple class, first the loss and last how much a batch holds of `unit`;
    `shares`: those of it that are looked at on held-out batches too, of which there are `held_out`.
    """

    measures: Any
    shares: tuple[str, ...]
    unit: str
    held_out: int
    declare: Callable[[Any], Any]
    load: Callable[[Path, Any], tuple[Any, ...]]
    save: Callable[[Path, Any, Any, dict[str, str]], None]
    draw: Callable[[Kind, bool], Draw]  # of a batch; the bool: of what is held out
    loss: Loss

    @property
    def columns(self) -> tuple[str, ...]:
        other = (f"held_out_{name}" for name in self.shares)
        return "step", *self.measures._fields[:-1], *other, f"{self.unit}_per_s"


@dataclass(frozen=True)
class _Draw(grain.transforms.RandomMap):
    draw: Draw

    def random_map(self, element: int, rng: np.random.Generator) -> Any:
        return self.draw(rng)


def batches(
    task: Task[Kind], recipe: Kind, start: int, steps: int, evaluation: bool = False
) -> Iterator[Any]:
    """From number `start` on, made one thread ahead."""
    made = grain.MapDataset.range(steps).seed(recipe.seed)
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    source = made.random_map(_Draw(task.draw(recipe, evaluation)))
    for one in source[start:].to_iter_dataset(options):
        yield jax.tree.map(jnp.asarray, one)


def train(
    task: Task[Kind],
    recipe: Kind,
    directory: Path,
    *,
    resume: bool = False,
    stop_after: int | None = None,
    weights: Path | None = None,
) -> Path:
    """As loop.train; returns the path of what was trained. `weights`: to begin with."""
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        declared = task.declare(recipe.config)
        with Saves(directory) as saves, Interruption() as interruption:
            given = task.load(weights, recipe.config)[0] if weights else None
            state = begun(saves, directory, recipe, declared, resume, given)
            progress = Progress(task, recipe, directory, int(state.step))
            for note in saves.notes:
                progress.say(note)
            keeping = Keeping(saves, interruption, recipe, stop_after)
            state = _run(task, recipe, state, progress, keeping)
        path = directory / f"{recipe.name}.safetensors"
        task.save(path, state.params, recipe.config, about(recipe, state))
    return path


def _run(
    task: Task[Kind],
    recipe: Kind,
    state: stepping.State,
    progress: "Progress",
    keeping: Keeping,
) -> stepping.State:
    advance = jax.jit(partial(_step, task.loss, recipe), donate_argnums=0)
    first = int(state.step)
    for number, shown in enumerate(batches(task, recipe, first, recipe.steps), first + 1):
        state, measures = advance(state, shown)
        if not np.isfinite(float(measures.loss)):
            raise RecipeError(
                f"the loss is not finite at step {number}; go on from the last checkpoint with "
                "--resume --set learning_rate=... lower"
            )
        progress.add(number, state.params, measures, keeping.is_last(number))
        if keeping.ends(number, state):
            break
    return state


def _step(
    loss: Loss, recipe: Alone, state: stepping.State, shown: Any
) -> tuple[stepping.State, Any]:
    (_, measures), gradient = jax.value_and_grad(loss, has_aux=True)(state.params, shown)
    return stepping.updated(recipe, state, gradient), measures


class Progress:
    """A line and a row of metrics.csv every so many steps. Rows up to step `first` are kept."""

    def __init__(self, task: Task[Kind], recipe: Kind, directory: Path, first: int):
        self.task, self.recipe, self.path = task, recipe, directory / "metrics.csv"
        self.rows = metrics.kept(self.path, task.columns, first)
        self.console = rich.console.Console(highlight=False, markup=False, soft_wrap=True)
        self.measure = jax.jit(lambda p, shown: task.loss(p, shown)[1])
        self.held_out = [*batches(task, recipe, 0, task.held_out, evaluation=True)]
        self.since: list[Any] = []
        self.clock = time.monotonic()

    def say(self, text: str) -> None:
        self.console.print(text)

    def add(self, number: int, learner: Any, measures: Any, last: bool) -> None:
        self.since.append(measures)
        if number % EVERY and not last:
            return
        seconds = time.monotonic() - self.clock
        own = self._means(self.since)
        other = self._means([self.measure(learner, shown) for shown in self.held_out])
        shares = self.task.shares
        speed = own[-1] * len(self.since) / seconds
        values = *own[:-1], *(getattr(other, name) for name in shares), speed
        self.rows.append([number, *(float(f"{value:.5g}") for value in values)])
        metrics.write(self.path, self.task.columns, self.rows)

        def told(means: Any) -> str:
            return ", ".join(f"{_words(name)} {getattr(means, name):.1%}" for name in shares)

        self.say(
            f"training {self.recipe.name}  {number}/{self.recipe.steps}  loss {own[0]:.3f}  "
            f"{told(own)}  held out {told(other)}  {speed:,.0f} {_words(self.task.unit)}/s"
        )
        self.since, self.clock = [], time.monotonic()

    def _means(self, measured: list[Any]) -> Any:
        return self.task.measures(*np.mean(np.array(measured, float), 0))


def _words(name: str) -> str:
    return name.replace("_", " ")
