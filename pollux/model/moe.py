# SPDX-License-Identifier: Apache-2.0
"""The feed-forward layer: routed experts beside a shared one."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from pollux import config
from pollux.ops import experts as ops
from pollux.params import Param, constant, normal, weights


@weights
class Experts:
    """The router's bias follows the load in training (`balance`) and has no gradient.

    Routed weights are None in the dense twin.
    """

    router: Float[Array, "D E"] | None
    bias: Float[Array, " E"] | None
    up: Float[Array, "E D U"] | None
    down: Float[Array, "E F D"] | None
    shared_up: Float[Array, "D V"]
    shared_down: Float[Array, "G D"]


def declare(cfg: config.Experts, embed: int, out_scale: float) -> Experts:
    e, f, g = cfg.num_experts, cfg.expert_dim, cfg.shared_dim
    expert_axes = ("experts", "embed", "hidden"), ("experts", "hidden", "embed")
    routed = {
        "router": Param((embed, e), ("embed", None), normal(embed, 0.1 * embed**0.5)),
        "bias": Param((e,), (None,), constant(0.0)),
        "up": Param((e, embed, 2 * f), expert_axes[0], normal(embed)),
        "down": Param((e, f, embed), expert_axes[1], normal(max(1, f), out_scale)),
    }
    return Experts(
        **(routed if e else dict.fromkeys(routed)),
        shared_up=Param((embed, 2 * g), ("embed", "hidden"), normal(embed)),
        shared_down=Param((g, embed), ("hidden", "embed"), normal(g, out_scale)),
    )


def moe(
    p: Experts, cfg: config.Experts, x: Float[Array, "*B D"]
) -> tuple[Float[Array, "*B D"], Float[Array, " E"]]:
    """The layer's output and the share of the load on each expert (1 / E when balanced)."""
    y = ops.swiglu(x, p.shared_up, p.shared_down)
    if not cfg.num_experts:
        return y, jnp.zeros(0)
    flat = x.reshape(-1, x.shape[-1])
    weight, expert = ops.route(p.router, p.bias, flat, cfg.top_k)
    plan = ops.dispatch(expert, cfg.num_experts)
    routed = ops.combine(ops.experts(flat, plan, p.up, p.down), weight, plan.slot)
    return y + routed.reshape(x.shape), plan.load


def balance(p: Experts, load: Float[Array, " E"], rate: float) -> Experts:
    """The bias one step further towards equal load."""
    return dataclasses.replace(p, bias=p.bias + rate * jnp.sign(1 / load.shape[0] - load))
