# SPDX-License-Identifier: Apache-2.0
"""A copy task: a document of random tokens, then the same again as question and answer.

And what a run of the recipe tiny needs to be quick: a small corpus, and steps compiled once.
"""

import dataclasses
from itertools import islice

import jax.numpy as jnp
import numpy as np
import pytest

from pollux.config import TINY
from pollux.data import corpora
from pollux.data.mixture import Stage
from pollux.tokenizer import Tokenizer
from pollux.train.loss import Batch
from pollux.train.recipe import Recipe

ROWS, LENGTH = 2, 64
COPIED = LENGTH // 2
SHARES = {"any": 1.0}  # never drawn from


def copy_batch(number, rows=ROWS, vocab=256):
    """Each answer position is to say the next token, and to look at the one that stood there."""
    rng = np.random.default_rng(number)
    tokens = rng.integers(17, vocab, (rows, LENGTH))
    tokens[:, COPIED:] = tokens[:, :COPIED]
    segment = np.repeat([0, 1], COPIED)[None].repeat(rows, 0)
    at = (np.arange(rows)[:, None] * LENGTH + np.arange(COPIED, LENGTH - 1)).ravel()
    look = np.stack([at - COPIED + 1, at - COPIED + 2], 1)
    arrays = (tokens, segment, at, tokens.ravel()[at + 1])
    tokens, segment, at, target = (jnp.asarray(x, jnp.int32) for x in arrays)
    weight = jnp.ones(len(at), jnp.float32)
    look = jnp.asarray(look, jnp.int32)
    # The row's second half asks for its first.
    question = jnp.arange(rows)[:, None] * LENGTH + jnp.arange(COPIED + 4, COPIED + 12)
    passage = jnp.arange(rows)[:, None] * LENGTH + jnp.array([3, 12])
    return Batch(tokens, segment, at, target, weight, look, question, passage)


@pytest.fixture(scope="session", name="copy_batch")
def copy_batch_fixture():
    return copy_batch


@pytest.fixture(scope="session")
def recipe():
    config = dataclasses.replace(TINY, vocab_size=256, read_layers=1)
    stage = Stage(steps=40, rows=ROWS, length=LENGTH, supervised=62, genres=SHARES, skills=SHARES)
    return Recipe(name="copy", config=config, stages=(stage,), learning_rate=5e-3, warmup_steps=4)


@pytest.fixture(scope="session")
def run_environment(tmp_path_factory):
    """Variables: a cache with some of the standard library, and a place for compiled steps."""
    path, code = tmp_path_factory.mktemp("cache"), corpora.CORPORA["code"]
    some = list(islice(corpora.rows(code), 12))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLLUX_CACHE", str(path))
        patch.setattr(corpora, "_standard_library", lambda: iter(some))
        corpora.tokens(code, Tokenizer.load())
    return {
        "POLLUX_CACHE": str(path),
        "POLLUX_DATA": "",
        "JAX_COMPILATION_CACHE_DIR": str(path / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
