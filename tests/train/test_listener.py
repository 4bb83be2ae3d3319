# SPDX-License-Identifier: Apache-2.0
"""A listener learns letters from sound that nobody has cut up, and a run of it goes on."""

import csv
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux import checkpoint
from pollux.config import Listener
from pollux.data import utterances
from pollux.data.speech import Clip
from pollux.data.utterances import Speech
from pollux.errors import RecipeError, WeightsError
from pollux.evals.score import edits
from pollux.media.mel import RATE
from pollux.model.listener import NOTHING
from pollux.train import alone, listener
from pollux.train.recipe import Listening, override

STEPS = 36
LETTERS = "abe"


def hummed(text):
    """Each letter a tone of its own."""
    at = np.arange(RATE // 5) / RATE
    tones = [np.sin(2 * np.pi * (300 + 900 * LETTERS.index(letter)) * at) for letter in text]
    return Clip(text, "nobody", (8_000 * np.concatenate(tones)).astype(np.int16))


@pytest.fixture(scope="module", autouse=True)
def hums():
    words = [a + b for a in LETTERS for b in LETTERS if a != b]
    with pytest.MonkeyPatch.context() as patch:
        clips = {"programs": [hummed(word) for word in words]}
        patch.setattr(utterances, "speech_of", partial(Speech, clips))
        patch.setattr(alone, "EVERY", 12)
        yield


@pytest.fixture(scope="module")
def recipe():
    small = Listener(channels=24, layers=2, width=3)
    return Listening(
        config=small, steps=STEPS, rows=3, tokens=75, warmup_steps=4, learning_rate=1e-2
    )


@pytest.fixture(scope="module")
def unbroken(recipe, tmp_path_factory):
    directory = tmp_path_factory.mktemp("unbroken")
    return listener.train(recipe, directory), directory


def rows(directory):
    with open(directory / "metrics.csv", newline="") as file:
        return [row[:-1] for row in csv.reader(file)]  # but for the speed


def test_learns(unbroken):
    _, directory = unbroken
    head, *table = rows(directory)
    assert head == ["step", "loss", "mistaken", "held_out_mistaken"]
    assert [row[0] for row in table] == ["12", "24", "36"]
    assert float(table[-1][1]) < 0.7 * float(table[0][1])


def test_resumed_equals_unbroken(recipe, unbroken, tmp_path):
    path, directory = unbroken
    listener.train(recipe, tmp_path, stop_after=24)
    again = listener.train(recipe, tmp_path, resume=True)
    assert rows(tmp_path) == rows(directory)
    got, expected = (checkpoint.load_listener(p)[0] for p in (again, path))
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other)


def test_mistakes_are_edits():
    rng = np.random.default_rng(0)
    for _ in range(20):
        verdicts, letters = rng.integers(0, 4, 12), rng.integers(1, 4, rng.integers(0, 8))
        heard = verdicts.tolist()
        said = [v for n, v in enumerate(heard) if v and (n == 0 or v != heard[n - 1])]
        padded = np.pad(letters, (0, 8 - len(letters)), constant_values=NOTHING)
        counted = listener.edits(jnp.asarray(verdicts), jnp.asarray(padded))
        assert int(counted) == edits(said, letters.tolist())


def test_one_of_other_dimensions_is_refused(unbroken, tmp_path):
    path, _ = unbroken
    with pytest.raises(WeightsError, match="is a listener of .*channels=24"):
        checkpoint.load_listener(path, Listener(channels=8))
    with pytest.raises(WeightsError, match="is no model but a listener"):
        checkpoint.load(path)
    with pytest.raises(WeightsError, match="holds no spotter"):
        checkpoint.load_spotter(path)


def test_settings_that_cannot_be():
    for setting, told in (("steps=0", "1 or more"), ("rows=0", "1 or more"), ("tokens=10", "75")):
        with pytest.raises(RecipeError, match=told):
            override(Listening(), [setting])
