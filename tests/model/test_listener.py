# SPDX-License-Identifier: Apache-2.0
"""A listener's verdicts: two a token of sound, and of nothing that is out of its reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux import config, params
from pollux.config import MEL_BINS, MEL_OWN
from pollux.errors import WeightsError
from pollux.model import listener

SMALL = config.Listener(channels=8, layers=2, width=3)
TOKENS = 24


@pytest.fixture(scope="module")
def weights():
    return params.initialise(listener.declare(SMALL), jax.random.key(0))


@pytest.fixture(scope="module")
def mel():
    return np.random.default_rng(0).normal(-5, 3, (2, TOKENS * MEL_OWN, MEL_BINS)).astype("f")


def test_two_verdicts_a_token(weights, mel):
    verdicts = listener.listen(weights, jnp.asarray(mel))
    assert verdicts.shape == (2, TOKENS * listener.VERDICTS, listener.CLASSES)
    alone = listener.listen(weights, jnp.asarray(mel[1:]))
    np.testing.assert_allclose(alone[0], verdicts[1], atol=1e-5)


def test_hears_as_far_as_it_reaches(weights, mel):
    at, reach = 12, SMALL.reach
    other = mel.copy()
    other[:, at * MEL_OWN : (at + 1) * MEL_OWN] += 5
    before, after = (np.asarray(listener.listen(weights, jnp.asarray(one))) for one in (mel, other))
    changed = np.abs(before - after).max((0, 2)).reshape(TOKENS, -1).max(1) > 0
    assert np.flatnonzero(changed).tolist() == [*range(at - reach, at + reach + 1)]


def test_widths_are_odd():
    with pytest.raises(WeightsError, match="must be odd"):
        config.Listener(width=4)
