# SPDX-License-Identifier: Apache-2.0
"""Which passages a question is about: every token of it votes for the places that match it.

Late interaction (Khattab and Zaharia 2020) over the memory's own keys: a stretch of the reading
scores the sum, over the question's tokens, of the best match in it, by the token's weight. Nothing
is kept for this beside what recall keeps.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pollux.config import BLOCK, Config
from pollux.ops.attention import MASKED
from pollux.ops.norm import rms_norm
from pollux.params import Param, constant, normal, weights


@weights
class Survey:
    norm: Float[Array, " D"]
    query: Float[Array, "D K"]  # of what was read
    query_before: Float[Array, "D K"]  # of what the query taps gathered
    query_norm: Float[Array, " K"]
    importance: Float[Array, " D"]  # of a token; its weight is softplus of this and the bias
    importance_bias: Float[Array, ""]
    log_scale: Float[Array, ""]


def declare(cfg: Config, key: Param) -> Survey:
    """`key`: the memory's projection, which the queries start from."""
    d, k = cfg.embed_dim, cfg.key_dim
    return Survey(
        norm=Param((d,), (None,), constant(1.0)),
        query=Param((d, k), ("embed", None), normal(d, 0.1)),
        query_before=Param((d, k), ("embed", None), key.init),
        query_norm=Param((k,), (None,), constant(1.0)),
        importance=Param((d,), (None,), constant(0.0)),
        importance_bias=Param((), (), constant(0.54)),  # a weight of 1
        log_scale=Param((), (), constant(1.6)),
    )


def queries(
    p: Survey, cfg: Config, x: Float[Array, "*S D"], gathered: Float[Array, "*S D"]
) -> tuple[Float[Array, "*S K"], Float[Array, "*S"]]:
    """What tokens look for, scaled so that a product with a key is a cosine; their weights."""
    normed = rms_norm(x, p.norm)
    query = rms_norm(normed @ p.query + gathered @ p.query_before, p.query_norm) / cfg.key_dim
    return query, jax.nn.softplus(normed @ p.importance + p.importance_bias)


def windows(
    best: Float[Array | np.ndarray, "*S B"], begins: Bool[Array | np.ndarray, " B"]
) -> Float[Array | np.ndarray, "*S B"]:
    """The maximum of each block and the next, unless that begins another part.

    Of JAX arrays in training, of NumPy's where a reading of any length would compile anew.
    """
    xp = best.__array_namespace__()
    here = best[..., :-1]
    both = xp.where(begins[1:], here, xp.maximum(here, best[..., 1:]))
    return xp.concat([both, best[..., -1:]], axis=-1)


def loss(
    p: Survey,
    cfg: Config,
    x: Float[Array, "Q L D"],
    gathered: Float[Array, "Q L D"],
    asked: Bool[Array, "Q L"],
    key: Float[Array, "R T K"],
    seen: Bool[Array, "R T"],
    passage: Int[Array, "Q 2"],
) -> tuple[Float[Array, " Q"], Bool[Array, " Q"]]:
    """Of each question, nats for the window its passage is in, and whether that ranks first.

    `asked`: what of the Q questions' L tokens is real. `seen`: tokens of documents, R rows of them.
    `passage`: flat positions [from, to). Windows that touch it, but less than the best, are neither
    right nor wrong.
    """
    rows, length = seen.shape
    blocks = -(-length // BLOCK)
    room = ((0, 0), (0, blocks * BLOCK - length))
    key, seen = jnp.pad(key, (*room, (0, 0))), jnp.pad(seen, room)
    query, weight = queries(p, cfg, x, gathered)
    match = jnp.einsum("qlk,rtk->qlrt", query, key)
    match = jnp.where(seen, match, -1.0).reshape(*asked.shape, rows * blocks, BLOCK).max(-1)
    begins = jnp.arange(rows * blocks) % blocks == 0
    score = (windows(match, begins) * (weight * asked)[..., None]).sum(1) * jnp.exp(p.log_scale)
    start = (jnp.arange(rows)[:, None] * length + jnp.arange(blocks) * BLOCK).reshape(-1)
    end = jnp.minimum(start + 2 * BLOCK, (jnp.arange(rows * blocks) // blocks + 1) * length)
    overlap = jnp.minimum(end, passage[:, 1:]) - jnp.maximum(start, passage[:, :1])
    right = (overlap > 0) & (overlap == overlap.max(-1, keepdims=True))
    there = seen.reshape(rows * blocks, BLOCK).any(-1)
    counted = (right | (overlap <= 0)) & there
    score = jnp.where(counted, score, MASKED)
    wanted = jax.nn.logsumexp(jnp.where(right, score, MASKED), -1)
    first = jnp.where(right, score, MASKED).max(-1) >= score.max(-1)
    return jax.nn.logsumexp(score, -1) - wanted, first
