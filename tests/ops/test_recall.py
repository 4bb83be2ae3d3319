# SPDX-License-Identifier: Apache-2.0
"""Recall over a memory: how scores follow a run of words, what is selected, how it is weighed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux.ops.attention import MASKED
from pollux.ops.recall import follow, select, weigh


def scores(heads, count, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(heads, count)), jnp.float32)


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


QUERIES, HEADS, KEYS = 9, 2, 14
followed = jax.jit(follow)


def case(seed):
    """Scores; which queries join, which keys begin a part; the decay of each query and head."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=(QUERIES, HEADS, KEYS)).astype(np.float32)
    joins, begins = rng.random(QUERIES) < 0.8, rng.random(KEYS) < 0.2
    return score, joins, begins, rng.random((QUERIES, HEADS)).astype(np.float32)


def along_the_diagonal(score, joins, begins, decay):
    """Of each query and key, back as far as queries join and keys are of one part."""
    total, count = np.zeros(score.shape), np.zeros(score.shape[:2])
    for s, h in np.ndindex(score.shape[:2]):
        factors = [1.0]  # of the query itself, the one before, ...
        while len(factors) <= s and joins[s + 1 - len(factors)]:
            factors.append(factors[-1] * decay[s + 1 - len(factors), h])
        count[s, h] = sum(factors)
        for n in range(score.shape[2]):
            for back, factor in enumerate(factors[: n + 1]):
                total[s, h, n] += factor * score[s - back, h, n - back]
                if begins[n - back]:
                    break
    return total, count


def some_queries(given, part):
    score, joins, begins, decay = given
    return score[part], joins[part], begins, decay[part]


def some_keys(given, part):
    score, joins, begins, decay = given
    return score[..., part], joins, begins[part], decay


@pytest.mark.parametrize("seed", range(5))
def test_follow_sums_along_the_diagonal(seed):
    for got, expected in zip(followed(*case(seed)), along_the_diagonal(*case(seed)), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("cut", [1, 4, 8])
def test_follow_goes_on_with_later_queries(cut):
    """As an answer is made: what was summed up to the query before is handed on."""
    given = case(0)
    whole = followed(*given)
    first = followed(*some_queries(given, slice(cut)))
    before = first[0][-1], first[1][-1]
    second = followed(*some_queries(given, slice(cut, None)), before)
    for pieces, expected in zip(zip(first, second, strict=True), whole, strict=True):
        np.testing.assert_allclose(np.concatenate(pieces), expected, atol=1e-6)


@pytest.mark.parametrize("cut", [1, 6, 13])
@pytest.mark.parametrize("begun", [False, True])
def test_follow_goes_on_with_later_keys(cut, begun):
    """As a reading is scanned: the edge is the last column, one query earlier each."""
    given = case(0)
    given[2][cut] = begun
    whole, counts = followed(*given)
    first, _ = followed(*some_keys(given, slice(cut)))
    edge = jnp.pad(first[:-1, :, -1], ((1, 0), (0, 0)))
    second, again = followed(*some_keys(given, slice(cut, None)), None, edge)
    np.testing.assert_allclose(np.concatenate([first, second], -1), whole, atol=1e-6)
    assert np.array_equal(counts, again)


def test_follow_goes_on_both_ways():
    """A guess of several positions over several stretches: both at once."""
    given = case(1)
    given[1][5] = True
    whole, counts = followed(*given)
    early, late = some_queries(given, slice(5)), some_queries(given, slice(5, None))
    total, count = (x[-1] for x in followed(*early))
    left, right = total[:, :8], total[:, 8:]
    first, _ = followed(*some_keys(late, slice(8)), (left, count))
    edge = jnp.concatenate([left[None, :, -1], first[:-1, :, -1]])
    second, again = followed(*some_keys(late, slice(8, None)), (right, count), edge)
    np.testing.assert_allclose(np.concatenate([first, second], -1), whole[5:], atol=1e-6)
    np.testing.assert_allclose(again, counts[5:], atol=1e-6)


def test_follow_finds_the_longer_run():
    """Two keys match as well; the one behind others that match has the higher mean."""
    score = np.zeros((3, 1, 10), np.float32)
    score[[0, 1, 2], 0, [2, 3, 4]] = score[2, 0, 8] = 1.0
    joins = np.array([False, True, True])
    total, count = followed(score, joins, np.zeros(10, bool), np.full((3, 1), 0.5))
    mean = np.asarray(total / count[..., None])[2, 0]
    assert mean.argmax() == 4 and mean[4] == pytest.approx(1.0)
    assert mean[8] == pytest.approx(1 / 1.75)
