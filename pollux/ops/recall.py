# SPDX-License-Identifier: Apache-2.0
"""Recall: top-k attention to a memory.

This is the reference, a scan over every key; anything faster must match it.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pollux.ops.attention import MASKED


def follow(
    score: Float[Array, "S H N"],
    joins: Bool[Array, " S"],
    begins: Bool[Array, " N"],
    decay: Float[Array, "S H"],
    before: tuple[Float[Array, "H N"], Float[Array, " H"]] | None = None,
    edge: Float[Array, "S H"] | None = None,
) -> tuple[Float[Array, "S H N"], Float[Array, "S H"]]:
    """Adds to each score how well the key before it matched the query before, and so on back.

    A run of words is recalled, not one word's surroundings, as if keys were several times as long
    (location-based addressing, Graves et al. 2014, made linear). At each query what came before is
    multiplied by its `decay`. Divided by the count the sum is a mean.

    `joins`: whether a query follows the one before it. `begins`: keys with none before them.
    `before`: sum and count at the query before the first. `edge`: the sums at the key before the
    first, one query earlier each.
    """
    _, heads, keys = score.shape
    total, count = before or (jnp.zeros((heads, keys)), jnp.zeros(heads))
    edge = jnp.zeros(score.shape[:2]) if edge is None else edge

    def advance(carry, row):
        total, count = carry
        now, decayed, first = row
        shifted = jnp.concatenate([first[:, None], total[:, :-1]], 1)
        total = now + decayed[:, None] * jnp.where(begins, 0.0, shifted)
        count = 1 + decayed * count
        return (total, count), (total, count)

    rows = score, decay * joins[:, None], edge
    return jax.lax.scan(advance, (total, count), rows)[1]


def select(score: Float[Array, "S H N"], top_k: int) -> Float[Array, "S H N"]:
    """Masks all but the `top_k` highest scores of each head."""
    if top_k >= score.shape[-1]:
        return score
    least = jax.lax.top_k(score, top_k)[0][..., -1:]
    return jnp.where(score >= least, score, MASKED)


def weigh(
    score: Float[Array, "S H N"], null: Float[Array, "S H"]
) -> tuple[Float[Array, "S H N"], Float[Array, "S H"]]:
    """Softmax over the keys and the null key, which stands for "it is not here"."""
    highest = jax.lax.stop_gradient(jnp.maximum(score.max(-1), null))
    weight = jnp.exp(score - highest[..., None])
    nothing = jnp.exp(null - highest)
    total = weight.sum(-1) + nothing
    share = 1 / total  # a product is cheaper than a quotient for every key
    return weight * share[..., None], nothing * share
