# SPDX-License-Identifier: Apache-2.0
"""Int8 rows are off by half a step at most; scores of them are products of whole numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux.ops.quant import (
    LARGEST,
    SMALLEST,
    dequantise_rows,
    int8_scores,
    quantise_memory,
    quantise_rows,
    round_up,
)

KINDS = [jax.jit(quantise_rows), jax.jit(quantise_memory)]
of_every_kind = pytest.mark.parametrize("quantise", KINDS, ids=["queries", "memory"])


def rows(dim=6):
    """[4, 8, dim], of very different size, the third eight zero."""
    x = np.random.default_rng(0).normal(size=(4, 8, dim))
    return jnp.asarray(x * np.array([2.0, 1e-1, 0.0, 1e4])[:, None, None], jnp.float32)


@of_every_kind
def test_rows_come_back_within_half_a_step(quantise):
    """Each by itself, however small beside its neighbours."""
    x = rows()
    digits, scale = quantise(x)
    assert digits.dtype == jnp.int8 and scale.shape == (4, 8)
    assert np.abs(digits.astype(int)).max() == 127
    assert np.array_equal(digits.any(-1), x.any(-1))
    off = np.abs(dequantise_rows(digits, scale) - x).max(-1)
    assert (off <= 0.5001 * scale.astype(jnp.float32)).all()
    spacing = 2.0**-10  # of float16, which the memory's scales have
    assert (off <= np.abs(x).max(-1) / 254 * (1 + spacing)).all()


@of_every_kind
@pytest.mark.parametrize("count", [1, 3])
def test_rows_do_not_depend_on_their_neighbours(quantise, count):
    whole, alone = quantise(rows()), quantise(rows()[:count])
    for a, b in zip(whole, alone, strict=True):
        assert np.array_equal(a[:count], b)


@of_every_kind
def test_nothing_is_nothing(quantise):
    digits, scale = quantise(jnp.zeros((2, 4)))
    assert not digits.any()
    assert np.isfinite(scale).all() and (scale > 0).all()


def test_kept_scales_are_those_that_were_rounded_with():
    """In float16: else every entry of a row would be off by the same little factor."""
    x = rows()
    digits, scale = KINDS[1](x)
    assert scale.dtype == jnp.float16
    again = np.clip(np.round(np.asarray(x) / np.asarray(scale, np.float32)[..., None]), -127, 127)
    assert np.array_equal(digits, again)


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-6, 1e-2, 1.0, 3e5, 8e6, 1e30])
def test_memory_of_any_size_is_finite(size):
    """Beyond what float16 holds, rows lose their small entries or their large ones, no more."""
    digits, scale = KINDS[1](jnp.full((1, 4), size))
    got = dequantise_rows(digits, scale)[0]
    assert np.isfinite(got).all() and SMALLEST <= scale[0] <= LARGEST
    least, most = SMALLEST / 2, 127 * LARGEST
    np.testing.assert_allclose(got, min(size, most), rtol=1e-2, atol=least)


def test_round_up():
    """To the next float16: never below, and the one before would be."""
    x = np.exp(np.random.default_rng(0).uniform(np.log(SMALLEST), np.log(LARGEST), 500))
    x = np.concatenate([x, np.arange(1, 9), [SMALLEST, LARGEST]]).astype(np.float32)
    got = np.asarray(jax.jit(round_up)(jnp.asarray(x)))
    half = got.astype(np.float16)
    assert np.array_equal(half.astype(np.float32), got)
    assert (np.nextafter(half, np.float16(0)) < x).all() and (x <= got).all()
    assert np.array_equal(got[500:], x[500:])


@pytest.mark.parametrize("dim", [6, 64])
def test_scores(dim):
    """Off by half a step of the query's for each of a key's units at most."""
    rng = np.random.default_rng(1)
    keys = rng.integers(-127, 128, (40, dim)).astype(np.int8)
    query = (rng.normal(size=(3, dim)) * np.array([[1e-4], [1.0], [1e3]])).astype(np.float32)
    digits, scale = quantise_rows(jnp.asarray(query))
    whole = int8_scores(digits, jnp.asarray(keys))
    assert whole.shape == (3, 40)
    assert np.array_equal(whole, np.asarray(digits, int) @ keys.T.astype(int))
    bound = 0.5 * np.asarray(scale)[:, None] * np.abs(keys.astype(int)).sum(1)
    off = np.abs(whole * scale[:, None] - query.astype(np.float64) @ keys.T)
    assert (off <= bound * 1.001).all()


def test_scores_do_not_overflow():
    """The largest numbers there can be, at eight times the widest key of a preset."""
    most = jnp.full((1, 1_024), 127, jnp.int8)
    assert int8_scores(most, -most)[0, 0] == -1_024 * 127**2
