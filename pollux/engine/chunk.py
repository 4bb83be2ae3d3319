# SPDX-License-Identifier: Apache-2.0
"""A chunk of tokens read: what the memory keeps of it, and the state for the next one."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int8

from pollux.config import MEL_BINS, MEL_FRAMES, SIGHT, Config
from pollux.model import answer, audio, decoder, read, vision
from pollux.native.read import stack
from pollux.ops import quant

TILE = 256  # patches or tokens of sound embedded at once: a chunk costs what is in it


class Chunk(NamedTuple):
    """What is kept of a chunk that was read, quantised."""

    keys: Int8[Array, "T K"]
    values: Int8[Array, "T V"]
    key_scales: Float[Array, " T"]
    value_scales: Float[Array, " T"]


class Seen(NamedTuple):
    """The media of a chunk of T tokens: tables with room for T of each, and how many there are."""

    media: decoder.Media
    patches: Int[Array, ""]
    sounds: Int[Array, ""]


def reader(p: decoder.Decoder, cfg: Config) -> Callable[..., tuple[Chunk, read.ReadState]]:
    """(tokens [T], segment [T], state[, Seen]) -> (Chunk, state), with T the same every time."""
    if compiled := stack(p.read, cfg):
        embed = jax.jit(partial(_embed, p, cfg))
        memorise = jax.jit(partial(_memorise, p.memory, cfg))
        return partial(_read_compiled, embed, compiled, memorise)
    return jax.jit(partial(read_chunk, p, cfg), donate_argnums=2)


def no_media(cfg: Config, size: int) -> decoder.Media:
    """Empty tables for a chunk of that size; none for what the model has no sense for."""
    eyes, ears = cfg.vision is not None, cfg.audio is not None
    return decoder.Media(
        at=jnp.full((1, size), -1),
        patches=jnp.zeros((size, SIGHT, SIGHT, 3), jnp.uint8) if eyes else None,
        patch_place=jnp.zeros((size, 2), jnp.int32) if eyes else None,
        mel=jnp.zeros((size, MEL_FRAMES, MEL_BINS), jnp.float16) if ears else None,
    )


def read_chunk(p, cfg, tokens, segment, state, seen=None) -> tuple[Chunk, read.ReadState]:
    shown = None if seen is None else _show(p, seen)
    got, state, _ = decoder.read_chunk(p, cfg, tokens[None], segment[None], state, shown)
    return _quantised(tokens, got.key[0], got.value[0]), state


def _read_compiled(embed, stack, memorise, tokens, segment, state, *seen):
    """As read_chunk, the read stack by `stack`."""
    x = np.asarray(embed(tokens, *seen))[0]
    owner = np.concatenate([state.segment[0], segment])
    x, inputs = stack.read(x, owner, np.asarray(state.inputs)[:-1, 0])
    chunk, kept = memorise(x[None], tokens, segment, state)
    inputs = jnp.concatenate([inputs[:, None], kept[None]])
    return chunk, read.ReadState(inputs=inputs, segment=jnp.asarray(owner[None, len(tokens) :]))


def _embed(p, cfg, tokens, seen=None) -> Float[Array, "1 T D"]:
    return decoder.embed(p, cfg, tokens[None], None if seen is None else _show(p, seen))


def _memorise(p, cfg, x, tokens, segment, state) -> tuple[Chunk, Float[Array, "1 P D"]]:
    """What is kept of tokens, and the memory's last inputs."""
    before = state.inputs[-1], state.segment
    key, value, _, kept = answer.memorise(p, cfg, x, segment[None], *before)
    return _quantised(tokens, key[0], value[0]), kept[:, -cfg.state_tokens :]


def _quantised(tokens, key, value) -> Chunk:
    real = tokens != 0  # the padding of a part's last block holds nothing
    keys, key_scales = quant.quantise_memory(jnp.where(real[:, None], key, 0.0))
    values, value_scales = quant.quantise_memory(jnp.where(real[:, None], value, 0.0))
    return Chunk(keys, values, key_scales * real, value_scales * real)


def _show(p: decoder.Decoder, seen: Seen) -> decoder.Shown:
    """As decoder.show, some rows at a time and only as many as there are."""
    media, vectors = seen.media, []
    if media.patches is not None:
        rows = media.patches, media.patch_place
        vectors.append(_in_tiles(partial(vision.embed, p.vision), rows, seen.patches))
    if media.mel is not None:
        vectors.append(_in_tiles(partial(audio.embed, p.audio), (media.mel,), seen.sounds))
    return decoder.Shown(jnp.concatenate(vectors), media.at)


def _in_tiles(embed, rows, number) -> Float[Array, "M D"]:
    size = min(TILE, len(rows[0]))

    def one(i, out):
        start = jnp.minimum(i * size, len(out) - size)
        made = embed(*(jax.lax.dynamic_slice_in_dim(row, start, size) for row in rows))
        return jax.lax.dynamic_update_slice_in_dim(out, made, start, 0)

    shape = jax.eval_shape(embed, *rows)
    return jax.lax.fori_loop(0, -(-number // size), one, jnp.zeros(shape.shape, shape.dtype))
