# SPDX-License-Identifier: Apache-2.0
"""A namer, trained alone: what is shown where in a picture.

Icons are placed on anything while they are learnt (data/shown.py). Those of a held-out style say
how much of it holds for what somebody else drew.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from pollux import checkpoint
from pollux.config import UNNAMED
from pollux.data import art, shown
from pollux.data.shown import UNKNOWN, Shown
from pollux.model import namer
from pollux.train import alone
from pollux.train.recipe import Naming

EMPTY_WEIGHT = 0.1  # of places without a thing


class Measures(NamedTuple):
    loss: Float[Array, ""]  # nats a thing, those of places without one with them
    named: Float[Array, ""]  # share of the things whose name is the likeliest of all names
    found: Float[Array, ""]  # share of those where that is likelier than nothing
    mistaken: Float[Array, ""]  # places where something is named and nothing is, per thing
    things: Float[Array, ""]  # in the batch


def loss(p: namer.Namer, seen: Shown) -> tuple[Float[Array, ""], Measures]:
    scores = namer.name(p, jnp.asarray(seen.pixels, jnp.float32))
    places = jnp.asarray(seen.places)
    known = places != UNKNOWN
    wanted = jnp.where(known, places, UNNAMED)
    nats = optax.softmax_cross_entropy_with_integer_labels(scores, wanted)
    there, empty = wanted != UNNAMED, known & (wanted == UNNAMED)
    many = jnp.maximum(there.sum(), 1)
    total = (nats * (there + EMPTY_WEIGHT * empty)).sum() / many
    right = 1 + scores[..., 1:].argmax(-1) == wanted
    best = scores.argmax(-1) != UNNAMED
    shares = ((x & y).sum() / many for x, y in ((right, there), (best, there), (best, empty)))
    return total, Measures(total, *shares, many.astype(jnp.float32))


def draw(recipe: Naming, evaluation: bool) -> alone.Draw:
    names, drawn = recipe.config.names, art.art(evaluation=evaluation)
    if evaluation:
        drawn = shown.known(drawn, names)
    things = shown.Things(drawn, names)
    return lambda rng: shown.batch(things, rng, recipe.pages, recipe.side)


TASK = alone.Task(
    measures=Measures,
    shares=("named", "found", "mistaken"),
    unit="things",
    held_out=12,
    declare=namer.declare,
    load=checkpoint.load_namer,
    save=checkpoint.save_namer,
    draw=draw,
    loss=loss,
)


def train(
    recipe: Naming,
    directory: Path,
    *,
    resume: bool = False,
    stop_after: int | None = None,
    weights: Path | None = None,
) -> Path:
    """As alone.train; the names are those of the icons that were prepared."""
    config = replace(recipe.config, names=shown.named(art.art()))
    recipe = replace(recipe, config=config)
    options = {"resume": resume, "stop_after": stop_after, "weights": weights}
    return alone.train(TASK, recipe, directory, **options)
