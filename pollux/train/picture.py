# SPDX-License-Identifier: Apache-2.0
"""Training what draws: pictures become codes and pictures again, as much alike as can be.

As in train/loop.py a batch depends on the seed and its number, so a run goes on anywhere.
"""

import csv
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import rich.console
from jaxtyping import Array, Float, UInt8

from pollux import checkpoint
from pollux.config import Picture
from pollux.data import icons
from pollux.data.art import art
from pollux.errors import RecipeError
from pollux.model import picture
from pollux.train import metrics
from pollux.train import step as stepping
from pollux.train.recipe import PictureRecipe
from pollux.train.run import Interruption, Keeping, about, begun
from pollux.train.saves import Saves, writing

HELD_OUT = 64  # icons of the sheet at the end, whose styles and concepts training has not
COLUMNS = ("step", "loss", "off", "edges", "used", "gradient")


class Measures(NamedTuple):
    loss: Float[Array, ""]
    off: Float[Array, ""]  # mean difference of pixels, from 0 to 1
    edges: Float[Array, ""]  # the same of how neighbours differ
    used: Float[Array, ""]  # share of all codes that occur in the batch


def loss(
    p: picture.Picture, cfg: Picture, pixels: UInt8[Array, "B 64 64 3"], edge_weight: float
) -> tuple[Float[Array, ""], Measures]:
    """L1 of the pixels, and of the differences between neighbours: soft edges cost twice."""
    wanted = pixels.astype(jnp.float32) / 255
    made, codes = picture.again(p, cfg, wanted)
    off = jnp.abs(made - wanted).mean()
    edges = sum(
        jnp.abs(jnp.diff(made, axis=axis) - jnp.diff(wanted, axis=axis)).mean() for axis in (1, 2)
    )
    used = jnp.zeros(cfg.codes).at[codes.reshape(-1)].set(1.0).mean()
    total = off + edge_weight * edges
    return total, Measures(total, off, jnp.asarray(edges), used)


def step(
    recipe: PictureRecipe, state: stepping.State, pixels: UInt8[Array, "B 64 64 3"]
) -> tuple[stepping.State, Measures, jax.Array]:
    """The state after one batch, what was measured on it, and the norm of the gradient."""

    def of(p: picture.Picture) -> tuple[jax.Array, Measures]:
        return loss(p, recipe.config, pixels, recipe.edge_weight)

    (_, measures), gradient = jax.value_and_grad(of, has_aux=True)(state.params)
    return stepping.updated(recipe, state, gradient), measures, optax.tree.norm(gradient)


def train(
    recipe: PictureRecipe,
    directory: Path,
    *,
    resume: bool = False,
    stop_after: int | None = None,
) -> Path:
    """Runs `recipe`, keeping everything in `directory`; returns the path of the weights."""
    with writing(directory):
        return _train(recipe, directory, resume, stop_after)


def _train(recipe: PictureRecipe, directory: Path, resume: bool, stop_after: int | None) -> Path:
    drawn = art()
    if not drawn.icons:
        raise RecipeError("no pictures were prepared: pollux data prepare")
    directory.mkdir(parents=True, exist_ok=True)
    declared = picture.declare(recipe.config)
    with Saves(directory) as saves, Interruption() as interruption:
        state = begun(saves, directory, recipe, declared, resume)
        first = int(state.step)
        batches = icons.batches(drawn, recipe.rows, recipe.steps, recipe.seed, first)
        keeping = Keeping(saves, interruption, recipe, stop_after)
        state = _run(recipe, batches, state, directory, keeping)
    path = directory / f"{recipe.name}.safetensors"
    checkpoint.save_hand(path, state.params, recipe.config, about(recipe, state))
    _sheet(path, directory / "pictures.png")
    return path


def _run(
    recipe: PictureRecipe,
    batches: Iterator[np.ndarray],
    state: stepping.State,
    directory: Path,
    keeping: Keeping,
) -> stepping.State:
    """From `state` to the last step, or to where it is told to stop."""
    advance = jax.jit(partial(step, recipe), donate_argnums=0)
    console = rich.console.Console(highlight=False, markup=False, soft_wrap=True)
    said = time.monotonic()
    path = directory / "metrics.csv"
    metrics.write(path, COLUMNS, metrics.kept(path, COLUMNS, int(state.step)))
    with open(path, "a", newline="") as file:
        for number, pixels in enumerate(batches, int(state.step) + 1):
            state, measures, norm = advance(state, jnp.asarray(pixels))
            if not np.isfinite([float(measures.loss), float(norm)]).all():
                raise RecipeError(
                    f"the loss or its gradient is not finite at step {number}; go on from the "
                    "last checkpoint with --resume --set learning_rate=... lower"
                )
            csv.writer(file).writerow([number, *map(float, measures), float(norm)])
            if keeping.is_last(number) or time.monotonic() - said > metrics.LINE_SECONDS:
                said = time.monotonic()
                console.print(
                    f"training {recipe.name}  {number}/{recipe.steps}  loss {measures.loss:.4f}  "
                    f"off {255 * float(measures.off):.1f} of 255  codes {measures.used:.0%}"
                )
            file.flush()  # a checkpoint is not to be ahead of it
            if keeping.ends(number, state):
                break
    return state


def _sheet(weights: Path, path: Path) -> None:
    """Icons of other styles and concepts than training has, and below each what became of it."""
    from PIL import Image

    hand, cfg = checkpoint.load_hand(weights)
    drawn = art(evaluation=True)
    some = drawn.icons[:: max(1, len(drawn.icons) // HELD_OUT)][:HELD_OUT]
    if not some:
        return
    wanted = np.stack([icons.picture(drawn, icon) for icon in some])
    codes = jax.jit(partial(picture.encode, hand, cfg))(jnp.asarray(wanted))
    made = np.asarray(jax.jit(partial(picture.decode, hand, cfg))(codes))
    pairs = np.concatenate([wanted, made], 1)
    rows = [np.concatenate([*pairs[at : at + 16]], 1) for at in range(0, len(pairs) - 15, 16)]
    sheet = Image.fromarray(np.concatenate(rows or [np.concatenate([*pairs], 1)]))
    beside = path.with_name(path.name + ".partial")
    sheet.save(beside, "PNG")
    os.replace(beside, path)
