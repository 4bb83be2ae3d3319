# SPDX-License-Identifier: Apache-2.0
"""Eyes trained alone: which letters end in a patch, told from its vector by one matrix.

A decoder that sees with fresh eyes has nothing to look for; with these it begins with letters. The
letters are drawn while they are learnt (data/letters.py), every step other ones. Held-out fonts
say how much of it holds for a face never seen.
"""

import csv
import os
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
from jaxtyping import Array, Float, Int, UInt8

from pollux import checkpoint, params
from pollux.config import Config
from pollux.data import art, letters
from pollux.errors import RecipeError
from pollux.model import vision
from pollux.params import Param, normal, weights
from pollux.train import step as stepping
from pollux.train.loss import mean
from pollux.train.recipe import Eyes
from pollux.train.run import Interruption, Keeping, check_goes_on, describe
from pollux.train.saves import Saves, abstract, writing

COLUMNS = (
    "step",
    "loss",
    "letters",
    "case_aside",
    "held_out",
    "held_out_case_aside",
    "patches_per_s",
)
EVERY = 200  # steps between lines, each with a look at held-out faces
HELD_OUT = 4  # batches of those


@weights
class Learner:
    vision: vision.Vision
    heads: Float[Array, "two D classes"]  # of the last letter that ends in a patch and the other


class Seen(NamedTuple):
    """As data.letters has it."""

    patches: UInt8[Array, "P 32 32 3"]
    place: Int[Array, "P 2"]
    letters: Int[Array, "P 2"]


class Measures(NamedTuple):
    loss: Float[Array, ""]  # nats a patch and head
    right: Float[Array, ""]  # share of the patches that a letter ends in, whose letter ranks first
    folded: Float[Array, ""]  # the same, be it capital or small


def declare(cfg: Config) -> Learner:
    shape = letters.EACH, cfg.embed_dim, letters.CLASSES
    return Learner(vision.declare(cfg), Param(shape, (None,) * 3, normal(cfg.embed_dim)))


def loss(p: Learner, seen: Seen) -> tuple[Float[Array, ""], Measures]:
    vectors = vision.embed(p.vision, seen.patches, seen.place)
    scores = jnp.einsum("pd,kdc->pkc", vectors, p.heads) / vision.SEEN_SIZE
    known = seen.letters != letters.UNSEEN
    wanted = jnp.where(known, seen.letters, 0)
    nats = optax.softmax_cross_entropy_with_integer_labels(scores, wanted)
    total = mean(nats.ravel(), known.ravel())
    best, last = scores[:, 0].argmax(-1), wanted[:, 0]
    there = known[:, 0] & (last != letters.NONE)
    aside = jnp.asarray(letters.FOLDED)
    right, folded = best == last, aside[best] == aside[last]
    return total, Measures(total, mean(right, there), mean(folded, there))


def step(recipe: Eyes, state: stepping.State, seen: Seen) -> tuple[stepping.State, Measures]:
    (_, measures), gradient = jax.value_and_grad(loss, has_aux=True)(state.params, seen)
    return stepping.updated(recipe, state, gradient), measures


@dataclass(frozen=True)
class Draw(grain.transforms.RandomMap):
    art: art.Art
    patches: int
    evaluation: bool

    def random_map(self, element: int, rng: np.random.Generator) -> letters.Seen:
        return letters.batch(self.art, rng, self.patches, self.evaluation)


def batches(recipe: Eyes, start: int, steps: int, evaluation: bool = False) -> Iterator[Seen]:
    """From number `start` to before `steps`, drawn one thread ahead."""
    draw = Draw(art.art(evaluation=evaluation), recipe.patches, evaluation)
    source = grain.MapDataset.range(steps).seed(recipe.seed).random_map(draw)
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    for made in source[start:].to_iter_dataset(options):
        yield Seen(*map(jnp.asarray, made))


def train(
    recipe: Eyes, directory: Path, *, resume: bool = False, stop_after: int | None = None
) -> Path:
    """As loop.train; returns the path of the eyes, as `loop.initial` takes them."""
    with writing(directory):
        return _train(recipe, directory, resume, stop_after)


def _train(recipe: Eyes, directory: Path, resume: bool, stop_after: int | None) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    declared = declare(recipe.config)
    with Saves(directory) as saves, Interruption() as interruption:
        if saves.newest is None:
            fresh = params.initialise(declared, jax.random.key(recipe.seed))
            state = stepping.start(recipe, fresh)
        else:
            check_goes_on(directory, recipe, saves.newest, resume)
            state = saves.restore(abstract(recipe, declared))
        describe(directory, recipe)
        progress = Progress(directory, recipe, int(state.step))
        for note in saves.notes:
            progress.say(note)
        keeping = Keeping(saves, interruption, recipe, stop_after)
        state = _run(recipe, state, progress, keeping)
    path = directory / f"{recipe.name}.safetensors"
    about = {"steps": str(int(state.step)), "recipe": recipe.name, "seed": str(recipe.seed)}
    checkpoint.save_eyes(path, state.params.vision, recipe.config, about)
    return path


def _run(
    recipe: Eyes,
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

    def __init__(self, directory: Path, recipe: Eyes, first: int):
        self.path, self.recipe = directory / "metrics.csv", recipe
        self.rows = [row for row in _rows(self.path) if int(row[0]) <= first]
        self.console = rich.console.Console(highlight=False, markup=False, soft_wrap=True)
        self.measure = jax.jit(lambda p, seen: loss(p, seen)[1])
        self.held_out = [*batches(recipe, 0, HELD_OUT, evaluation=True)]
        self.since: list[Measures] = []
        self.clock = time.monotonic()

    def say(self, text: str) -> None:
        self.console.print(text)

    def add(self, number: int, learner: Learner, measures: Measures, last: bool) -> None:
        self.since.append(measures)
        if number % EVERY and not last:
            return
        seconds = time.monotonic() - self.clock
        speed = len(self.since) * self.recipe.patches / seconds
        own = np.mean(np.array(self.since, float), 0)
        other = np.mean([np.array(self.measure(learner, seen), float) for seen in self.held_out], 0)
        values = *own, *other[1:], speed
        self.rows.append([str(number), *(f"{value:.5g}" for value in values)])
        self._write()
        self.say(
            f"training {self.recipe.name}  {number}/{self.recipe.steps}  loss {own[0]:.3f}  "
            f"letters {own[1]:.1%}, case aside {own[2]:.1%}  "
            f"held-out fonts {other[1]:.1%}, {other[2]:.1%}  {speed:,.0f} patches/s"
        )
        self.since, self.clock = [], time.monotonic()

    def _write(self) -> None:
        beside = self.path.with_name(self.path.name + ".partial")
        with open(beside, "w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *self.rows])
        os.replace(beside, self.path)


def _rows(path: Path) -> list[list[str]]:
    """Of an earlier part of the run; what is no row is left out."""
    if not path.is_file():
        return []
    with open(path, newline="") as file:
        rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS)]
    return [row for row in rows if row[0].isdecimal()]
