# SPDX-License-Identifier: Apache-2.0
"""A hand: 64 x 64 pixels become 8 x 8 codes, and codes become pixels.

Finite scalar quantisation (Mentzer et al. 2023): each of a code's few numbers is rounded to one of
its levels, and the gradient passes as if it were not. There is no codebook to be learnt, and
nothing that could be left unused by it. A code is one number, its digits those of the levels.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from pollux import config
from pollux.config import DRAWN_CODES, DRAWN_GRID
from pollux.ops.norm import rms_norm
from pollux.params import Param, constant, normal, weights

STEP = 4  # pixels, each side of what the first layer takes together
VALUES = STEP * STEP * 3


@weights
class Block:
    """A residual layer: what is around, then what it means."""

    norm: Float[Array, " C"]
    around: Float[Array, "3 3 C C"]
    out: Float[Array, "C C"]


@weights
class Encoder:
    patch: Float[Array, "3 3 I C"]
    fine: tuple[Block, ...]  # of 16 x 16
    halve: Float[Array, "F C"]
    coarse: tuple[Block, ...]  # of 8 x 8
    norm: Float[Array, " C"]
    latent: Float[Array, "C n"]


@weights
class Painter:
    latent: Float[Array, "n C"]
    coarse: tuple[Block, ...]
    double: Float[Array, "C F"]
    fine: tuple[Block, ...]
    norm: Float[Array, " C"]
    patch: Float[Array, "3 3 C I"]


@weights
class Picture:
    encoder: Encoder
    painter: Painter


def declare(cfg: config.Picture) -> Picture:
    c, n = cfg.channels, len(cfg.levels)
    return Picture(
        encoder=Encoder(
            patch=_around(VALUES, c),
            fine=(_block(c),),
            halve=Param((4 * c, c), (None, "hidden"), normal(4 * c)),
            coarse=(_block(c),),
            norm=Param((c,), (None,), constant(1.0)),
            latent=Param((c, n), ("hidden", None), normal(c, 0.7)),
        ),
        painter=Painter(
            latent=Param((n, c), (None, "hidden"), normal(n)),
            coarse=(_block(c), _block(c)),
            double=Param((c, 4 * c), ("hidden", None), normal(c)),
            fine=(_block(c), _block(c)),
            norm=Param((c,), (None,), constant(1.0)),
            patch=_around(c, VALUES, 0.1),
        ),
    )


def _around(inner: int, outer: int, scale: float = 1.0) -> Param:
    return Param((3, 3, inner, outer), (None, None, None, None), normal(9 * inner, scale))


def _block(c: int) -> Block:
    return Block(
        norm=Param((c,), (None,), constant(1.0)),
        around=_around(c, c),
        out=Param((c, c), ("hidden", None), normal(c, 0.5)),
    )


def encode(
    p: Picture, cfg: config.Picture, pixels: UInt8[Array, "B 64 64 3"]
) -> Int[Array, "B codes"]:
    """Codes row by row."""
    latent = latents(p.encoder, pixels.astype(jnp.float32) / 255)
    return codes_of(rounded(latent, cfg.levels), cfg.levels).reshape(len(pixels), DRAWN_CODES)


def decode(
    p: Picture, cfg: config.Picture, codes: Int[Array, "B codes"]
) -> UInt8[Array, "B 64 64 3"]:
    grid = codes.reshape(len(codes), DRAWN_GRID, DRAWN_GRID)
    pixels = paint(p.painter, values_of(grid, cfg.levels))
    return (jnp.clip(pixels, 0.0, 1.0) * 255 + 0.5).astype(jnp.uint8)


def again(
    p: Picture, cfg: config.Picture, pixels: Float[Array, "B 64 64 3"]
) -> tuple[Float[Array, "B 64 64 3"], Int[Array, "B 8 8"]]:
    """The pictures as their codes have them, and the codes; pixels from 0 to 1, for training."""
    values = rounded(latents(p.encoder, pixels), cfg.levels)
    return paint(p.painter, values), codes_of(values, cfg.levels)


def latents(p: Encoder, pixels: Float[Array, "B 64 64 3"]) -> Float[Array, "B 8 8 n"]:
    x = _convolved(_gathered(2 * pixels - 1, STEP), p.patch)
    for block in p.fine:
        x = _through(block, x)
    x = _gathered(x, 2) @ p.halve
    for block in p.coarse:
        x = _through(block, x)
    return rms_norm(x, p.norm) @ p.latent


def paint(p: Painter, values: Float[Array, "B 8 8 n"]) -> Float[Array, "B 64 64 3"]:
    """Pixels, 0 to 1 but for errors."""
    x = values @ p.latent
    for block in p.coarse:
        x = _through(block, x)
    x = _spread(x @ p.double, 2)
    for block in p.fine:
        x = _through(block, x)
    return 0.5 + _spread(_convolved(rms_norm(x, p.norm), p.patch), STEP)


def rounded(latent: Float[Array, "*B n"], levels: Sequence[int]) -> Float[Array, "*B n"]:
    """Values from -1 to 1 at the levels, evenly apart; the gradient is that of `tanh` alone."""
    steps = (np.array(levels) - 1) / 2
    free = jnp.tanh(latent)
    value = jnp.round((free + 1) * steps) / steps - 1
    return free + jax.lax.stop_gradient(value - free)


def codes_of(values: Float[Array, "*B n"], levels: Sequence[int]) -> Int[Array, "*B"]:
    """Of values at the levels: the first one's digit counts most."""
    digits = jnp.round((values + 1) * ((np.array(levels) - 1) / 2)).astype(jnp.int32)
    return digits @ jnp.asarray(_worth(levels))


def values_of(codes: Int[Array, "*B"], levels: Sequence[int]) -> Float[Array, "*B n"]:
    digits = codes[..., None] // _worth(levels) % np.array(levels)
    return digits / ((np.array(levels) - 1) / 2) - 1.0


def _worth(levels: Sequence[int]) -> np.ndarray:
    """Of each digit."""
    return np.cumprod([1, *levels[:0:-1]])[::-1].astype(np.int32)


def _through(block: Block, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    return x + jax.nn.gelu(_convolved(rms_norm(x, block.norm), block.around)) @ block.out


def _convolved(
    x: Float[Array, "B H W I"], taps: Float[Array, "3 3 I O"]
) -> Float[Array, "B H W O"]:
    names = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, taps, (1, 1), "SAME", dimension_numbers=names)


def _gathered(x: Float[Array, "B H W C"], side: int) -> Float[Array, "B _ _ _"]:
    """Squares of `side` x `side` as one place each."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // side, side, w // side, side, c).swapaxes(2, 3)
    return x.reshape(b, h // side, w // side, side * side * c)


def _spread(x: Float[Array, "B H W _"], side: int) -> Float[Array, "B _ _ C"]:
    """The inverse."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, side, side, c // side**2).swapaxes(2, 3)
    return x.reshape(b, h * side, w * side, c // side**2)
