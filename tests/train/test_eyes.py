# SPDX-License-Identifier: Apache-2.0
"""Eyes learn letters by themselves, a run of them goes on, and a model begins with them."""

import csv
import dataclasses

import jax
import numpy as np
import pytest

from pollux import checkpoint, params
from pollux.config import TINY, Vision
from pollux.data import letters
from pollux.data.stage import Stage
from pollux.errors import RecipeError, WeightsError
from pollux.model import decoder, vision
from pollux.train import eyes, loop
from pollux.train.recipe import Eyes, Recipe, override

STEPS = 24


@pytest.fixture(scope="module", autouse=True)
def quiet_place(tmp_path_factory):
    """Without prepared fonts there are matplotlib's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLLUX_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(eyes, "EVERY", 8)
        patch.setattr(eyes, "HELD_OUT", 1)
        yield


@pytest.fixture(scope="module")
def recipe(senses):
    return Eyes(config=senses, steps=STEPS, patches=96, learning_rate=8e-3, warmup_steps=2)


@pytest.fixture(scope="module")
def unbroken(recipe, tmp_path_factory):
    """A whole run, only to be looked at."""
    directory = tmp_path_factory.mktemp("unbroken")
    return eyes.train(recipe, directory), directory


def rows(directory):
    with open(directory / "metrics.csv", newline="") as file:
        return [row[:-1] for row in csv.reader(file)]  # but for the speed


def test_learns(unbroken):
    _, directory = unbroken
    head, *table = rows(directory)
    assert tuple(head) == eyes.COLUMNS[:-1]
    assert [row[0] for row in table] == ["8", "16", "24"]
    first, last = float(table[0][1]), float(table[-1][1])
    assert last < 0.93 * first


def test_resumed_equals_unbroken(recipe, unbroken, tmp_path, capsys):
    path, directory = unbroken
    eyes.train(recipe, tmp_path, stop_after=16)
    with pytest.raises(RecipeError, match="step 16.*--resume"):
        eyes.train(recipe, tmp_path)
    again = eyes.train(recipe, tmp_path, resume=True)
    assert rows(tmp_path) == rows(directory)
    assert again.read_bytes()[-64:] == path.read_bytes()[-64:]
    got, expected = (checkpoint.load_eyes(p, recipe.config) for p in (again, path))
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other)
    assert f"eyes  {STEPS}/{STEPS}  loss" in capsys.readouterr().out


def test_a_model_begins_with_them(recipe, unbroken, tmp_path):
    path, _ = unbroken
    shares = {"any": 1.0}  # never drawn from
    stage = Stage(steps=1, rows=1, length=64, supervised=8, genres=shares, skills=shares)
    senses = Recipe(name="senses", config=recipe.config, stages=(stage,))
    trained = checkpoint.load_eyes(path, recipe.config)
    for weights in (None, tmp_path / "blind.safetensors"):
        if weights is not None:
            blind = dataclasses.replace(recipe.config, vision=None, audio=None)
            text = params.initialise(decoder.declare(blind), jax.random.key(5))
            checkpoint.save(weights, text, blind, {})
        plain = loop.initial(senses, weights).params
        given = loop.initial(senses, weights, path).params
        for name, one, other in zip(
            params.names(given), jax.tree.leaves(given), jax.tree.leaves(plain), strict=True
        ):
            if not name.startswith("vision."):
                np.testing.assert_array_equal(one, other)
        for one, other in zip(jax.tree.leaves(given.vision), jax.tree.leaves(trained), strict=True):
            np.testing.assert_array_equal(one, other)


def test_eyes_of_another_model_are_refused(recipe, unbroken, tmp_path):
    path, _ = unbroken
    other = dataclasses.replace(recipe.config, vision=Vision(hidden_dim=8, channels=2))
    for config in (other, TINY):
        with pytest.raises(WeightsError, match="has eyes of .* train eyes for it"):
            checkpoint.load_eyes(path, config)
    whole = tmp_path / "whole.safetensors"
    fresh = params.initialise(decoder.declare(TINY), jax.random.key(0))
    checkpoint.save(whole, fresh, TINY, {})
    with pytest.raises(WeightsError, match="holds no eyes trained alone .format 'pollux-1'"):
        checkpoint.load_eyes(whole, TINY)
    with pytest.raises(WeightsError, match="no model but eyes alone"):
        checkpoint.load(path)


def test_what_nobody_could_tell_is_not_asked(recipe):
    learner = params.initialise(eyes.declare(recipe.config), jax.random.key(0))
    (seen,) = eyes.batches(recipe, 0, 1)
    measure = jax.jit(lambda one: eyes.loss(learner, one)[1])
    half = seen._replace(letters=seen.letters.at[48:].set(letters.UNSEEN))
    other = half._replace(patches=half.patches.at[48:].set(0))
    np.testing.assert_allclose(measure(half), measure(other), rtol=1e-5)
    assert measure(seen).loss != measure(half).loss
    assert measure(seen).folded >= measure(seen).right


def test_settings():
    made = override(Eyes(), ["steps=10", "patches=64", "config.vision.channels=16"])
    assert (made.steps, made.patches, made.config.vision.channels) == (10, 64, 16)
    assert vision.declare(made.config).stem[0].shape == (3, 3, 12, 16)
    with pytest.raises(RecipeError, match="has no eyes"):
        Eyes(config=TINY)
    with pytest.raises(RecipeError, match="patches 0 must be 1 or more"):
        override(Eyes(), ["patches=0"])
