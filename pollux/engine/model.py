# SPDX-License-Identifier: Apache-2.0
"""A model ready to run: weights, architecture, tokenizer, and its compiled functions."""

from dataclasses import dataclass
from functools import cached_property, partial
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int8

from pollux import checkpoint
from pollux.config import BLOCK, Config
from pollux.errors import WeightsError
from pollux.memory.store import Shape
from pollux.model import answer, decoder, read
from pollux.ops import quant
from pollux.ops.attention import MASKED
from pollux.ops.recall import recall_scores, top_blocks, weigh
from pollux.tokenizer import Tokenizer


class Chunk(NamedTuple):
    """What is kept of a chunk that was read, quantised."""

    keys: Int8[Array, "T K"]
    values: Int8[Array, "T V"]
    key_scales: Float[Array, " blocks"]
    value_scales: Float[Array, " blocks"]


class Own(NamedTuple):
    """Memory of the question and the answer so far: seen whole, beside the reading's top k."""

    key: Float[Array, "C K"]
    value: Float[Array, "C V"]
    seen: Bool[Array, " C"]


class Recalled(NamedTuple):
    """The best keys of the reading for one position, per head, and what they hold."""

    score: Float[np.ndarray, "H k"]
    value: Int8[np.ndarray, "H k V"]
    scale: Float[np.ndarray, "H k"]


@dataclass(frozen=True, eq=False)
class Loaded:
    """Weights and what belongs to them. Load once: the compiled functions live here."""

    weights: decoder.Decoder
    config: Config
    tokenizer: Tokenizer
    fingerprint: str

    @property
    def shape(self) -> Shape:
        return Shape(key_dim=self.config.key_dim, value_dim=self.config.value_dim)

    @cached_property
    def read_chunk(self):
        """(tokens [T], segment [T], state) -> (Chunk, state): reading, in chunks of one size."""
        return jax.jit(partial(_read_chunk, self.weights, self.config), donate_argnums=2)

    @cached_property
    def read_own(self):
        """Reads question and answer.

        (tokens [T], segment [T], state, Own, at) -> (x, gathered, state, Own).
        """
        return jax.jit(partial(_read_own, self.weights, self.config), donate_argnums=(2, 3))

    @cached_property
    def query(self):
        """(layer, x [D], gathered [D], sharper) -> query [H, K], its digits, their scale."""
        return jax.jit(partial(_query, self.config))

    @cached_property
    def update(self):
        """(layer, x, query, Recalled, Own, sharper) -> x, weights of the reading's keys [H, k]."""
        return jax.jit(partial(_update, self.config))

    @cached_property
    def scan(self):
        """(digits, scale, keys, key_scales, valid) -> a segment's best scores [H, k] and where."""
        return jax.jit(partial(_scan, self.config.recall_top_k))

    @cached_property
    def logits(self):
        return jax.jit(lambda x: decoder.logits(self.weights, x[None])[0])

    def empty_state(self) -> read.ReadState:
        return read.empty_state(self.config, 1)


def load(path: str | Path | None = None) -> Loaded:
    """The weights at `path`, or spark, which comes with the package."""
    default = files("pollux") / "weights" / "spark.safetensors"
    weights, config, fingerprint = checkpoint.load(Path(path) if path else Path(str(default)))
    tokenizer = Tokenizer.load()
    if tokenizer.vocab_size != config.vocab_size:
        raise WeightsError(
            f"the weights know {config.vocab_size} tokens, the tokenizer {tokenizer.vocab_size}; "
            "train the weights with this tokenizer"
        )
    return Loaded(weights, config, tokenizer, fingerprint)


def _read_chunk(p, cfg, tokens, segment, state) -> tuple[Chunk, read.ReadState]:
    got, state, _ = decoder.read_chunk(p, cfg, tokens[None], segment[None], state)
    real = (tokens != 0)[:, None]  # the padding of a part's last block holds nothing
    keys, key_scales = quant.quantise_blocks(jnp.where(real, got.key[0], 0.0), BLOCK)
    values, value_scales = quant.quantise_blocks(jnp.where(real, got.value[0], 0.0), BLOCK)
    return Chunk(keys, values, key_scales, value_scales), state


def _read_own(p, cfg, tokens, segment, state, own, at):
    got, state, _ = decoder.read_chunk(p, cfg, tokens[None], segment[None], state)
    own = Own(
        jax.lax.dynamic_update_slice(own.key, got.key[0], (at, 0)),
        jax.lax.dynamic_update_slice(own.value, got.value[0], (at, 0)),
        jax.lax.dynamic_update_slice(own.seen, tokens != 0, (at,)),
    )
    return got.hidden[0, -1], got.gathered[0, -1], state, own


def _query(cfg, layer, x, gathered, sharper):
    query = answer.layer_query(layer, cfg, x[None], gathered[None])[0] * sharper
    return query, *quant.split_query(query)


def _scan(
    top_k: int,
    digits: Int8[Array, "Q K"],
    scale: Float[Array, " H"],
    keys: Int8[Array, "N K"],
    key_scales: Float[Array, " blocks"],
    valid: Bool[Array, " N"],
) -> tuple[Float[Array, "H k"], Int[Array, "H k"]]:
    whole = quant.int8_scores(digits, keys).astype(jnp.float32)
    heads, n = whole.shape
    score = whole.reshape(heads, -1, BLOCK) * key_scales[:, None]
    score = jnp.where(valid, score.reshape(heads, n) * scale[:, None], MASKED)
    return top_blocks(score, top_k, BLOCK)


def _update(cfg, layer, x, query, recalled, own, sharper):
    near = recall_scores(query[None], own.key, own.seen[None])[0]
    null = answer.null_score(layer, cfg) * sharper
    score = jnp.concatenate([recalled.score, near], -1)
    weight, nothing = weigh(score[None], null[None])
    k = recalled.score.shape[-1]
    value = quant.dequantise_rows(recalled.value, recalled.scale)
    got = jnp.einsum("hk,hkv->hv", weight[0, :, :k], value) + weight[0, :, k:] @ own.value
    got = got + nothing[0][:, None] * layer.null_value
    x, _ = answer.layer_update(layer, cfg, x[None], got[None])
    return x[0], weight[0, :, :k]
