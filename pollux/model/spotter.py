# SPDX-License-Identifier: Apache-2.0
"""A spotter: which letters stand where in a picture, and where a space is between them.

Convolutions over a whole picture in grey give a verdict for each cell of 8 x 4 pixels: the letter
whose middle lies there, a space, or nothing. Letters of 13 to 30 pixels are its own; larger and
smaller ones are found in a picture that is scaled (engine/spotting.py).
"""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pollux import config
from pollux.config import CELL, NOTHING
from pollux.ops.convolution import convolved
from pollux.params import Param, constant, exactly, normal, weights

CLASSES = NOTHING + 1
NEAR = 2  # cells of 8 x 8 pixels each way that light and contrast are taken relative to
FAINT = 4e-4  # added to the variance of light from 0 to 1: noise of a plain wall stays noise
STRIDES = (2, 2), (1, 1), (2, 1), (1, 1), (1, 1)  # of the layers, down and across
MOSTLY_NOTHING = 3.0  # nats: what a fresh one thinks


@weights
class Layer:
    kernel: Float[Array, "3 3 _ C"]
    norm: Float[Array, " C"]
    bias: Float[Array, " C"]


@weights
class Spotter:
    layers: tuple[Layer, ...]
    out: Float[Array, "C classes"]
    bias: Float[Array, " classes"]


def declare(cfg: config.Spotter) -> Spotter:
    c = cfg.channels
    channels = 4, c, 2 * c, 3 * c, 3 * c, 3 * c

    prior = np.zeros(CLASSES, np.float32)
    prior[NOTHING] = MOSTLY_NOTHING
    return Spotter(
        layers=tuple(layer(*pair) for pair in pairwise(channels)),
        out=Param((channels[-1], CLASSES), (None, None), normal(channels[-1], 0.5)),
        bias=Param((CLASSES,), (None,), exactly(prior)),
    )


def layer(before: int, after: int) -> Layer:
    return Layer(
        kernel=Param((3, 3, before, after), (None,) * 4, normal(9 * before, 2**0.5)),
        norm=Param((after,), (None,), constant(1.0)),
        bias=Param((after,), (None,), constant(0.0)),
    )


def spot(p: Spotter, grey: Float[Array, "N H W"]) -> Float[Array, "N h w classes"]:
    """Logits of each cell. `grey`: from 0 to 255; height and width must be multiples of 8."""
    x = folded(lit_alike(grey / 255))
    for layer, stride in zip(p.layers, STRIDES, strict=True):
        x = passed(x, layer, stride)
    return x @ p.out + p.bias


def lit_alike(light: Float[Array, "N H W"]) -> Float[Array, "N H W"]:
    """Relative to the light around, divided by the contrast there: writing in any colours."""
    many, height, width = light.shape
    side = CELL[0]

    def around(x: Float[Array, "N H W"]) -> Float[Array, "N H W"]:
        blocks = many, height // side, side, width // side, side
        padded = jnp.pad(
            x.reshape(blocks).mean((2, 4)), ((0, 0), (NEAR, NEAR), (NEAR, NEAR)), "edge"
        )
        shifts = range(2 * NEAR + 1)
        down = jnp.stack([padded[:, n : n + height // side] for n in shifts]).mean(0)
        mean = jnp.stack([down[:, :, n : n + width // side] for n in shifts]).mean(0)
        return jnp.broadcast_to(mean[:, :, None, :, None], blocks).reshape(x.shape)

    mean = around(light)
    variance = jnp.maximum(around(light * light) - mean * mean, 0)
    return (light - mean) * jax.lax.rsqrt(variance + FAINT)


def folded(x: Float[Array, "N H W"]) -> Float[Array, "N h w 4"]:
    """2 x 2 pixels as one with four channels."""
    many, height, width = x.shape
    pairs = x.reshape(many, height // 2, 2, width // 2, 2).swapaxes(2, 3)
    return pairs.reshape(many, height // 2, width // 2, 4)


def passed(
    x: Float[Array, "N H W C"], layer: Layer, stride: tuple[int, int]
) -> Float[Array, "N h w K"]:
    """What a layer makes of it, added to it where both have the same shape."""
    y = convolved(x, layer.kernel, stride)
    y = y * jax.lax.rsqrt(jnp.mean(y * y, -1, keepdims=True) + 1e-5) * layer.norm + layer.bias
    y = jax.nn.gelu(y)
    return x + y if x.shape == y.shape else y
