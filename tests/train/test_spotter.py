# SPDX-License-Identifier: Apache-2.0
"""A spotter learns letters, and a run of it goes on."""

import csv
import dataclasses

import jax
import numpy as np
import pytest

from pollux import checkpoint
from pollux.config import Spotter
from pollux.errors import RecipeError, WeightsError
from pollux.train import alone, spotter
from pollux.train.recipe import Spotting, override

STEPS = 24


@pytest.fixture(scope="module", autouse=True)
def quiet_place(tmp_path_factory):
    """Without prepared fonts there are matplotlib's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLLUX_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(alone, "EVERY", 8)
        yield


@pytest.fixture(scope="module")
def recipe():
    small = Spotter(channels=2)
    return Spotting(config=small, steps=STEPS, pages=1, height=64, width=128, warmup_steps=2)


@pytest.fixture(scope="module")
def unbroken(recipe, tmp_path_factory):
    """A whole run, only to be looked at."""
    directory = tmp_path_factory.mktemp("unbroken")
    return spotter.train(recipe, directory), directory


def rows(directory):
    with open(directory / "metrics.csv", newline="") as file:
        return [row[:-1] for row in csv.reader(file)]  # but for the speed


def test_learns(unbroken):
    _, directory = unbroken
    head, *table = rows(directory)
    assert tuple(head) == spotter.TASK.columns[:-1]
    assert [row[0] for row in table] == ["8", "16", "24"]
    first, last = float(table[0][1]), float(table[-1][1])
    assert last < 0.93 * first


def test_resumed_equals_unbroken(recipe, unbroken, tmp_path, capsys):
    path, directory = unbroken
    spotter.train(recipe, tmp_path, stop_after=16)
    with pytest.raises(RecipeError, match="step 16.*--resume"):
        spotter.train(recipe, tmp_path)
    again = spotter.train(recipe, tmp_path, resume=True)
    assert rows(tmp_path) == rows(directory)
    assert again.read_bytes()[-64:] == path.read_bytes()[-64:]
    got, expected = (checkpoint.load_spotter(p)[0] for p in (again, path))
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other)
    assert f"spotter  {STEPS}/{STEPS}  loss" in capsys.readouterr().out


def test_goes_on_from_weights(recipe, unbroken, tmp_path):
    path, _ = unbroken
    longer = dataclasses.replace(recipe, learning_rate=1e-6, steps=8)
    again = spotter.train(longer, tmp_path, weights=path)
    got, expected = (checkpoint.load_spotter(p)[0] for p in (again, path))
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_one_of_other_dimensions_is_refused(unbroken, tmp_path):
    path, _ = unbroken
    with pytest.raises(WeightsError, match="is a spotter of .*channels=2"):
        checkpoint.load_spotter(path, Spotter(channels=3))
    with pytest.raises(WeightsError, match="is no model but a spotter"):
        checkpoint.load(path)


def test_settings_that_cannot_be():
    for setting, told in (("steps=0", "1 or more"), ("pages=0", "1 or more"), ("width=100", "64")):
        with pytest.raises(RecipeError, match=told):
            override(Spotting(), [setting])
