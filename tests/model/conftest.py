# SPDX-License-Identifier: Apache-2.0
"""A small model whose weights are all away from where they start."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux.config import TINY
from pollux.model import decoder
from pollux.params import is_param


@pytest.fixture(scope="session")
def cfg():
    return dataclasses.replace(TINY, vocab_size=256)


def as_if_trained(cfg):
    """Weights: convolution taps, null values and biases are not at their special starts."""
    rng = np.random.default_rng(0)

    def anything(param):
        center = 1.0 if len(param.shape) == 1 else 0.0
        return jnp.asarray(center + 0.2 * rng.normal(size=param.shape), jnp.float32)

    return jax.tree.map(anything, decoder.declare(cfg), is_leaf=is_param)


@pytest.fixture(scope="session")
def weights(cfg):
    return as_if_trained(cfg)
