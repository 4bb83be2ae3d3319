# SPDX-License-Identifier: Apache-2.0
"""Int8 rows are off by half a step at most, and scores of split queries by next to nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux.ops.quant import dequantise_rows, int8_scores, quantise_blocks, split_query

BLOCK = 8
quantise = jax.jit(quantise_blocks, static_argnums=1)


def rows(count=32, dim=6):
    """Blocks of very different size, one of them zero."""
    x = np.random.default_rng(0).normal(size=(count // BLOCK, BLOCK, dim))
    x *= np.array([1e-3, 1.0, 0.0, 1e4])[:, None, None]
    return jnp.asarray(x.reshape(count, dim), jnp.float32)


def test_rows_come_back_within_half_a_step():
    x = rows()
    digits, scale = quantise(x, BLOCK)
    assert digits.dtype == jnp.int8
    assert (np.abs(digits.astype(int)).reshape(4, -1).max(1) == [127, 127, 0, 127]).all()
    off = np.abs(dequantise_rows(digits, jnp.repeat(scale, BLOCK)) - x).reshape(4, -1).max(1)
    assert (off <= np.asarray(scale) * 0.5001).all()
    assert (off <= np.abs(x).reshape(4, -1).max(1) / 254 * 1.0001).all()


@pytest.mark.parametrize("dim", [6, 64])
def test_scores_of_split_queries(dim):
    rng = np.random.default_rng(1)
    keys = rng.integers(-127, 128, (40, dim)).astype(np.int8)
    query = rng.normal(size=(3, dim)).astype(np.float32) * np.array([[1e-4], [1.0], [1e3]])
    digits, scale = split_query(jnp.asarray(query, jnp.float32))
    score = np.asarray(int8_scores(digits, jnp.asarray(keys)) * scale[:, None])
    exact = query.astype(np.float64) @ keys.T
    bound = 0.5 * np.asarray(scale)[:, None] * np.abs(keys.astype(int)).sum(1)
    assert (np.abs(score - exact) <= bound * 1.001).all()
    assert np.array_equal(score.argmax(1), exact.argmax(1))


def test_scores_do_not_overflow():
    """The largest numbers there can be, at the largest width the docstring promises."""
    query = jnp.full((1, 499), 127.49 / 127.0)
    digits, scale = split_query(query)
    score = int8_scores(digits, jnp.full((1, 499), 127, jnp.int8))
    np.testing.assert_allclose(score * scale[:, None], 127 * query.sum(), rtol=1e-4)


def test_zero_query():
    digits, scale = split_query(jnp.zeros((2, 4)))
    assert not digits.any()
    assert np.isfinite(scale).all()
