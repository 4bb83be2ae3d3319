# SPDX-License-Identifier: Apache-2.0
"""The feed-forward layer around the experts, and what keeps them in balance."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from pollux.config import TINY, dense_twin
from pollux.model import moe
from pollux.ops import experts as ops
from pollux.params import initialise

D = TINY.embed_dim
apply = jax.jit(moe.moe, static_argnums=1)


def layer(config=TINY):
    return initialise(moe.declare(config.experts, D, 1.0), jax.random.key(0))


def inputs(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=(*shape, D)), jnp.float32)


def test_shared_and_routed_experts_add_up():
    p, x = layer(), inputs(2, 20)
    y, load = apply(p, TINY.experts, x)
    silent = dataclasses.replace(p, down=jnp.zeros_like(p.down))
    shared, _ = apply(silent, TINY.experts, x)
    np.testing.assert_allclose(shared, ops.swiglu(x, p.shared_up, p.shared_down), atol=1e-6)
    assert np.abs(y - shared).max() > 1e-2
    np.testing.assert_allclose(load.sum(), 1.0, rtol=1e-6)


def test_dense_twin_has_the_shared_expert_alone():
    config = dense_twin(TINY)
    p, x = layer(config), inputs(2, 20)
    y, load = moe.moe(p, config.experts, x)
    np.testing.assert_allclose(y, ops.swiglu(x, p.shared_up, p.shared_down), atol=1e-6)
    assert load.shape == (0,)


def test_balance_steps_towards_equal_load():
    p = layer()
    after = moe.balance(p, jnp.array([0.1, 0.25, 0.4, 0.25]), 0.5)
    assert (after.bias - p.bias).tolist() == [0.5, 0.0, -0.5, 0.0]
    assert after.up is p.up


def test_bias_evens_out_a_router_that_has_a_favourite():
    p, x = layer(), inputs(400)
    p = dataclasses.replace(p, bias=jnp.array([0.5, 0.0, 0.0, 0.0]))
    busiest = []
    for _ in range(60):
        _, load = apply(p, TINY.experts, x)
        busiest.append(float(load.max()))
        p = moe.balance(p, load, 0.02)
    assert busiest[0] > 0.45  # nearly every token goes there, its other copy elsewhere
    assert busiest[-1] < 0.3
