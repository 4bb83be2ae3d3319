# SPDX-License-Identifier: Apache-2.0
"""A caller, trained alone: whether a tool fits, and which words are its arguments (data/tools.py).

Held out are tools, words and wordings of requests made by rule.
"""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from pollux import checkpoint
from pollux.data import tools
from pollux.data.tools import Calls
from pollux.model import caller
from pollux.tokenizer import Tokenizer
from pollux.train import alone
from pollux.train.recipe import Calling


class Measures(NamedTuple):
    loss: Float[Array, ""]  # nats a question
    fit: Float[Array, ""]  # share of the questions whose tool is rightly called, or not
    exact: Float[Array, ""]  # and of the tools that fit, those with exactly the right arguments
    questions: Float[Array, ""]  # in the batch


def loss(p: caller.Caller, given: Calls) -> tuple[Float[Array, ""], Measures]:
    verdict = caller.judge(p, given.asked)
    fits, counts = jnp.asarray(given.fits), jnp.asarray(given.counts)
    nats = optax.sigmoid_binary_cross_entropy(verdict.fits, fits)
    entropy = optax.softmax_cross_entropy_with_integer_labels
    for logits, right in ((verdict.first, given.first), (verdict.last, given.last)):
        nats += (entropy(logits, jnp.asarray(right)) * counts).sum(-1)
    fit = (verdict.fits > 0) == (fits > 0)
    told = (verdict.first.argmax(-1) == given.first) & (verdict.last.argmax(-1) == given.last)
    exact = jnp.all(told | (counts == 0), -1) & fit
    many = jnp.maximum(fits.sum(), 1)
    shares = fit.mean(), (exact * fits).sum() / many
    return nats.mean(), Measures(nats.mean(), *shares, jnp.float32(len(fits)))


def draw(recipe: Calling, evaluation: bool) -> alone.Draw:
    made = tools.material(Tokenizer.load(), evaluation)
    return lambda rng: tools.batch(made, rng, recipe.words)


TASK = alone.Task(
    measures=Measures,
    shares=("fit", "exact"),
    unit="questions",
    held_out=4,
    declare=caller.declare,
    load=checkpoint.load_caller,
    save=checkpoint.save_caller,
    draw=draw,
    loss=loss,
)
train = partial(alone.train, TASK)
