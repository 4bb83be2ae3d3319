# SPDX-License-Identifier: Apache-2.0
"""Strips for a speller: what is said to be on them is."""

import numpy as np
import pytest

from pollux.config import LETTERS, SPACE, STRIP
from pollux.data import art, held_out, letters, strips
from pollux.errors import RecipeError

SIGNS = LETTERS + " "


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Fonts that come with matplotlib, of training and held out."""
    folder = tmp_path_factory.mktemp("nothing")
    return {evaluation: art.art(folder, evaluation) for evaluation in (False, True)}


def texts(made):
    return ["".join(SIGNS[n - 1] for n in row if n) for row in made.letters]


@pytest.mark.parametrize("evaluation", [False, True])
def test_strips_have_letters_of_their_side(plain, evaluation):
    made = strips.batch(plain[evaluation], np.random.default_rng(0), 40, 256, evaluation)
    assert made.grey.shape == (40, STRIP, 256) and made.grey.dtype == np.uint8
    said = texts(made)
    assert sum(map(bool, said)) > 30 and "" in said
    for text in said:
        assert text == text.strip() and len(text) <= 256 // strips.PIXELS_A_LETTER
        own = ["".join(c for c in word if c.isalnum()) for word in text.split()[1:-1]]
        assert all(held_out.word(word) == evaluation for word in own if word)


def test_the_same_number_gives_the_same_strips(plain):
    one, same, other = (
        strips.batch(plain[False], np.random.default_rng(seed), 6, 128) for seed in (1, 1, 2)
    )
    assert np.array_equal(one.grey, same.grey) and np.array_equal(one.letters, same.letters)
    assert not np.array_equal(one.grey, other.grey)


def test_a_long_line_is_cut_between_letters():
    """Each letter is as bright as it is far along, so what is shown tells which were kept."""
    count, size = 60, 20.0
    left = 10.0 + 10 * np.arange(count)
    middle = np.stack([left + 5, np.full(count, 40.0)], 1)
    kind = np.arange(count) % 26
    kind[10::11] = SPACE
    said = letters.Stood(size, kind, middle, left, left + 10)
    light = np.tile(np.clip((np.arange(640) - 10) // 10 * 3 + 20, 0, 255).astype(np.uint8), (80, 1))
    for seed in range(20):
        cut, own = strips._cut(light, said, np.random.default_rng(seed), 256)
        assert cut.shape[0] == STRIP and cut.shape[1] <= 256
        assert own[0] != SPACE and own[-1] != SPACE
        begins = [n for n in range(count) if np.array_equal(kind[n : n + len(own)], own)]
        shown = {(int(x) - 20) // 3 for x in cut[STRIP // 2]}
        assert any(shown >= {*range(at + 1, at + len(own) - 1)} for at in begins)


def test_there_must_be_fonts(plain):
    bare = art.Art(plain[False].folder, (), (), ())
    with pytest.raises(RecipeError, match="pollux data prepare"):
        strips.batch(bare, np.random.default_rng(0), 1, 128)
