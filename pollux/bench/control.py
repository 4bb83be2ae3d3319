# SPDX-License-Identifier: Apache-2.0
"""What reading would cost were it done otherwise: two stacks of layers of Pollux's own shape.

All tokens pass through as many layers as read and answer stack have together. In one stack every
layer attends to everything before, with rotary positions and a cache of keys and values; in the
other to its window alone, as the read stack does. Forward cost only: neither was trained, and
neither has a memory to ask.
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pollux import params
from pollux.config import Config
from pollux.model import decoder, moe, read
from pollux.ops.attention import MASKED
from pollux.ops.convolution import causal_conv
from pollux.ops.norm import rms_norm
from pollux.ops.rope import rotate

QUERIES = 512  # tokens a step of full attention
KEYS = 512  # that a block of them sees at a time: scores stay in the processor's cache


class Cache(NamedTuple):
    """Of one layer: keys and values of everything so far, and the last inputs for convolution."""

    key: Float[Array, "N G K"]
    value: Float[Array, "N G K"]
    inputs: Float[Array, "P D"]


def stack(config: Config) -> Config:
    """As many layers that read as there are in all."""
    return dataclasses.replace(config, read_layers=config.read_layers + config.answer_layers)


def weights(config: Config) -> decoder.Decoder:
    return params.initialise(decoder.declare(config), jax.random.key(0))


def window_chunk(
    p: decoder.Decoder, cfg: Config, tokens: Int[Array, " T"], state: read.ReadState
) -> tuple[Float[Array, "T D"], read.ReadState]:
    """Sliding windows: the read stack, deeper."""
    segment = jnp.zeros((1, len(tokens)), jnp.int32)
    x = decoder.embed(p, cfg, tokens[None])
    x, ahead, _ = read.read(p.read, cfg, x, segment, state)
    return x[0], read.after(ahead, cfg, len(tokens))


def empty_caches(cfg: Config, tokens: int) -> tuple[Cache, ...]:
    """For up to that many tokens, a multiple of QUERIES."""
    shape = tokens, cfg.num_kv_heads, cfg.head_dim
    before = cfg.conv_width - 1, cfg.embed_dim
    return tuple(
        Cache(jnp.zeros(shape), jnp.zeros(shape), jnp.zeros(before)) for _ in range(cfg.read_layers)
    )


def cache_bytes(cfg: Config, tokens: int) -> int:
    return cfg.read_layers * 2 * 4 * tokens * cfg.num_kv_heads * cfg.head_dim


@partial(jax.jit, static_argnums=1, donate_argnums=3)
def full_chunk(
    p: decoder.Decoder,
    cfg: Config,
    tokens: Int[Array, " T"],
    caches: tuple[Cache, ...],
    start: Int[Array, ""] | int,
) -> tuple[Float[Array, "T D"], tuple[Cache, ...]]:
    """Full attention over all `start` tokens before and these, which are QUERIES."""
    x, after = decoder.embed(p, cfg, tokens[None])[0], []
    for layer, cache in zip(p.read, caches, strict=True):
        x, cache = _full_layer(layer, cfg, x, cache, jnp.asarray(start))
        after.append(cache)
    return x, tuple(after)


def _full_layer(
    p: read.ReadLayer,
    cfg: Config,
    x: Float[Array, "T D"],
    cache: Cache,
    start: Int[Array, ""],
) -> tuple[Float[Array, "T D"], Cache]:
    """A read layer (model/read.py) but for what it attends to."""
    tokens, before = len(x), len(cache.inputs)
    h = jnp.concatenate([cache.inputs, rms_norm(x, p.norm)])
    at = start - before + jnp.arange(len(h))
    mixed = causal_conv(h[None], jnp.where(at < 0, -1, 0)[None], p.taps, tokens)[0]
    at = at[before:]
    query = rms_norm(jnp.einsum("td,dhk->thk", mixed, p.query), p.query_norm)
    key = rms_norm(jnp.einsum("td,dgk->tgk", mixed, p.key), p.key_norm)
    value = jnp.einsum("td,dgk->tgk", mixed, p.value)
    cache = Cache(
        jax.lax.dynamic_update_slice(cache.key, rotate(key, at, cfg.rope_theta), (start, 0, 0)),
        jax.lax.dynamic_update_slice(cache.value, value, (start, 0, 0)),
        h[tokens:],
    )
    seen = attend(rotate(query, at, cfg.rope_theta), cache.key, cache.value, start)
    x = x + jnp.einsum("thk,hkd->td", seen, p.out)
    y, _ = moe.moe(p.experts, cfg.experts, rms_norm(x, p.experts_norm))
    return x + y, cache


def attend(
    query: Float[Array, "T H K"],
    keys: Float[Array, "N G K"],
    values: Float[Array, "N G K"],
    start: Int[Array, ""],
) -> Float[Array, "T H K"]:
    """Softmax over all keys up to each query's own, a block at a time (Milakov and Gimelshein).

    Query i stands at `start` + i; N is a multiple of KEYS, or less than that.
    """
    tokens, heads, width = query.shape
    size, groups = min(KEYS, len(keys)), keys.shape[1]
    query = query.reshape(tokens, groups, -1, width)
    at = start + jnp.arange(tokens)

    def add(number, carry):
        total, weight, highest = carry
        key, value = (jax.lax.dynamic_slice_in_dim(x, number * size, size) for x in (keys, values))
        score = jnp.einsum("tgrk,jgk->grtj", query, key)
        seen = number * size + jnp.arange(size) <= at[:, None]
        score = jnp.where(seen, score, MASKED)
        higher = jnp.maximum(highest, score.max(-1))
        now, left = jnp.exp(score - higher[..., None]), jnp.exp(highest - higher)
        total = total * left[..., None] + jnp.einsum("grtj,jgk->grtk", now, value)
        return total, weight * left + now.sum(-1), higher

    shape = groups, heads // groups, tokens
    begin = jnp.zeros((*shape, width)), jnp.zeros(shape), jnp.full(shape, MASKED)
    blocks = (start + tokens + size - 1) // size
    total, weight, _ = jax.lax.fori_loop(0, blocks, add, begin)
    mean = total / weight[..., None]
    return jnp.moveaxis(mean, 2, 0).reshape(tokens, heads, width)
