# SPDX-License-Identifier: Apache-2.0
"""Eyes: a patch of 16 x 16 pixels becomes a vector that stands where a token's would.

What a patch shows does not depend on the light: its pixels are taken relative to its mean colour
and contrast, and the colour comes beside them.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from pollux.config import PATCH, SEEN_SIZE, Config
from pollux.ops.norm import rms_norm
from pollux.params import Param, constant, normal, weights

VALUES = PATCH * PATCH * 3
FAINT = 0.01  # added to the variance of pixels from -1 to 1: noise of a flat patch stays noise


@weights
class Vision:
    up: Float[Array, "I F"]
    colour: Float[Array, "3 F"]
    down: Float[Array, "F D"]
    norm: Float[Array, " D"]
    row: Float[Array, "sides D"]
    column: Float[Array, "sides D"]


def declare(cfg: Config) -> Vision | None:
    if cfg.vision is None:
        return None
    d, f, sides = cfg.embed_dim, cfg.vision.hidden_dim, cfg.vision.sides
    return Vision(
        up=Param((VALUES, f), ("embed", "hidden"), normal(VALUES)),
        colour=Param((3, f), (None, "hidden"), normal(3)),
        down=Param((f, d), ("hidden", "embed"), normal(f)),
        norm=Param((d,), (None,), constant(SEEN_SIZE)),
        row=Param((sides, d), (None, "embed"), normal(1, 0.1)),
        column=Param((sides, d), (None, "embed"), normal(1, 0.1)),
    )


def embed(
    p: Vision, patches: UInt8[Array, "P 16 16 3"], place: Int[Array, "P 2"]
) -> Float[Array, "P D"]:
    """`place`: row and column of each patch in its picture."""
    pixels = patches.astype(jnp.float32) / 127.5 - 1
    colour = pixels.mean((1, 2))
    shape = pixels - colour[:, None, None]
    contrast = jnp.mean(shape * shape, (1, 2, 3)) + FAINT
    shape = shape.reshape(len(patches), -1) * jax.lax.rsqrt(contrast)[:, None]
    seen = jax.nn.gelu(shape @ p.up + colour @ p.colour) @ p.down
    place = jnp.minimum(place, len(p.row) - 1)
    return rms_norm(seen, p.norm) + p.row[place[:, 0]] + p.column[place[:, 1]]
