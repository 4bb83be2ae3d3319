# SPDX-License-Identifier: Apache-2.0
"""The survey's loss knows which window a passage is in, and its windows do not cross parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux import params
from pollux.config import BLOCK, TINY
from pollux.model import decoder, survey

LENGTH = 4 * BLOCK


@pytest.fixture(scope="module")
def p():
    return params.initialise(decoder.declare(TINY), jax.random.key(0)).survey


def brute_force(query, weight, key, seen, log_scale):
    """Of each question and window of two blocks: the sum of its tokens' best cosines."""
    rows, length, _ = key.shape
    out = []
    for r in range(rows):
        for start in range(0, length, BLOCK):
            inside = slice(start, min(start + 2 * BLOCK, length))
            match = query @ key[r, inside].T
            match = np.where(seen[r, inside], match, -1.0)
            out.append((match.max(-1) * weight).sum(-1))
    return np.array(out).T * np.exp(log_scale)


def test_loss_is_that_of_the_windows(p):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, TINY.embed_dim)).astype(np.float32)
    gathered = rng.normal(size=x.shape).astype(np.float32)
    asked = np.ones((2, 5), bool)
    asked[1, 3:] = False
    key = rng.normal(size=(2, LENGTH, TINY.key_dim)).astype(np.float32)
    seen = rng.random((2, LENGTH)) < 0.9
    passage = np.array([[BLOCK + 3, BLOCK + 40], [LENGTH + 2 * BLOCK + 5, LENGTH + 3 * BLOCK + 9]])
    got, first = survey.loss(p, TINY, *map(jnp.asarray, (x, gathered, asked, key, seen, passage)))
    query, weight = map(np.asarray, survey.queries(p, TINY, jnp.asarray(x), jnp.asarray(gathered)))
    score = brute_force(query, weight * asked, key, seen, np.asarray(p.log_scale))
    right = [[0, 1], [6]]  # windows that hold all of the passage
    neither = [[], [5, 7]]  # that hold a piece of it
    for q in range(2):
        counted = np.delete(score[q], neither[q])
        nll = np.log(np.exp(counted).sum()) - np.log(np.exp(score[q, right[q]]).sum())
        np.testing.assert_allclose(got[q], nll, rtol=1e-4)
        assert bool(first[q]) == (score[q, right[q]].max() >= counted.max())


def test_what_is_not_asked_does_not_count(p):
    rng = np.random.default_rng(1)
    x, gathered = rng.normal(size=(2, 1, 6, TINY.embed_dim)).astype(np.float32)
    key = rng.normal(size=(1, LENGTH, TINY.key_dim)).astype(np.float32)
    asked = np.array([[True, True, True, False, False, False]])
    passage, seen = np.array([[10, 20]]), np.ones((1, LENGTH), bool)

    def of(x):
        arrays = map(jnp.asarray, (x, gathered, asked, key, seen, passage))
        return float(survey.loss(p, TINY, *arrays)[0][0])

    expected = of(x)
    changed = x.copy()
    changed[0, 4] = 9.0
    assert of(changed) == expected
    changed[0, 1] = 9.0
    assert of(changed) != expected


def test_no_window_crosses_into_another_part():
    best = jnp.array([[0.1, 0.5, 0.2, 0.9]])
    begins = jnp.array([True, False, True, False])
    np.testing.assert_allclose(survey.windows(best, begins), [[0.5, 0.5, 0.9, 0.9]])
