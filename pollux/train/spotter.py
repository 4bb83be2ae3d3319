# SPDX-License-Identifier: Apache-2.0
"""A spotter, trained alone: which letter stands where in a picture.

The letters are drawn while they are learnt (data/letters.py). Held-out fonts say how much of it
holds for a face never seen.
"""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from pollux import checkpoint
from pollux.config import NOTHING, SPACE
from pollux.data import art, letters
from pollux.data.letters import FOLDED, UNKNOWN, Pages
from pollux.model import spotter
from pollux.train import alone
from pollux.train.recipe import Spotting

EMPTY_WEIGHT = 1.0  # of cells without a letter


class Measures(NamedTuple):
    loss: Float[Array, ""]  # nats a letter, those of cells without one with them
    right: Float[Array, ""]  # share of the letters that are spotted as themselves
    case_aside: Float[Array, ""]  # the same, be it capital or small
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


def draw(recipe: Spotting, evaluation: bool) -> alone.Draw:
    drawn, size = art.art(evaluation=evaluation), (recipe.pages, recipe.height, recipe.width)
    return lambda rng: letters.batch(drawn, rng, *size, evaluation)


TASK = alone.Task(
    measures=Measures,
    shares=("right", "case_aside", "mistaken"),
    unit="letters",
    held_out=6,
    declare=spotter.declare,
    load=checkpoint.load_spotter,
    save=checkpoint.save_spotter,
    draw=draw,
    loss=loss,
)
train = partial(alone.train, TASK)
