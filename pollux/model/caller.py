# SPDX-License-Identifier: Apache-2.0
"""A caller: whether a tool fits what was said, and which words of it are its arguments.

A Transformer that sees a whole question (pollux/calls.py) at once, both ways: what a value is for
is often said behind it, which no key of memory knows. It reads words by their letters and has no
vocabulary. From the "-" of each parameter's line it points at the first and the last word of the
argument, or at that "-" itself: nobody said it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pollux import config
from pollux.calls import LETTERS, LOOKS, SHARED, Asked, Role
from pollux.params import Param, constant, normal, weights

TAPS = 5  # words that a layer's convolution reaches
FAR = 32  # words from which on distance is all one
WIDER = 2  # times the channels, within a layer
NEVER = -1e9  # added to logits


class Verdict(NamedTuple):
    """In nats. `fits`: by how much a call is likelier than none; the others are logits."""

    fits: Float[Array, " N"]
    first: Float[Array, "N P L"]
    last: Float[Array, "N P L"]


@weights
class Layer:
    near_norm: Float[Array, " C"]
    near: Float[Array, "5 C"]
    norm: Float[Array, " C"]
    query_key_value: Float[Array, "C 3C"]
    distance: Float[Array, "H D"]
    out: Float[Array, "C C"]
    inner_norm: Float[Array, " C"]
    gate: Float[Array, "C F"]
    up: Float[Array, "C F"]
    down: Float[Array, "F C"]


@weights
class Caller:
    letters: Float[Array, "256 S"]
    spelt: Float[Array, "16S C"]
    looks: Float[Array, "4 C"]
    roles: Float[Array, "7 C"]
    shared: Float[Array, "4 C"]
    layers: tuple[Layer, ...]
    norm: Float[Array, " C"]
    fits: Float[Array, " C"]
    pointing: Float[Array, "2 C C"]


def declare(cfg: config.Caller) -> Caller:
    c, f, letter = cfg.channels, WIDER * cfg.channels, cfg.letter

    def matrix(*shape: int, scale: float = 1.0) -> Param:
        return Param(shape, (None,) * len(shape), normal(shape[-2], scale))

    def vector(value: float, *shape: int) -> Param:
        return Param(shape, (None,) * len(shape), constant(value))

    layer = Layer(
        near_norm=vector(1.0, c),
        near=Param((TAPS, c), (None, None), normal(TAPS, 0.5)),
        norm=vector(1.0, c),
        query_key_value=matrix(c, 3 * c),
        distance=vector(0.0, cfg.heads, 2 * FAR + 1),
        out=matrix(c, c, scale=0.5),
        inner_norm=vector(1.0, c),
        gate=matrix(c, f),
        up=matrix(c, f),
        down=matrix(f, c, scale=0.5),
    )
    return Caller(
        letters=matrix(256, letter, scale=16.0),
        spelt=matrix(LETTERS * letter, c),
        looks=matrix(LOOKS, c),
        roles=matrix(len(Role), c),
        shared=matrix(SHARED, c),
        layers=(layer,) * cfg.layers,
        norm=vector(1.0, c),
        fits=Param((c,), (None,), normal(c)),
        pointing=matrix(2, c, c),
    )


def judge(p: Caller, asked: Asked) -> Verdict:
    """Each question by itself: what fills one up changes nothing."""
    asked = jax.tree.map(jnp.asarray, asked)
    many, words, _ = asked.letters.shape
    spelt = p.letters[asked.letters.astype(jnp.int32)].reshape(many, words, -1) @ p.spelt
    x = spelt + p.looks[asked.looks] + p.roles[asked.roles] + p.shared[asked.shared]
    there = asked.roles != Role.NOTHING
    x = x * there[..., None]
    for layer in p.layers:
        x = x + _near(layer, _normed(x, layer.near_norm)) * there[..., None]
        x = x + _attended(layer, _normed(x, layer.norm), there)
        y = _normed(x, layer.inner_norm)
        x = x + (jax.nn.silu(y @ layer.gate) * (y @ layer.up)) @ layer.down
        x = x * there[..., None]
    x = _normed(x, p.norm)
    heads = jnp.take_along_axis(x, asked.heads[..., None], 1)
    size = x.shape[-1]
    points = jnp.einsum("npc,kcd,nld->knpl", heads, p.pointing, x) / size**0.5
    first, last = points + jnp.where(asked.may, 0.0, NEVER)
    return Verdict(x[:, 0] @ p.fits, first, last)


def _near(layer: Layer, x: Float[Array, "N L C"]) -> Float[Array, "N L C"]:
    words, side = x.shape[1], TAPS // 2
    padded = jnp.pad(x, ((0, 0), (side, side), (0, 0)))
    return sum(padded[:, tap : tap + words] * layer.near[tap] for tap in range(TAPS))


def _attended(
    layer: Layer, x: Float[Array, "N L C"], there: Bool[Array, "N L"]
) -> Float[Array, "N L C"]:
    many, words, channels = x.shape
    heads = layer.distance.shape[0]
    split = (x @ layer.query_key_value).reshape(many, words, 3, heads, channels // heads)
    query, key, value = jnp.moveaxis(split, 2, 0)
    place = jnp.arange(words)
    distance = jnp.clip(place - place[:, None], -FAR, FAR) + FAR
    logits = jnp.einsum("nihd,njhd->nhij", query, key) / (channels // heads) ** 0.5
    logits = logits + layer.distance[:, distance] + jnp.where(there, 0.0, NEVER)[:, None, None]
    mixed = jnp.einsum("nhij,njhd->nihd", jax.nn.softmax(logits), value)
    return mixed.reshape(many, words, channels) @ layer.out


def _normed(x: Float[Array, "N L C"], norm: Float[Array, " C"]) -> Float[Array, "N L C"]:
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6) * norm
