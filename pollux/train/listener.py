# SPDX-License-Identifier: Apache-2.0
"""A listener, trained alone: which letters are said, in order (data/utterances.py).

When each is said nobody tells it: all ways to say them in that order count together (Connectionist
Temporal Classification, Graves et al. 2006).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from pollux import checkpoint
from pollux.data import utterances
from pollux.data.utterances import Utterances
from pollux.model import listener
from pollux.model.listener import NOTHING, PER_SECOND
from pollux.train import alone
from pollux.train.recipe import Listening


class Measures(NamedTuple):
    loss: Float[Array, ""]  # nats a letter
    mistaken: Float[Array, ""]  # letters put in, left out or exchanged, a letter
    seconds: Float[Array, ""]  # of sound


def loss(p: listener.Listener, heard: Utterances) -> tuple[Float[Array, ""], Measures]:
    scores = listener.listen(p, jnp.asarray(heard.mel))
    letters = jnp.asarray(heard.letters)
    behind = (letters == NOTHING).astype(scores.dtype)
    nats = optax.ctc_loss(scores, jnp.zeros(scores.shape[:2]), letters, behind, blank_id=NOTHING)
    many = jnp.maximum((1 - behind).sum(), 1)
    total = nats.sum() / many
    mistaken = jax.vmap(edits)(scores.argmax(-1), letters).sum() / many
    seconds = jnp.float32(scores.shape[0] * scores.shape[1] / PER_SECOND)
    return total, Measures(total, mistaken, seconds)


def edits(verdicts: Int[Array, " T"], letters: Int[Array, " L"]) -> Int[Array, ""]:
    """Letters to be put in, left out or exchanged (Levenshtein) in what was heard.

    `verdicts`: the likeliest class each time; `letters`: what was said, NOTHING behind its end.
    """
    places = jnp.arange(len(letters) + 1)

    def after(costs: Int[Array, " places"], verdict: Int[Array, ""]):
        exchanged = costs[:-1] + (letters != verdict)
        best = jnp.minimum(costs + 1, jnp.concatenate([costs[:1] + 1, exchanged]))
        return jax.lax.cummin(best - places) + places

    def step(state, verdict):
        costs, before = state
        is_new = (verdict != NOTHING) & (verdict != before)
        return (jnp.where(is_new, after(costs, verdict), costs), verdict), None

    (costs, _), _ = jax.lax.scan(step, (places, jnp.int32(NOTHING)), verdicts.astype(jnp.int32))
    return costs[(letters != NOTHING).sum()]


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
