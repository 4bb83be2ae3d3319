# SPDX-License-Identifier: Apache-2.0
"""Rotary positions tell distances, at ten million tokens too."""

import jax.numpy as jnp
import numpy as np
import pytest

from pollux.ops.norm import rms_norm
from pollux.ops.rope import rotate

D, THETA, WINDOW = 32, 10_000.0, 64
FAR = 9_999_872  # a multiple of the window


def vectors(count=WINDOW):
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, count, 1, D)).astype(np.float32)


def rotated64(x, position):
    """The same in float64, by complex numbers."""
    angle = position[:, None] * THETA ** (-np.arange(D // 2) / (D // 2))
    turned = (x[..., : D // 2] + 1j * x[..., D // 2 :]) * np.exp(1j * angle)[:, None]
    return np.concatenate([turned.real, turned.imag], -1)


def products(query, key):
    return np.einsum("ihd,jhd->ij", np.asarray(query, np.float64), np.asarray(key, np.float64))


def test_length_is_kept():
    x = jnp.asarray(vectors()[0])
    turned = rotate(x, jnp.arange(WINDOW) * 17, THETA)
    np.testing.assert_allclose(jnp.linalg.norm(turned, axis=-1), jnp.linalg.norm(x, axis=-1), 1e-5)


def test_position_zero_changes_nothing():
    x = jnp.asarray(vectors()[0])
    assert np.array_equal(rotate(x, jnp.zeros(WINDOW, int), THETA), x)


def test_products_depend_on_distance_alone():
    query, key = map(jnp.asarray, vectors())
    here = products(*(rotate(x, jnp.arange(WINDOW), THETA) for x in (query, key)))
    later = products(*(rotate(x, jnp.arange(WINDOW) + 64, THETA) for x in (query, key)))
    np.testing.assert_allclose(here, later, atol=1e-3)


@pytest.mark.parametrize("far", [0, FAR])
def test_phase_near_ten_million(far):
    """Positions counted from the window's start give what float64 gives at absolute ones."""
    query, key = vectors()
    exact = products(*(rotated64(x, far + np.arange(WINDOW)) for x in (query, key)))
    near = products(*(rotate(jnp.asarray(x), jnp.arange(WINDOW), THETA) for x in (query, key)))
    np.testing.assert_allclose(near, exact, atol=2e-4)


def test_absolute_positions_would_be_wrong():
    """The reason for the above; if this fails, float32 has become better."""
    x = vectors()[0]
    position = FAR + np.arange(WINDOW)
    off = np.asarray(rotate(jnp.asarray(x), jnp.asarray(position), THETA)) - rotated64(x, position)
    assert np.abs(off).max() > 0.05


def test_rms_norm():
    x = jnp.asarray(vectors()[0])
    got = np.asarray(rms_norm(x, jnp.full(D, 2.0)))
    np.testing.assert_allclose((got**2).mean(-1), 4.0, rtol=1e-4)
    np.testing.assert_allclose(got, rms_norm(1000 * x, jnp.full(D, 2.0)), rtol=1e-4)
    assert not rms_norm(jnp.zeros(D), jnp.ones(D)).any()
