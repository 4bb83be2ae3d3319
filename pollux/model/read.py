# SPDX-License-Identifier: Apache-2.0
"""The read stack: every token once, through sliding windows, in chunks of any size.

What a layer needs of earlier tokens is its state: their normalised inputs, P = `state_tokens` of
them. A chunk read with the state of the chunk before gives what one long chunk would
(tests/model/test_read.py).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pollux.config import Config
from pollux.model import moe
from pollux.ops.attention import window_attention
from pollux.ops.convolution import causal_conv
from pollux.ops.norm import rms_norm
from pollux.params import Param, constant, exactly, normal, weights


@weights
class ReadLayer:
    norm: Float[Array, " D"]
    taps: Float[Array, "W D"]
    query: Float[Array, "D H K"]
    key: Float[Array, "D G K"]
    value: Float[Array, "D G K"]
    query_norm: Float[Array, " K"]
    key_norm: Float[Array, " K"]
    out: Float[Array, "H K D"]
    experts_norm: Float[Array, " D"]
    experts: moe.Experts


@weights
class ReadState:
    """The last P tokens before a chunk: inputs of each layer, then of the memory.

    Behind them the chunk's own, once it is read (`after`). Segment -1: no token.
    """

    inputs: Float[Array, "layers B P D"]
    segment: Int[Array, "B P"]


def declare(cfg: Config, out_scale: float) -> ReadLayer:
    d, h, g, k = cfg.embed_dim, cfg.num_heads, cfg.num_kv_heads, cfg.head_dim
    one_tap = np.eye(cfg.conv_width, 1)  # the token itself
    heads = ("embed", "heads", "head")
    few_heads = ("embed", None, "head")
    return ReadLayer(
        norm=Param((d,), (None,), constant(1.0)),
        taps=Param((cfg.conv_width, d), ("taps", None), exactly(one_tap)),
        query=Param((d, h, k), heads, normal(d)),
        key=Param((d, g, k), few_heads, normal(d)),
        value=Param((d, g, k), few_heads, normal(d)),
        query_norm=Param((k,), (None,), constant(3.0 / k**0.5)),
        key_norm=Param((k,), (None,), constant(1.0)),
        out=Param((h, k, d), ("heads", "head", "embed"), normal(h * k, out_scale)),
        experts_norm=Param((d,), (None,), constant(1.0)),
        experts=moe.declare(cfg.experts, d, out_scale),
    )


def empty_state(cfg: Config, rows: int) -> ReadState:
    return ReadState(
        inputs=jnp.zeros((cfg.read_layers + 1, rows, cfg.state_tokens, cfg.embed_dim)),
        segment=jnp.full((rows, cfg.state_tokens), -1),
    )


def after(state: ReadState, cfg: Config, tokens: Int[Array, ""] | int) -> ReadState:
    """The state for what follows the first `tokens` tokens of the chunk that `state` ends with."""
    size = cfg.state_tokens
    return ReadState(
        inputs=jax.lax.dynamic_slice_in_dim(state.inputs, tokens, size, 2),
        segment=jax.lax.dynamic_slice_in_dim(state.segment, tokens, size, 1),
    )


def read_layer(
    p: ReadLayer,
    cfg: Config,
    x: Float[Array, "B T D"],
    before: Float[Array, "B P D"],
    segment: Int[Array, "B L"],
) -> tuple[Float[Array, "B T D"], Float[Array, "B L D"], Float[Array, " E"]]:
    """Output, the normalised inputs of all L = P + T tokens, expert load."""
    h = jnp.concatenate([before, rms_norm(x, p.norm)], 1)
    tokens = x.shape[1]
    mixed = causal_conv(h, segment, p.taps, tokens + cfg.window)  # keys need it for the window too
    query = rms_norm(jnp.einsum("btd,dhk->bthk", mixed[:, cfg.window :], p.query), p.query_norm)
    key = rms_norm(jnp.einsum("btd,dgk->btgk", mixed, p.key), p.key_norm)
    value = jnp.einsum("btd,dgk->btgk", mixed, p.value)
    owner = segment[:, -tokens - cfg.window :]
    seen = window_attention(query, key, value, owner, cfg.window, cfg.rope_theta)
    x = x + jnp.einsum("bthk,hkd->btd", seen, p.out)
    y, load = moe.moe(p.experts, cfg.experts, rms_norm(x, p.experts_norm))
    return x + y, h, load


def read(
    layers: tuple[ReadLayer, ...],
    cfg: Config,
    x: Float[Array, "B T D"],
    segment: Int[Array, "B T"],
    state: ReadState,
) -> tuple[Float[Array, "B T D"], ReadState, Float[Array, "layers E"]]:
    """Embedded tokens through all layers. The state is that of P + T tokens, its last entry empty.

    That entry is the memory's.
    """
    owner = jnp.concatenate([state.segment, segment], 1)
    remembered, loads = [], []
    for p, before in zip(layers, state.inputs, strict=False):
        x, inputs, load = read_layer(p, cfg, x, before, owner)
        remembered.append(inputs)
        loads.append(load)
    inputs = jnp.stack([*remembered, jnp.zeros_like(remembered[0])])
    return x, ReadState(inputs=inputs, segment=owner), jnp.stack(loads)
