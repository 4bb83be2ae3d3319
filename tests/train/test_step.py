# SPDX-License-Identifier: Apache-2.0
"""A step learns, keeps the experts balanced and stays finite."""

import dataclasses
from functools import partial

import jax
import numpy as np
import optax
import pytest

from pollux import params
from pollux.config import dense_twin
from pollux.model import decoder
from pollux.train import step as stepping


def fresh(recipe):
    weights = params.initialise(decoder.declare(recipe.config), jax.random.key(0))
    return stepping.start(recipe, weights)


@pytest.fixture(scope="module")
def advance(recipe):
    return jax.jit(partial(stepping.step, recipe))


def test_loss_falls_on_a_copy_task(recipe, advance, copy_batch):
    state, losses = fresh(recipe), []
    for number in range(recipe.steps):
        state, measures, norm = advance(state, copy_batch(number))
        losses.append(float(measures.loss))
        assert np.isfinite([losses[-1], float(norm)]).all()
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    assert int(state.step) == recipe.steps
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))


def test_step_is_repeatable(recipe, advance, copy_batch):
    first, again = (advance(fresh(recipe), copy_batch(0)) for _ in range(2))
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        assert np.array_equal(a, b)


def test_router_bias_moves_towards_balance(recipe, advance, copy_batch):
    before = fresh(recipe)
    after, measures, _ = advance(before, copy_batch(0))
    layers = [(*state.params.read, *state.params.answer) for state in (before, after)]
    for old, new, load in zip(*layers, measures.load, strict=True):
        moved = np.asarray(new.experts.bias - old.experts.bias)
        expected = recipe.balance_rate * np.sign(1 / len(load) - np.asarray(load))
        np.testing.assert_allclose(moved, expected, atol=1e-7)


def test_every_weight_has_a_finite_gradient(recipe, advance, copy_batch):
    """By the first moment after one step; only the bias of a router has none."""
    state, _, _ = advance(fresh(recipe), copy_batch(0))
    first = optax.tree.get(state.optimizer, "mu")
    size = dict(zip(params.names(first), map(np.abs, jax.tree.leaves(first)), strict=True))
    assert all(np.isfinite(x).all() for x in size.values())
    without = {name for name, x in size.items() if not x.any()}
    assert without == {name for name in size if name.endswith("experts.bias")}


def test_dense_twin_steps_too(recipe, copy_batch):
    config = dataclasses.replace(recipe.config, answer_layers=1)
    dense = dataclasses.replace(recipe, config=dense_twin(config))
    state, measures, _ = jax.jit(partial(stepping.step, dense))(fresh(dense), copy_batch(0))
    assert np.isfinite(measures.loss)
    assert measures.load.shape == (2, 0)
    assert int(state.step) == 1


def test_schedule(recipe):
    """Up, flat, down to a fiftieth."""
    rate = [float(stepping.schedule(recipe)(i)) for i in range(recipe.steps + 1)]
    peak = recipe.learning_rate
    decay = int(recipe.steps * recipe.decay_share)
    assert rate[0] == pytest.approx(peak / 50, 1e-5)
    plateau = rate[recipe.warmup_steps : recipe.steps - decay + 1]
    assert plateau == pytest.approx([peak] * len(plateau), 1e-5)
    assert rate[-1] == pytest.approx(peak / 50, 1e-5)
    assert all(np.diff(rate[: recipe.warmup_steps + 1]) > 0)
    assert all(np.diff(rate[recipe.steps - decay :]) < 0)


def test_weight_decay_is_for_matrices(recipe):
    decayed = stepping.matrices(fresh(recipe).params)
    assert decayed.embedding is True
    assert decayed.norm is decayed.read[0].experts.bias is False
