# SPDX-License-Identifier: Apache-2.0
"""A spotter, trained alone: which letter stands where in a picture.

The letters are drawn while they are learnt (data/letters.py), every step other ones. Held-out fonts
say how much of it holds for a face never seen.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
import rich.console
from jaxtyping import Array, Float

from pollux import checkpoint
from pollux.config import NOTHING, SPACE
from pollux.data import art, letters
from pollux.data.letters import FOLDED, UNKNOWN, Pages
from pollux.errors import RecipeError
from pollux.model import spotter
from pollux.train import metrics
from pollux.train import step as stepping
from pollux.train.recipe import Spotting
from pollux.train.run import Interruption, Keeping, about, begun
from pollux.train.saves import Saves, writing

COLUMNS = (
    "step",
    "loss",
    "letters",
    "case_aside",
    "mistaken",
    "held_out",
    "held_out_case_aside",
    "held_out_mistaken",
    "letters_per_s",
)
EVERY = 100  # steps between lines, each with a look at held-out faces
HELD_OUT = 6  # batches of those
EMPTY_WEIGHT = 1.0  # of cells without a letter


class Measures(NamedTuple):
    loss: Float[Array, ""]  # nats a letter, those of cells without one with them
    right: Float[Array, ""]  # share of the letters that are spotted as themselves
    folded: Float[Array, ""]  # the same, be it capital or small
    mistaken: Float[Array, ""]  # spotted where there is none, per letter
    letters: Float[Array, ""]  # in the batch


def loss(p: spotter.Spotter, seen: Pages) -> tuple[Float[Array, ""], Measures]:
    scores = spotter.spot(p, seen.grey.astype(jnp.float32))
    known = seen.cells != UNKNOWN
    wanted = jnp.where(known, seen.cells, 0)
    nats = optax.softmax_cross_entropy_with_integer_labels(scores, wanted)
    empty, there = known & (wanted == NOTHING), known & (wanted < SPACE)
    many = jnp.maximum(there.sum(), 1)
    total = (nats * known * jnp.where(empty, EMPTY_WEIGHT, 1.0)).sum() / many
    best = scores.argmax(-1)
    aside = jnp.asarray([*FOLDED, SPACE, NOTHING])
    right, folded = best == wanted, aside[best] == aside[wanted]
    shares = ((x & y).sum() / many for x, y in ((right, there), (folded, there), (~right, empty)))
    return total, Measures(total, *shares, many.astype(jnp.float32))


def step(recipe: Spotting, state: stepping.State, seen: Pages) -> tuple[stepping.State, Measures]:
    (_, measures), gradient = jax.value_and_grad(loss, has_aux=True)(state.params, seen)
    return stepping.updated(recipe, state, gradient), measures


@dataclass(frozen=True)
class Draw(grain.transforms.RandomMap):
    art: art.Art
    recipe: Spotting
    evaluation: bool

    def random_map(self, element: int, rng: np.random.Generator) -> Pages:
        pages = self.recipe.pages, self.recipe.height, self.recipe.width
        return letters.batch(self.art, rng, *pages, self.evaluation)


def batches(recipe: Spotting, start: int, steps: int, evaluation: bool = False) -> Iterator[Pages]:
    """From number `start` on, drawn one thread ahead."""
    draw = Draw(art.art(evaluation=evaluation), recipe, evaluation)
    source = grain.MapDataset.range(steps).seed(recipe.seed).random_map(draw)
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    for made in source[start:].to_iter_dataset(options):
        yield Pages(*map(jnp.asarray, made))


def train(
    recipe: Spotting,
    directory: Path,
    *,
    resume: bool = False,
    stop_after: int | None = None,
    weights: Path | None = None,
) -> Path:
    """As loop.train; returns the path of the spotter. `weights`: of one to begin with."""
    with writing(directory):
        return _train(recipe, directory, resume, stop_after, weights)


def _train(
    recipe: Spotting, directory: Path, resume: bool, stop_after: int | None, weights: Path | None
) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    declared = spotter.declare(recipe.config)
    with Saves(directory) as saves, Interruption() as interruption:
        given = checkpoint.load_spotter(weights, recipe.config)[0] if weights else None
        state = begun(saves, directory, recipe, declared, resume, given)
        progress = Progress(directory, recipe, int(state.step))
        for note in saves.notes:
            progress.say(note)
        keeping = Keeping(saves, interruption, recipe, stop_after)
        state = _run(recipe, state, progress, keeping)
    path = directory / f"{recipe.name}.safetensors"
    checkpoint.save_spotter(path, state.params, recipe.config, about(recipe, state))
    return path


def _run(
    recipe: Spotting,
    state: stepping.State,
    progress: "Progress",
    keeping: Keeping,
) -> stepping.State:
    advance = jax.jit(partial(step, recipe), donate_argnums=0)
    for number, seen in enumerate(batches(recipe, int(state.step), recipe.steps), int(state.step)):
        state, measures = advance(state, seen)
        if not np.isfinite(float(measures.loss)):
            raise RecipeError(
                f"the loss is not finite at step {number + 1}; go on from the last checkpoint with "
                "--resume --set learning_rate=... lower"
            )
        progress.add(number + 1, state.params, measures, keeping.is_last(number + 1))
        if keeping.ends(number + 1, state):
            break
    return state


class Progress:
    """A line and a row of metrics.csv every so many steps. Rows up to step `first` are kept."""

    def __init__(self, directory: Path, recipe: Spotting, first: int):
        self.path, self.recipe = directory / "metrics.csv", recipe
        self.rows = metrics.kept(self.path, COLUMNS, first)
        self.console = rich.console.Console(highlight=False, markup=False, soft_wrap=True)
        self.measure = jax.jit(lambda p, seen: loss(p, seen)[1])
        self.held_out = [*batches(recipe, 0, HELD_OUT, evaluation=True)]
        self.since: list[Measures] = []
        self.clock = time.monotonic()

    def say(self, text: str) -> None:
        self.console.print(text)

    def add(self, number: int, learner: spotter.Spotter, measures: Measures, last: bool) -> None:
        self.since.append(measures)
        if number % EVERY and not last:
            return
        seconds = time.monotonic() - self.clock
        speed = float(np.sum([one.letters for one in self.since])) / seconds
        own = np.mean(np.array(self.since, float), 0)
        other = np.mean([np.array(self.measure(learner, seen), float) for seen in self.held_out], 0)
        values = *own[:-1], *other[1:-1], speed
        self.rows.append([number, *(float(f"{value:.5g}") for value in values)])
        metrics.write(self.path, COLUMNS, self.rows)
        self.say(
            f"training {self.recipe.name}  {number}/{self.recipe.steps}  loss {own[0]:.3f}  "
            f"letters {own[1]:.1%}, case aside {own[2]:.1%}, mistaken {own[3]:.1%}  "
            f"held-out fonts {other[1]:.1%}, {other[2]:.1%}, {other[3]:.1%}  "
            f"{speed:,.0f} letters/s"
        )
        self.since, self.clock = [], time.monotonic()
