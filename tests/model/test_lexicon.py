# SPDX-License-Identifier: Apache-2.0
"""Words and what follows them: shares of a whole, the same from disk."""

import numpy as np
import pytest

from pollux.errors import WeightsError
from pollux.model import lexicon

TEXTS = [
    ("the captain of the ship and the captain of the guard".split(), 3.0),
    ("the ship was late and the guard was asleep".split(), 1.0),
]


@pytest.fixture(scope="module")
def counted():
    return lexicon.counted(TEXTS, words=100, pairs=8)


def test_words_behind_a_word_are_shares_of_one(counted):
    every = range(len(counted.words))
    assert list(counted.words) == sorted(counted.words)
    for before in (None, *every):
        total = sum(np.exp(counted.following(before, word)) for word in every)
        assert total == pytest.approx(1, abs=1e-3)


def test_what_was_met_together_is_likelier(counted):
    of, the, ship = (counted.words.index(word) for word in ("of", "the", "ship"))
    assert counted.following(of, the) > counted.following(ship, the)
    assert counted.following(None, the) == pytest.approx(float(counted.alone[the]))


def test_the_rarest_are_left_out():
    few = lexicon.counted(TEXTS, words=2, pairs=100)
    assert few.words == ("captain", "the") or few.words == ("of", "the")
    assert all(0 <= word < 2 for word in few.pairs.ravel())


def test_saved_equals_counted(counted, tmp_path):
    path = tmp_path / "words.safetensors"
    lexicon.save(path, counted, {})
    again = lexicon.load(path)
    assert again.words == counted.words
    np.testing.assert_array_equal(again.pairs, counted.pairs)
    for name in ("alone", "others", "after"):
        np.testing.assert_allclose(getattr(again, name), getattr(counted, name), atol=2e-2)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_damaged_ones_are_refused(counted, tmp_path):
    path = tmp_path / "words.safetensors"
    lexicon.save(path, counted, {})
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole.replace(b"captain", b"\xff\xfe\xfdtain")):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"words\.safetensors"):
            lexicon.load(path)
    with pytest.raises(WeightsError, match="install it again"):
        lexicon.load(tmp_path / "none.safetensors")
