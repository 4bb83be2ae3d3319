# SPDX-License-Identifier: Apache-2.0
"""Pictures as codes and back: what holds of any weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollux import params
from pollux.config import DRAWN_CODES, HAND, Picture
from pollux.model import picture

SMALL = Picture(channels=8, levels=(4, 3, 3))
LEVELS = [HAND.levels, SMALL.levels, (2,)]


encode, decode, again = (
    jax.jit(one, static_argnums=1) for one in (picture.encode, picture.decode, picture.again)
)


@pytest.fixture(scope="module")
def weights():
    rng = np.random.default_rng(0)

    def drawn(param):
        around = rng.normal(size=param.shape) / max(1, np.prod(param.shape[:-1])) ** 0.5
        return jnp.asarray(around + (len(param.shape) == 1), jnp.float32)

    return jax.tree.map(drawn, picture.declare(SMALL), is_leaf=params.is_param)


def pictures(number, seed=0):
    """Discs of any colour on white."""
    rng = np.random.default_rng(seed)
    across = np.arange(64) - 31.5
    disc = across[:, None] ** 2 + across**2 < 24**2
    colours = rng.integers(0, 256, (number, 1, 1, 3))
    return np.where(disc[..., None], colours, 255).astype(np.uint8)


@pytest.mark.parametrize("levels", LEVELS)
def test_every_code_comes_back(levels):
    codes = jnp.arange(np.prod(levels))
    values = picture.values_of(codes, levels)
    assert values.shape == (len(codes), len(levels))
    assert float(values.min()) == -1 and float(values.max()) == 1
    assert len(np.unique(np.asarray(values), axis=0)) == len(codes)
    np.testing.assert_array_equal(picture.codes_of(values, levels), codes)


@pytest.mark.parametrize("levels", LEVELS)
def test_every_code_is_reached(levels):
    """From latents around its values, the rounding included; so no code is dead by design."""
    codes = jnp.arange(np.prod(levels))
    latent = jnp.arctanh(0.999 * picture.values_of(codes, levels))
    np.testing.assert_array_equal(picture.codes_of(picture.rounded(latent, levels), levels), codes)


@given(st.lists(st.floats(-50, 50, width=32), min_size=4, max_size=4))
def test_rounding_gives_the_nearest_level(latent):
    given = jnp.asarray([latent], jnp.float32)
    value = picture.rounded(given, HAND.levels)
    code = picture.codes_of(value, HAND.levels)
    assert 0 <= int(code[0]) < HAND.codes
    apart = np.abs(np.asarray(value) - np.tanh(np.asarray(given)))
    assert (apart <= 1 / (np.array(HAND.levels) - 1) + 1e-6).all()
    np.testing.assert_allclose(picture.values_of(code, HAND.levels), value, atol=1e-6)


def test_gradient_passes_the_rounding():
    latent = jnp.asarray([[0.3, -0.2, 0.9]])
    gradient = jax.grad(lambda z: picture.rounded(z, SMALL.levels).sum())(latent)
    np.testing.assert_allclose(gradient, 1 - jnp.tanh(latent) ** 2, rtol=1e-6)


def test_gradient_reaches_every_weight(weights):
    pixels = jnp.asarray(pictures(2), jnp.float32) / 255

    def off(p):
        made, _ = again(p, SMALL, pixels)
        return jnp.abs(made - pixels).mean()

    gradient = jax.jit(jax.grad(off))(weights)
    still = [
        name
        for name, one in zip(params.names(gradient), jax.tree.leaves(gradient), strict=True)
        if not jnp.abs(one).max()
    ]
    assert not still


def test_pixels_become_codes_and_codes_pixels(weights):
    pixels = jnp.asarray(pictures(3))
    codes = encode(weights, SMALL, pixels)
    assert codes.shape == (3, DRAWN_CODES)
    assert int(codes.min()) >= 0 and int(codes.max()) < SMALL.codes
    drawn = decode(weights, SMALL, codes)
    assert drawn.shape == pixels.shape and drawn.dtype == jnp.uint8
    made, same = again(weights, SMALL, pixels.astype(jnp.float32) / 255)
    np.testing.assert_array_equal(same.reshape(3, -1), codes)
    np.testing.assert_allclose(drawn / 255, jnp.clip(made, 0, 1), atol=0.5 / 255 + 1e-4)


def test_a_picture_does_not_depend_on_those_beside_it(weights):
    pixels = jnp.asarray(pictures(3))
    alone = encode(weights, SMALL, pixels[1:2])
    np.testing.assert_array_equal(alone, encode(weights, SMALL, pixels)[1:2])


def test_it_is_small():
    assert params.count(picture.declare(HAND)) < 400_000
