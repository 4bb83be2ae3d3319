# SPDX-License-Identifier: Apache-2.0
"""Attention in blocks is plain attention with a mask."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux.ops.attention import window_attention
from pollux.ops.rope import rotate

THETA = 10_000.0
attend = jax.jit(window_attention, static_argnums=(4, 5))


@partial(jax.jit, static_argnums=4)
def dense(query, key, value, segment, window):
    """[T, L] scores of every query with every key, masked."""
    b, t, heads, d = query.shape
    length, groups = key.shape[1:3]
    query = rotate(query, jnp.arange(length - t, length), THETA)
    key = jnp.repeat(rotate(key, jnp.arange(length), THETA), heads // groups, 2)
    value = jnp.repeat(value, heads // groups, 2)
    i, j = np.arange(length - t, length)[:, None], np.arange(length)[None]
    seen = (j <= i) & (j > i - window) & (segment[:, None] == segment[:, length - t :, None])
    score = jnp.einsum("bihd,bjhd->bhij", query, key)
    weight = jax.nn.softmax(jnp.where(seen[:, None], score, -jnp.inf), -1)
    return jnp.einsum("bhij,bjhd->bihd", weight, value)


def inputs(tokens, window, heads=4, groups=2, d=8, rows=2):
    rng = np.random.default_rng(tokens)
    length = window + tokens
    shapes = (tokens, heads), (length, groups), (length, groups)
    arrays = (jnp.asarray(rng.normal(size=(rows, *s, d)), jnp.float32) for s in shapes)
    return *arrays, jnp.asarray(np.sort(rng.integers(0, 4, (rows, length)), 1))


@pytest.mark.parametrize(("tokens", "groups"), [(1, 1), (3, 4), (8, 2), (40, 1), (40, 2)])
def test_equals_dense(tokens, groups):
    query, key, value, segment = inputs(tokens, 8, groups=groups)
    got = attend(query, key, value, segment, 8, THETA)
    np.testing.assert_allclose(got, dense(query, key, value, segment, 8), atol=2e-6)


def test_nothing_before():
    """Segment -1 before the chunk: the first token sees itself alone."""
    query, key, value, _ = inputs(8, 8, groups=1)
    segment = jnp.concatenate([jnp.full((2, 8), -1), jnp.zeros((2, 8), int)], 1)
    got = attend(query, key, value, segment, 8, THETA)
    np.testing.assert_allclose(got[:, 0], jnp.repeat(value[:, 8], 4, 1), atol=1e-6)


def test_window_of_one():
    query, key, value, segment = inputs(5, 1, groups=4)
    got = attend(query, key, value, segment, 1, THETA)
    np.testing.assert_allclose(got, value[:, 1:], atol=1e-6)


def test_wrong_lengths():
    query, key, value, segment = inputs(12, 8)
    with pytest.raises(ValueError, match="a chunk of 12 tokens is no multiple of window 8"):
        window_attention(query, key, value, segment, 8, THETA)
    with pytest.raises(ValueError, match="keys cover 20 tokens, not window 4 .* 12"):
        window_attention(query, key, value, segment, 4, THETA)
