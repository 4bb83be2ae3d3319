# SPDX-License-Identifier: Apache-2.0
"""Top-k recall over a memory: what is selected, how it is weighed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux.ops.attention import MASKED
from pollux.ops.recall import recall_scores, select, top_blocks, weigh


def scores(heads, count, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(heads, count)), jnp.float32)


def test_scores_are_products_of_what_is_visible():
    rng = np.random.default_rng(0)
    query = jnp.asarray(rng.normal(size=(3, 2, 4)), jnp.float32)
    key = jnp.asarray(rng.normal(size=(5, 4)), jnp.float32)
    visible = jnp.asarray(rng.random((3, 5)) < 0.5)
    got = np.asarray(recall_scores(query, key, visible))
    for s, h, n in np.ndindex(3, 2, 5):
        expected = query[s, h] @ key[n] if visible[s, n] else MASKED
        np.testing.assert_allclose(got[s, h, n], expected, rtol=1e-5)


@pytest.mark.parametrize("top_k", [1, 5, 39, 40, 99])
def test_select_keeps_the_highest(top_k):
    score = scores(6, 40).reshape(2, 3, 40)
    got = np.asarray(select(score, top_k))
    kept = got > MASKED
    assert (kept.sum(-1) == min(top_k, 40)).all()
    assert np.array_equal(got[kept], np.asarray(score)[kept])
    least = got.min(-1, where=kept, initial=np.inf)
    assert (least > score.max(-1, where=~kept, initial=MASKED)).all()


def test_select_with_fewer_visible_than_wanted():
    score = jnp.full((1, 1, 9), MASKED).at[0, 0, 4].set(-3.0)
    got = select(score, 4)
    assert np.array_equal(got, score)


def test_weigh_is_a_softmax_with_a_null_key():
    score = scores(6, 40).reshape(2, 3, 40) * 20
    null = scores(2, 3, seed=1) * 20
    weight, nothing = weigh(score, null)
    expected = jax.nn.softmax(jnp.concatenate([score, null[..., None]], -1), -1)
    np.testing.assert_allclose(weight, expected[..., :-1], atol=1e-6)
    np.testing.assert_allclose(nothing, expected[..., -1], atol=1e-6)


def test_weigh_with_nothing_visible():
    weight, nothing = weigh(jnp.full((1, 1, 4), MASKED), jnp.full((1, 1), -50.0))
    assert not weight.any()
    assert nothing[0, 0] == 1.0


@pytest.mark.parametrize(("top_k", "count"), [(1, 4), (9, 4), (5, 20), (5, 24), (3, 160)])
def test_top_blocks_is_top_k(top_k, count):
    """In values always; in places too, as far as no two scores are equal."""
    fast = jax.jit(top_blocks, static_argnums=(1, 2))
    for seed in range(8):
        score = scores(3, count, seed)
        highest, position = fast(score, top_k, 4)
        expected, places = jax.lax.top_k(score, min(top_k, count))
        assert np.array_equal(highest, expected)
        assert np.array_equal(position, places)
        tied = jnp.round(score)
        highest, position = fast(tied, top_k, 4)
        assert np.array_equal(highest, jax.lax.top_k(tied, min(top_k, count))[0])
        assert np.array_equal(highest, np.take_along_axis(np.asarray(tied), position, 1))
        assert all(len(set(row)) == len(row) for row in np.asarray(position).tolist())


def test_top_blocks_all_equal():
    highest, position = top_blocks(jnp.zeros((2, 640)), 5, 64)
    assert not highest.any()
    assert all(len(set(row)) == 5 for row in np.asarray(position).tolist())
