# SPDX-License-Identifier: Apache-2.0
"""Layers along a line of tokens, of sound or of writing: a convolution, then a feed-forward."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pollux.params import Param, constant, normal, weights

NOTHING = 0  # class of what is told in order: nothing new; letters follow
WIDER = 2  # times the channels, within a layer


@weights
class Layer:
    along: Float[Array, "width C"]
    norm: Float[Array, " C"]
    up: Float[Array, "C F"]
    down: Float[Array, "F C"]


def declare(channels: int, width: int) -> Layer:
    c, f = channels, WIDER * channels
    return Layer(
        along=Param((width, c), (None, None), normal(width)),
        norm=Param((c,), (None,), constant(1.0)),
        up=Param((c, f), (None, None), normal(c)),
        down=Param((f, c), (None, None), normal(f, 0.5)),
    )


def passed(x: Float[Array, "N T C"], layer: Layer) -> Float[Array, "N T C"]:
    near = beside(x, len(layer.along))
    y = sum(one * row for one, row in zip(near, layer.along, strict=True))
    return x + jax.nn.gelu(normed(y, layer.norm) @ layer.up) @ layer.down


def beside(x: Float[Array, "N T C"], width: int) -> list[Float[Array, "N T C"]]:
    """Each token's neighbours, from the first to the last of that many around it."""
    size, side = x.shape[1], width // 2
    padded = jnp.pad(x, ((0, 0), (side, side), (0, 0)))
    return [padded[:, n : n + size] for n in range(width)]


def normed(x: Float[Array, "N T C"], scale: Float[Array, " C"]) -> Float[Array, "N T C"]:
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5) * scale
