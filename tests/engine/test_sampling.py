# SPDX-License-Identifier: Apache-2.0
"""Choosing tokens: the likeliest, or by a seed among those that are let in; where answers stop."""

from collections import Counter

import numpy as np
import pytest

from pollux import InputError, Sampling
from pollux.engine.sampling import choose, safe, stopped

LOGITS = np.log(np.array([0.5, 0.3, 0.15, 0.05]))


def drawn(sampling, times=2_000):
    rng = np.random.default_rng(0)
    return Counter(choose(LOGITS, sampling, rng).token for _ in range(times))


def test_the_likeliest_at_temperature_0():
    chosen = choose(LOGITS, Sampling(alternatives=2), np.random.default_rng(0))
    assert chosen.token == 0
    assert chosen.probability == pytest.approx(0.5)
    assert [token for token, _ in chosen.alternatives] == [0, 1]
    assert chosen.alternatives[1][1] == pytest.approx(np.log(0.3))


@pytest.mark.parametrize(
    ("sampling", "shares"),
    [
        (Sampling(temperature=1), [0.5, 0.3, 0.15, 0.05]),
        (Sampling(temperature=1, top_k=2), [0.625, 0.375, 0, 0]),
        (Sampling(temperature=1, top_p=0.8), [0.625, 0.375, 0, 0]),
        (Sampling(temperature=1, top_p=0.81), [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]),
        (Sampling(temperature=1, top_k=3, top_p=0.5), [1, 0, 0, 0]),
        (Sampling(temperature=1, top_p=1e-9), [1, 0, 0, 0]),
    ],
)
def test_draws_have_their_shares(sampling, shares):
    counts = drawn(sampling)
    for token, share in enumerate(shares):
        assert counts[token] / 2_000 == pytest.approx(share, abs=0.04 if 0 < share < 1 else 0)


def test_probability_is_that_of_the_model_whatever_was_left_out():
    chosen = choose(LOGITS, Sampling(temperature=3, top_k=1), np.random.default_rng(0))
    assert (chosen.token, chosen.probability) == (0, pytest.approx(0.5))


def test_same_seed_same_draws():
    first, second, other = (
        [choose(LOGITS, Sampling(temperature=1), rng).token for _ in range(50)]
        for rng in map(np.random.default_rng, (1, 1, 2))
    )
    assert first == second != other


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"temperature": -1}, "temperature"),
        ({"max_tokens": 0}, "max tokens"),
        ({"top_k": -1}, "top k"),
        ({"top_p": 0}, "top p"),
        ({"top_p": 1.1}, "top p"),
        ({"stop": ("",)}, "stop"),
        ({"stop": ("a",) * 17}, "stop"),
        ({"alternatives": 21}, "alternatives"),
    ],
)
def test_out_of_range_is_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        Sampling(**wrong)


def test_stopped_is_the_first_place():
    assert stopped("one two three", ("three", "two")) == 4
    assert stopped("one two", ("four",)) is None
    assert stopped("one", ()) is None


def test_what_may_become_a_stop_sequence_is_held_back():
    assert safe("one two", ("two!",)) == 4
    assert safe("one two", ("wo!", "x")) == 5
    assert safe("one two", ("one",)) == 6
    assert safe("one two", ("xyz",)) == 7
    assert safe("one two", ()) == 7
