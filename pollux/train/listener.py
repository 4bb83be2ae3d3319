# SPDX-License-Identifier: Apache-2.0
"""A listener, trained alone: which letters are said, in order (data/utterances.py).

When each is said nobody tells it (train/transcript.py).
"""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from pollux import checkpoint
from pollux.data import utterances
from pollux.data.utterances import Utterances
from pollux.model import listener
from pollux.model.listener import PER_SECOND
from pollux.train import alone, transcript
from pollux.train.recipe import Listening


class Measures(NamedTuple):
    loss: Float[Array, ""]  # nats a letter
    mistaken: Float[Array, ""]  # letters put in, left out or exchanged, a letter
    seconds: Float[Array, ""]  # of sound


def loss(p: listener.Listener, heard: Utterances) -> tuple[Float[Array, ""], Measures]:
    scores = listener.listen(p, jnp.asarray(heard.mel))
    nats, mistaken, letters = transcript.loss(scores, jnp.asarray(heard.letters))
    many = jnp.maximum(letters, 1)
    seconds = jnp.float32(scores.shape[0] * scores.shape[1] / PER_SECOND)
    return nats / many, Measures(nats / many, mistaken / many, seconds)


def draw(recipe: Listening, evaluation: bool) -> alone.Draw:
    given = utterances.speech_of(evaluation)
    return lambda rng: utterances.batch(given, rng, recipe.rows, recipe.tokens)


TASK = alone.Task(
    measures=Measures,
    shares=("mistaken",),
    unit="seconds",
    held_out=4,
    declare=listener.declare,
    load=checkpoint.load_listener,
    save=checkpoint.save_listener,
    draw=draw,
    loss=loss,
)
train = partial(alone.train, TASK)
