# SPDX-License-Identifier: Apache-2.0
"""The controls compute what they say: full attention, and the read stack's windows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux.bench import control
from pollux.config import TINY, dense_twin
from pollux.model import read

STEP, TOKENS = 8, 96
window_chunk = jax.jit(control.window_chunk, static_argnums=1)


@pytest.fixture(scope="module")
def cfg():
    """Without experts it is sooner compiled."""
    return control.stack(dense_twin(TINY))


@pytest.fixture(scope="module")
def p(cfg):
    return control.weights(cfg)


def full(p, cfg, tokens: np.ndarray) -> np.ndarray:
    caches, found = control.empty_caches(cfg, TOKENS), []
    for at in range(0, len(tokens), STEP):
        chunk = jnp.asarray(tokens[at : at + STEP], jnp.int32)
        x, caches = control.full_chunk(p, cfg, chunk, caches, at)
        found.append(np.asarray(x))
    return np.concatenate(found)


def window(p, cfg, tokens: np.ndarray) -> np.ndarray:
    state, found = read.empty_state(cfg, 1), []
    for at in range(0, len(tokens), cfg.window):
        chunk = jnp.asarray(tokens[at : at + cfg.window], jnp.int32)
        x, state = window_chunk(p, cfg, chunk, state)
        found.append(np.asarray(x))
    return np.concatenate(found)


def test_as_many_layers_as_there_are_in_all():
    assert control.stack(TINY).read_layers == TINY.read_layers + TINY.answer_layers


def test_what_fits_a_window_is_seen_by_both(cfg, p):
    tokens = np.random.default_rng(0).integers(1, 500, cfg.window)
    np.testing.assert_allclose(full(p, cfg, tokens), window(p, cfg, tokens), atol=1e-4)


def test_only_full_attention_sees_further(cfg, p):
    assert TOKENS > 8 + cfg.receptive_field
    tokens = np.random.default_rng(0).integers(1, 500, TOKENS)
    other = np.concatenate([tokens[:8] + 1, tokens[8:]])
    assert np.abs(full(p, cfg, tokens)[-1] - full(p, cfg, other)[-1]).max() > 1e-4
    np.testing.assert_array_equal(window(p, cfg, tokens)[-1], window(p, cfg, other)[-1])


def test_attention_in_blocks_is_attention(monkeypatch):
    monkeypatch.setattr(control, "KEYS", 16)
    query, keys, values = (
        jax.random.normal(jax.random.key(i), shape)
        for i, shape in enumerate([(16, 4, 8), (64, 2, 8), (64, 2, 8)])
    )
    found = jax.jit(control.attend)(query, keys, values, jnp.asarray(24))
    score = jnp.einsum("tgrk,jgk->tgrj", query.reshape(16, 2, 2, 8), keys)
    seen = jnp.arange(64) <= 24 + jnp.arange(16)[:, None]
    weight = jax.nn.softmax(jnp.where(seen[:, None, None], score, -1e30), -1)
    expected = jnp.einsum("tgrj,jgk->tgrk", weight, values).reshape(16, 4, 8)
    np.testing.assert_allclose(found, expected, atol=1e-5)
