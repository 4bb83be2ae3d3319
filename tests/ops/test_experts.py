# SPDX-License-Identifier: Apache-2.0
"""Each step of the mixture against a loop over tokens; nothing is dropped whatever is batched."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollux.ops import experts as ops

D, E, F, K = 8, 4, 6, 2


def make_weights(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"router": (D, E), "bias": (E,), "up": (E, D, 2 * F), "down": (E, F, D)}
    return {n: jnp.asarray(rng.normal(size=s) / 2, jnp.float32) for n, s in shapes.items()}


def tokens(count, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(count, D)), jnp.float32)


dispatch = jax.jit(ops.dispatch, static_argnums=1)


@jax.jit
def whole(w, x):
    """All four steps."""
    weight, expert = ops.route(w["router"], w["bias"], x, K)
    plan = ops.dispatch(expert, E)
    return ops.combine(ops.experts(x, plan, w["up"], w["down"]), weight, plan.slot)


def swiglu(x, up, down):
    gate, linear = np.split(x @ up, 2)
    return (gate / (1 + np.exp(-gate)) * linear) @ down


def loop(w, x):
    """One token after another, in float64."""
    w = {name: np.asarray(value, np.float64) for name, value in w.items()}
    out = []
    for token in np.asarray(x, np.float64):
        gate = 1 / (1 + np.exp(-token @ w["router"]))
        chosen = np.argsort(-(gate + w["bias"]))[:K]
        each = [gate[e] * swiglu(token, w["up"][e], w["down"][e]) for e in chosen]
        out.append(sum(each) / gate[chosen].sum())
    return np.stack(out)


@pytest.mark.parametrize("count", [1, 7, 64, 300])
def test_equals_loop(count):
    w, x = make_weights(), tokens(count)
    np.testing.assert_allclose(whole(w, x), loop(w, x), rtol=1e-4, atol=1e-5)


def test_route_weighs_without_the_bias():
    w, x = make_weights(), tokens(50)
    weight, expert = ops.route(w["router"], jnp.zeros(E).at[2].set(9.0), x, K)
    assert (expert == 2).any(1).all()
    gate = jnp.take_along_axis(jax.nn.sigmoid(x @ w["router"]), expert, 1)
    np.testing.assert_allclose(weight, gate / gate.sum(1, keepdims=True), rtol=1e-4)
    np.testing.assert_allclose(weight.sum(1), 1.0, rtol=1e-4)


def test_bias_has_no_gradient():
    w, x = make_weights(), tokens(64)
    gradient = jax.grad(lambda w: whole(w, x).sum())(w)
    assert not gradient["bias"].any()
    assert all(gradient[name].any() for name in ("router", "up", "down"))


# Few sizes: each is compiled.
CHOICES = st.sampled_from([1, 9, 90]).flatmap(
    lambda n: st.lists(st.permutations(range(E)).map(lambda p: p[:K]), min_size=n, max_size=n)
)


@given(CHOICES)
@settings(max_examples=25)
def test_dispatch_gives_every_copy_a_slot_of_its_expert(chosen):
    expert = np.array(chosen)
    plan = dispatch(jnp.asarray(expert), E)
    slot, token = np.asarray(plan.slot), np.asarray(plan.token)
    rows = len(token) // len(plan.expert)
    assert len(np.unique(slot)) == expert.size
    assert np.array_equal(token[slot], np.arange(len(expert))[:, None].repeat(K, 1))
    assert np.array_equal(np.asarray(plan.expert)[slot // rows], expert)
    assert (np.delete(token, slot) == len(expert)).all()
    shares = np.bincount(expert.ravel(), minlength=E) / expert.size
    np.testing.assert_allclose(plan.load, shares, rtol=1e-6)


def test_all_tokens_to_one_expert():
    w, x = make_weights(), tokens(200)
    plan = dispatch(jnp.full((200, 1), 3), E)
    y = ops.experts(x, plan, w["up"], w["down"])
    expected = ops.swiglu(x, w["up"][3], w["down"][3])
    np.testing.assert_allclose(y[plan.slot[:, 0]], expected, atol=1e-5)
    assert plan.load.tolist() == [0, 0, 0, 1]


def test_experts_pass_each_tile_through_its_own():
    w, x = make_weights(), tokens(64)
    plan = dispatch(ops.route(w["router"], w["bias"], x, K)[1], E)
    y = np.asarray(ops.experts(x, plan, w["up"], w["down"]))
    owner = np.repeat(np.asarray(plan.expert), len(plan.token) // len(plan.expert))
    up, down = (np.asarray(w[name], np.float64) for name in ("up", "down"))
    for s, at in enumerate(np.asarray(plan.token)):
        token = np.asarray(x[at], np.float64) if at < 64 else np.zeros(D)
        np.testing.assert_allclose(y[s], swiglu(token, up[owner[s]], down[owner[s]]), atol=1e-5)


def test_combine_is_a_weighted_sum():
    y, slot = tokens(6), jnp.array([[5, 0], [1, 1]])
    weight = jnp.array([[0.25, 0.75], [1.0, 2.0]])
    expected = np.stack([0.25 * y[5] + 0.75 * y[0], 3 * y[1]])
    np.testing.assert_allclose(ops.combine(y, weight, slot), expected, rtol=1e-6)


@pytest.mark.parametrize("count", [2, 40, 300])
def test_dropless(count):
    """A token's output is the same alone, among others, and among many like itself."""
    w = make_weights()
    for seed in range(4):
        batch = tokens(count, seed)
        alone = whole(w, batch[:1])[0]
        for among in (batch, jnp.repeat(batch[:1], count, 0)):
            np.testing.assert_allclose(whole(w, among)[0], alone, atol=2e-6)


@pytest.mark.parametrize(("copies", "rows"), [(1, 1), (15, 1), (16, 2), (64, 8), (10**6, 128)])
def test_tile_rows(copies, rows):
    assert ops.tile_rows(copies, E) == rows
