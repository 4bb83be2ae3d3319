# SPDX-License-Identifier: Apache-2.0
"""A speller, trained alone: which letters a line of writing has (data/strips.py).

Where each letter stands nobody tells it (train/transcript.py).
"""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from pollux import checkpoint
from pollux.data import art, strips
from pollux.data.strips import Strips
from pollux.model import speller
from pollux.train import alone, transcript
from pollux.train.recipe import Spelling


class Measures(NamedTuple):
    loss: Float[Array, ""]  # nats a letter
    mistaken: Float[Array, ""]  # letters put in, left out or exchanged, a letter
    letters: Float[Array, ""]  # in the batch


def loss(p: speller.Speller, shown: Strips) -> tuple[Float[Array, ""], Measures]:
    scores = speller.spell(p, shown.grey.astype(jnp.float32))
    nats, mistaken, letters = transcript.loss(scores, jnp.asarray(shown.letters))
    many = jnp.maximum(letters, 1)
    return nats / many, Measures(nats / many, mistaken / many, many.astype(jnp.float32))


def draw(recipe: Spelling, evaluation: bool) -> alone.Draw:
    drawn = art.art(evaluation=evaluation)
    return lambda rng: strips.batch(drawn, rng, recipe.strips, recipe.width, evaluation)


TASK = alone.Task(
    measures=Measures,
    shares=("mistaken",),
    unit="letters",
    held_out=4,
    declare=speller.declare,
    load=checkpoint.load_speller,
    save=checkpoint.save_speller,
    draw=draw,
    loss=loss,
)
train = partial(alone.train, TASK)
