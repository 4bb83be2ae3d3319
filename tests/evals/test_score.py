# SPDX-License-Identifier: Apache-2.0
"""Wilson's interval against published values."""

import pytest

from pollux.evals.score import Score, wilson


@pytest.mark.parametrize(
    ("right", "trials", "low", "high"),
    [(100, 100, 0.963, 1.0), (0, 10, 0.0, 0.278), (5, 10, 0.237, 0.763), (99, 100, 0.946, 0.998)],
)
def test_interval(right, trials, low, high):
    assert wilson(right, trials) == pytest.approx((low, high), abs=1e-3)


def test_nothing_tried_says_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


def test_shown():
    assert str(Score(99, 100)) == "99.0% [94.6%, 99.8%]"
