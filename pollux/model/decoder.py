# SPDX-License-Identifier: Apache-2.0
"""The whole model: embed, read, memorise, answer.

`answers` is the plain forward pass: everything in one go, the yardstick for the engine's chunks
and caches.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from pollux.config import Config
from pollux.model import answer, audio, read, survey, vision
from pollux.ops.attention import MASKED
from pollux.ops.norm import rms_norm
from pollux.ops.recall import select, weigh
from pollux.params import Param, constant, weights


@weights
class Decoder:
    embedding: Float[Array, "vocab D"]  # tied: logits come from it too
    read: tuple[read.ReadLayer, ...]
    memory: answer.Memory
    answer: tuple[answer.AnswerLayer, ...]
    survey: survey.Survey
    norm: Float[Array, " D"]
    vision: vision.Vision | None
    audio: audio.Audio | None


class Media(NamedTuple):
    """What is seen and heard among B rows of T tokens.

    `at`: which patch stands at a position or, counted on from the last of them, which token of
    sound; -1: neither. A model without eyes gets no patches, one without ears no `mel`.
    """

    at: Int[Array, "B T"]
    patches: UInt8[Array, "P 32 32 3"] | None = None  # with what is around each
    patch_place: Int[Array, "P 2"] | None = None  # row and column in its picture
    mel: Float[Array, "A 12 64"] | None = None


class Shown(NamedTuple):
    """The same, embedded: of M = P + A vectors the one at each position."""

    vectors: Float[Array, "M D"]
    at: Int[Array, "B T"]


@weights
class Read:
    """What reading a chunk gives, per token."""

    hidden: Float[Array, "B T D"]
    key: Float[Array, "B T K"]
    value: Float[Array, "B T V"]
    gathered: Float[Array, "B T D"]


def declare(cfg: Config) -> Decoder:
    out = (2 * (cfg.read_layers + cfg.answer_layers)) ** -0.5
    embed = (cfg.embeddings, cfg.embed_dim)

    def unit(rng: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.normal(rng, shape) / shape[-1] ** 0.5

    memory = answer.declare_memory(cfg)
    return Decoder(
        embedding=Param(embed, ("vocab", "embed"), unit),
        read=tuple(read.declare(cfg, out) for _ in range(cfg.read_layers)),
        memory=memory,
        answer=tuple(answer.declare_layer(cfg, out) for _ in range(cfg.answer_layers)),
        survey=survey.declare(cfg, memory.key),
        norm=Param((cfg.embed_dim,), (None,), constant(1.0)),
        vision=vision.declare(cfg),
        audio=audio.declare(cfg),
    )


def embed(
    p: Decoder, cfg: Config, tokens: Int[Array, "B T"], shown: Shown | None = None
) -> Float[Array, "B T D"]:
    x = p.embedding[tokens] * (0.4 * cfg.embed_dim**0.5)
    if shown is None:
        return x
    there = (shown.at >= 0)[..., None]
    return jnp.where(there, shown.vectors[jnp.maximum(shown.at, 0)], x)


def show(p: Decoder, media: Media) -> Shown:
    vectors = []
    if media.patches is not None and media.patch_place is not None:
        vectors.append(vision.embed(p.vision, media.patches, media.patch_place))
    if media.mel is not None:
        vectors.append(audio.embed(p.audio, media.mel))
    return Shown(jnp.concatenate(vectors), media.at)


def logits(p: Decoder, x: Float[Array, "S D"]) -> Float[Array, "S vocab"]:
    return rms_norm(x, p.norm) @ p.embedding.T


def read_chunk(
    p: Decoder,
    cfg: Config,
    tokens: Int[Array, "B T"],
    segment: Int[Array, "B T"],
    state: read.ReadState,
    shown: Shown | None = None,
) -> tuple[Read, read.ReadState, Float[Array, "layers E"]]:
    """Reads T tokens after the state's.

    Tokens see their own segment only; give each part and question its own.
    """
    got, state, load = read_ahead(p, cfg, tokens, segment, state, shown)
    return got, read.after(state, cfg, tokens.shape[1]), load


def read_ahead(
    p: Decoder,
    cfg: Config,
    tokens: Int[Array, "B T"],
    segment: Int[Array, "B T"],
    state: read.ReadState,
    shown: Shown | None = None,
) -> tuple[Read, read.ReadState, Float[Array, "layers E"]]:
    """`read_chunk` with a state that can still go on after any of the T tokens (`read.after`)."""
    x, after, load = read.read(p.read, cfg, embed(p, cfg, tokens, shown), segment, state)
    key, value, gathered, kept = answer.memorise(
        p.memory, cfg, x, segment, state.inputs[-1], state.segment
    )
    after = read.ReadState(inputs=after.inputs.at[-1].set(kept), segment=after.segment)
    return Read(hidden=x, key=key, value=value, gathered=gathered), after, load


def sharpness(cfg: Config, keys: Int[Array, ""] | int) -> Float[Array, ""]:
    """How much recall sharpens when it has more keys to choose from than in training."""
    return jnp.maximum(1.0, jnp.asarray(keys, jnp.float32) / cfg.trained_keys) ** cfg.sharpness


def answers(
    p: Decoder,
    cfg: Config,
    tokens: Int[Array, " T"],
    segment: Int[Array, " T"],
    at: Int[Array, " S"],
    pad: int = 0,
    media: Media | None = None,
) -> Float[Array, "S vocab"]:
    """Next-token logits at positions `at` of one sequence, by the plain forward pass."""
    own = segment == segment[-1]  # the question and the answer: always seen, beside the top k
    end = -tokens.shape[0] % cfg.window  # chunks are whole windows
    tokens, own = jnp.pad(tokens, (0, end), constant_values=pad), jnp.pad(own, (0, end))
    segment = jnp.pad(segment, (0, end), constant_values=-1)
    state, shown = read.empty_state(cfg, 1), None
    if media is not None:
        padded = jnp.pad(media.at, ((0, 0), (0, end)), constant_values=-1)
        shown = show(p, media._replace(at=padded))
    got, _, _ = read_chunk(p, cfg, tokens[None], segment[None], state, shown)
    x, gathered = got.hidden[0, at], got.gathered[0, at]
    position = jnp.arange(tokens.shape[0])
    real = tokens != pad
    seen = (position <= at[:, None]) & real
    memory = answer.Visible(
        key=got.key[0],
        value=got.value[0],
        visible=seen,
        own=seen & own,
        joins=answer.joins(at, segment) & own[at],
        begins=answer.begins(segment),
    )
    sharper = sharpness(cfg, jnp.sum(real & ~own))
    read_x = x
    for layer in p.answer:
        query = answer.layer_query(layer, cfg, read_x, gathered)
        score = answer.matched(query, memory) * sharper
        far = select(jnp.where(own, MASKED, score), cfg.recall_top_k)
        near = jnp.where(own, score, MASKED)
        null = jnp.broadcast_to(answer.null_score(layer, cfg) * sharper, score.shape[:2])
        weight, nothing = weigh(jnp.maximum(far, near), null)
        recalled = jnp.einsum("shn,nv->shv", weight, got.value[0])
        recalled = recalled + nothing[..., None] * layer.null_value
        x, _ = answer.layer_update(layer, cfg, x, recalled)
    return logits(p, x)
