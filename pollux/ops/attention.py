# SPDX-License-Identifier: Apache-2.0
"""Sliding-window attention with few key and value heads, in blocks: never a [T, T] score.

A query sees the `window` tokens up to itself that belong to its own segment. What came before the
chunk is given as `window` tokens at the front of keys and values.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pollux.ops.rope import rotate

MASKED = -1e30


def window_attention(
    query: Float[Array, "B T H D"],
    key: Float[Array, "B L G D"],
    value: Float[Array, "B L G D"],
    segment: Int[Array, "B L"],
    window: int,
    theta: float,
) -> Float[Array, "B T H D"]:
    """L = window + T: the window before the chunk, then the chunk.

    T is 1 to `window`, or a multiple of it.
    """
    b, t, h, d = query.shape
    if key.shape[1] != window + t:
        raise ValueError(f"keys cover {key.shape[1]} tokens, not window {window} + {t}")
    step = t if t <= window else window
    if t % step:
        raise ValueError(f"a chunk of {t} tokens is no multiple of window {window}")
    n, g = t // step, key.shape[2]
    span = window + step
    here = jnp.arange(n)[:, None] * step + jnp.arange(span)[None]  # [n, span] into L
    query = rotate(query.reshape(b, n, step, h, d), window + jnp.arange(step), theta)
    key = rotate(_blocks(key, n, step, window), jnp.arange(span), theta)
    value = _blocks(value, n, step, window)
    i, j = jnp.arange(step)[:, None] + window, jnp.arange(span)[None]
    near = (j <= i) & (j > i - window)
    owner = segment[:, here]  # [B, n, span]
    mask = near & (owner[:, :, None, :] == owner[:, :, window:, None])
    query = query.reshape(b, n, step, g, h // g, d)
    return _attend(query, key, value, mask).reshape(b, t, h, d)


@jax.custom_vjp
def _attend(query, key, value, mask):
    """[B n i g r d], [B n j g d] twice, [B n i j] -> [B n i g r d]."""
    return _forward(query, key, value, mask)[0]


def _forward(query, key, value, mask):
    score = jnp.einsum("bnigrd,bnjgd->bngrij", query, key)
    weight = jax.nn.softmax(jnp.where(mask[:, :, None, None], score, MASKED), -1)
    out = jnp.einsum("bngrij,bnjgd->bnigrd", weight, value)
    return out, (query, key, value, weight, out)


def _backward(kept, change):
    """What a softmax takes off its gradient is a sum over D here, not over the span."""
    query, key, value, weight, out = kept
    of_weight = jnp.einsum("bnigrd,bnjgd->bngrij", change, value)
    mean = jnp.einsum("bnigrd,bnigrd->bngri", change, out)
    of_score = weight * (of_weight - mean[..., None])
    of_query = jnp.einsum("bngrij,bnjgd->bnigrd", of_score, key)
    of_key = jnp.einsum("bngrij,bnigrd->bnjgd", of_score, query)
    return of_query, of_key, jnp.einsum("bngrij,bnigrd->bnjgd", weight, change), None


_attend.defvjp(_forward, _backward)


def _blocks(x: jax.Array, n: int, step: int, window: int) -> jax.Array:
    """[B, window + n*step, ...] to overlapping [B, n, window + step, ...]."""
    if n == 1:
        return x[:, None]
    pairs = x.reshape(x.shape[0], n + 1, window, *x.shape[2:])  # step == window here
    return jnp.concatenate([pairs[:, :-1], pairs[:, 1:]], 2)
