# SPDX-License-Identifier: Apache-2.0
"""The memory and the answer stack.

A memory key says what came *before* its token, its value says the token: recalling with "what is
here now" continues what was read. Both start that way, by initialisation (after Trockman and Kolter
2023), so recall works from step 0: one set of convolution taps, with random signs per channel so
that the order of words counts, makes keys from tokens t-1, t-2, ... and queries from t, t-1, ...;
projections are shared; what comes back is the token's own embedding.

The answer layers see other tokens through the memory only, so they run where an answer is wanted
and nowhere else (YOCO, Sun et al. 2024). Their queries are made from what was read, not from one
another: one scan of the memory serves all layers, and all positions of a guess
(docs/decisions/0008-following.md).
"""

from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pollux.config import Config
from pollux.model import moe
from pollux.ops.attention import MASKED
from pollux.ops.convolution import causal_conv
from pollux.ops.norm import rms_norm
from pollux.ops.recall import follow, weigh
from pollux.params import Param, constant, exactly, normal, weights

POINTER_HEAD = 0  # of each answer layer: taught where to look, and what answers cite


@weights
class Memory:
    norm: Float[Array, " D"]
    key_taps: Float[Array, "W D"]
    key: Float[Array, "D K"]
    key_norm: Float[Array, " K"]
    value: Float[Array, "D V"]
    query_taps: Float[Array, "W D"]


@weights
class AnswerLayer:
    norm: Float[Array, " D"]
    query: Float[Array, "D H K"]  # of what was read
    query_before: Float[Array, "D H K"]  # of what the query taps gathered
    query_norm: Float[Array, " K"]
    log_scale: Float[Array, " H"]
    follow: Float[Array, "D H"]  # how much of the match before counts: of what was read,
    follow_bias: Float[Array, " H"]  # and in general; logits
    own: Float[Array, "D H"]  # how much more the question's own words count than the reading's
    null: Float[Array, " H"]  # the cosine below which a match is none
    null_value: Float[Array, "H V"]
    out: Float[Array, "H V D"]
    experts_norm: Float[Array, " D"]
    experts: moe.Experts


class Query(NamedTuple):
    """What one layer asks of the memory at S positions."""

    query: Float[Array, "S H K"]  # scaled: its product with a key is temperature x cosine
    own_bonus: Float[Array, "S H"]  # added to the scores of the question's and answer's own keys
    decay: Float[Array, "S H"]  # of the match before (ops.recall.follow)


class Visible(NamedTuple):
    """The keys and values of N tokens, and which of them S positions can recall."""

    key: Float[Array, "N K"]
    value: Float[Array, "N V"]
    visible: Bool[Array, "S N"]
    own: Bool[Array, "S N"]  # of the question and answer the position is in
    joins: Bool[Array, " S"]  # the position follows the one before it, in the same answer
    begins: Bool[Array, " N"]  # tokens with none before them in their part


@lru_cache(maxsize=1)
def _start(d: int, k: int, v: int, w: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Taps of queries and keys, projections to key and value, that recall without training."""
    rng = np.random.default_rng(0)
    decay = 0.75 ** np.arange(w - 1)[:, None] * rng.choice([-1.0, 1.0], (w - 1, d))
    query_taps = np.concatenate([decay, np.zeros((1, d))])
    key_taps = np.concatenate([np.zeros((1, d)), decay])
    key = rng.normal(size=(d, k)) / d**0.5
    value = np.linalg.qr(rng.normal(size=(d, v)))[0]
    return query_taps, key_taps, key, value


def declare_memory(cfg: Config) -> Memory:
    d, k, v, w = cfg.embed_dim, cfg.key_dim, cfg.value_dim, cfg.recall_width
    query_taps, key_taps, key, value = _start(d, k, v, w)
    return Memory(
        norm=Param((d,), (None,), constant(1.0)),
        key_taps=Param((w, d), ("taps", None), exactly(key_taps)),
        key=Param((d, k), ("embed", None), exactly(key)),
        key_norm=Param((k,), (None,), constant(1.0)),
        value=Param((d, v), ("embed", None), exactly(value)),
        query_taps=Param((w, d), ("taps", None), exactly(query_taps)),
    )


def declare_layer(cfg: Config, out_scale: float) -> AnswerLayer:
    d, h, k, v = cfg.embed_dim, cfg.recall_heads, cfg.key_dim, cfg.value_dim
    _, _, key, value = _start(d, k, v, cfg.recall_width)
    scale = float(np.log(cfg.recall_scale))

    def near_key(rng: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jnp.asarray(key)[:, None] + jax.random.normal(rng, shape) * 0.2 / d**0.5

    heads = ("embed", "heads", "head")
    return AnswerLayer(
        norm=Param((d,), (None,), constant(1.0)),
        query=Param((d, h, k), heads, normal(d, 0.1)),
        query_before=Param((d, h, k), heads, near_key),
        query_norm=Param((k,), (None,), constant(1.0)),
        log_scale=Param((h,), (None,), constant(scale)),
        follow=Param((d, h), ("embed", "heads"), constant(0.0)),
        follow_bias=Param((h,), (None,), exactly(np.linspace(2.2, 0.6, h))),
        own=Param((d, h), ("embed", "heads"), constant(0.0)),
        null=Param((h,), (None,), constant(0.5)),
        null_value=Param((h, v), (None, "head"), constant(0.0)),
        out=Param((h, v, d), ("heads", "head", "embed"), exactly(value.T / h)),
        experts_norm=Param((d,), (None,), constant(1.0)),
        experts=moe.declare(cfg.experts, d, out_scale),
    )


def memorise(
    p: Memory,
    cfg: Config,
    x: Float[Array, "B T D"],
    segment: Int[Array, "B T"],
    before: Float[Array, "B P D"],
    owner: Int[Array, "B P"],
) -> tuple[
    Float[Array, "B T K"], Float[Array, "B T V"], Float[Array, "B T D"], Float[Array, "B L D"]
]:
    """Keys, values, gathered query inputs, and the normalised inputs of all L = P + T tokens.

    `before`, `owner`: the P tokens before.
    """
    tokens = x.shape[1]
    h = jnp.concatenate([before, rms_norm(x, p.norm)], 1)
    owner = jnp.concatenate([owner, segment], 1)
    key = causal_conv(h, owner, p.key_taps, tokens) @ p.key
    gathered = causal_conv(h, owner, p.query_taps, tokens)
    return rms_norm(key, p.key_norm), h[:, -tokens:] @ p.value, gathered, h


def layer_query(
    p: AnswerLayer, cfg: Config, x: Float[Array, "S D"], gathered: Float[Array, "S D"]
) -> Query:
    normed = rms_norm(x, p.norm)
    query = jnp.einsum("sd,dhk->shk", normed, p.query)
    query = query + jnp.einsum("sd,dhk->shk", gathered, p.query_before)
    query = rms_norm(query, p.query_norm) * (jnp.exp(p.log_scale) / cfg.key_dim)[:, None]
    decay = jax.nn.sigmoid(normed @ p.follow + p.follow_bias)
    return Query(query, normed @ p.own, decay)


def layer_update(
    p: AnswerLayer, cfg: Config, x: Float[Array, "S D"], recalled: Float[Array, "S H V"]
) -> tuple[Float[Array, "S D"], Float[Array, " E"]]:
    """Adds what was recalled, then the experts."""
    x = x + jnp.einsum("shv,hvd->sd", recalled, p.out)
    y, load = moe.moe(p.experts, cfg.experts, rms_norm(x, p.experts_norm))
    return x + y, load


def null_score(p: AnswerLayer, cfg: Config) -> Float[Array, " H"]:
    return jnp.exp(p.log_scale) * p.null


def recall(
    p: AnswerLayer,
    cfg: Config,
    query: Query,
    memory: Visible,
) -> tuple[Float[Array, "S H V"], Float[Array, "S H N"], Float[Array, "S H"]]:
    """What each head recalls of all that is visible, as in training; its weights, the null's."""
    score = matched(query, memory)
    null = jnp.broadcast_to(null_score(p, cfg), score.shape[:2])
    weight, nothing = weigh(score, null)
    recalled = jnp.einsum("shn,nv->shv", weight, memory.value)
    return recalled + nothing[..., None] * p.null_value, weight, nothing


def joins(at: Int[Array, " S"], segment: Int[Array, " N"]) -> Bool[Array, " S"]:
    """Whether a position comes right after the one before it in `at`, in the same segment."""
    same = (at[1:] == at[:-1] + 1) & (segment[at[1:]] == segment[at[:-1]])
    return jnp.pad(same, (1, 0))


def begins(segment: Int[Array, " N"]) -> Bool[Array, " N"]:
    """Tokens that come first in their segment."""
    return jnp.pad(segment[1:] != segment[:-1], (1, 0), constant_values=True)


def matched(query: Query, memory: Visible) -> Float[Array, "S H N"]:
    """Scores of all keys with those before them; masked where not visible."""
    score = jnp.einsum("shk,nk->shn", query.query, memory.key)
    total, count = follow(score, memory.joins, memory.begins, query.decay)
    score = total * (1 / count)[..., None] + query.own_bonus[..., None] * memory.own[:, None]
    return jnp.where(memory.visible[:, None], score, MASKED)
