# SPDX-License-Identifier: Apache-2.0
"""The short convolution is a sum over earlier tokens of the same segment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux.ops.convolution import causal_conv

convolve = jax.jit(causal_conv, static_argnums=3)


def loop(x, segment, taps, tokens):
    out = np.zeros((x.shape[0], tokens, x.shape[2]))
    before = x.shape[1] - tokens
    for row, t, lag in np.ndindex(x.shape[0], tokens, taps.shape[0]):
        at = before + t
        if at >= lag and segment[row, at - lag] == segment[row, at]:
            out[row, t] += x[row, at - lag] * taps[lag]
    return out


@pytest.mark.parametrize(("before", "tokens"), [(0, 7), (2, 5), (9, 1)])
def test_equals_loop(before, tokens):
    rng = np.random.default_rng(before)
    x = rng.normal(size=(3, before + tokens, 4)).astype(np.float32)
    segment = np.sort(rng.integers(0, 3, (3, before + tokens)), 1)
    taps = rng.normal(size=(4, 4)).astype(np.float32)
    got = convolve(jnp.asarray(x), jnp.asarray(segment), jnp.asarray(taps), tokens)
    np.testing.assert_allclose(got, loop(x, segment, taps, tokens), atol=1e-5)


def test_segments_do_not_touch():
    x = jnp.ones((1, 6, 1)).at[0, :3].set(1e9)
    segment = jnp.array([[0, 0, 0, 1, 1, 1]])
    got = convolve(x, segment, jnp.ones((4, 1)), 6)
    assert np.array_equal(got[0, 3:, 0], [1, 2, 3])


def test_first_tap_alone_changes_nothing():
    x = jnp.arange(12.0).reshape(1, 6, 2)
    taps = jnp.zeros((3, 2)).at[0].set(1.0)
    assert np.array_equal(convolve(x, jnp.zeros((1, 6), int), taps, 4), x[:, 2:])
