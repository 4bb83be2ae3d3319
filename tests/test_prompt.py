# SPDX-License-Identifier: Apache-2.0
"""What earlier lines of an answer went on with is not recalled again."""

import pytest

from pollux import prompt

NEWLINE, ITEM = 0, 1
LINE = [5, 6, 7, NEWLINE]
PLACES = [-1, 40, 41, 42]


@pytest.mark.parametrize(
    ("tokens", "told"),
    [
        ([], []),
        ([5], []),  # no line before
        (LINE, []),  # a new line begins as any other
        ([*LINE, 5], [1]),
        ([*LINE, 5, 6], [2]),
        ([*LINE, 5, 9], []),  # it goes on otherwise
        ([*LINE, 5, 6, 7], [3]),  # the end of the line
        ([*LINE, 6], []),
        ([*LINE, 5, 8, 9, NEWLINE, 5], [1, 5]),
        ([*LINE, *LINE, 5], [1, 5]),
    ],
)
def test_told(tokens, told):
    places = [*PLACES, -1, 51, 52, 53, *[-1] * 8]
    assert prompt.told(tokens, places, NEWLINE, ITEM) == told


def test_what_was_not_recalled_is_not_told():
    assert prompt.told([*LINE, 5], [-1] * 5, NEWLINE, ITEM) == []


def test_items_are_looked_up_each_by_itself():
    assert prompt.told([ITEM, 6, 7, NEWLINE, ITEM, 6], [30] * 6, NEWLINE, ITEM) == []
