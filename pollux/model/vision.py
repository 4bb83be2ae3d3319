# SPDX-License-Identifier: Apache-2.0
"""Eyes: a patch of 16 x 16 pixels becomes a vector that stands where a token's would.

A letter seldom keeps within a patch, so 8 pixels around it are seen with it. What a patch shows
does not depend on the light: its pixels are taken relative to their mean colour and contrast, in
light and in tint apart, and the colour comes beside them. So writing is the same in any colours.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from pollux.config import SEEN_SIZE, SIGHT, Config
from pollux.ops.norm import rms_norm
from pollux.params import Param, constant, normal, weights

LIGHT_AND_TINT = np.array(  # of red, green and blue: light; how much redder, how much bluer
    [[0.299, 0.701, -0.299], [0.587, -0.587, -0.587], [0.114, -0.114, 0.886]], np.float32
)
FAINT = 0.01  # added to the variance of pixels from -1 to 1: noise of a flat patch stays noise
FOLD = 2  # pixels each way that are taken as one with more channels: a third of the arithmetic
LAYERS = 2  # convolutions, each of which halves the sides and doubles the channels
LEFT = SIGHT // FOLD // 2**LAYERS  # side of what the last gives


@weights
class Vision:
    stem: tuple[Float[Array, "3 3 _ _"], ...]
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
    channels = [3 * FOLD**2, *(cfg.vision.channels * 2**n for n in range(LAYERS))]
    values = LEFT**2 * channels[-1]

    def kernel(before: int, after: int) -> Param:
        return Param((3, 3, before, after), (None,) * 4, normal(9 * before, 2**0.5))

    return Vision(
        stem=tuple(kernel(*pair) for pair in zip(channels, channels[1:], strict=False)),
        up=Param((values, f), ("embed", "hidden"), normal(values, 2**0.5)),
        colour=Param((3, f), (None, "hidden"), normal(3)),
        down=Param((f, d), ("hidden", "embed"), normal(f)),
        norm=Param((d,), (None,), constant(SEEN_SIZE)),
        row=Param((sides, d), (None, "embed"), normal(1, 0.1)),
        column=Param((sides, d), (None, "embed"), normal(1, 0.1)),
    )


def embed(
    p: Vision, patches: UInt8[Array, "P 32 32 3"], place: Int[Array, "P 2"]
) -> Float[Array, "P D"]:
    """`patches`: with what is around each; `place`: row and column of each in its picture."""
    pixels = patches.astype(jnp.float32) / 127.5 - 1
    colour = pixels.mean((1, 2))
    shape = (pixels - colour[:, None, None]) @ jnp.asarray(LIGHT_AND_TINT)
    contrast = jnp.mean(shape * shape, (1, 2), keepdims=True) + FAINT
    seen = _folded(shape * jax.lax.rsqrt(contrast))
    for kernel in p.stem:
        seen = jax.nn.gelu(_halved(seen, kernel))
    seen = seen.reshape(len(patches), -1)
    seen = jax.nn.gelu(seen @ p.up + colour @ p.colour) @ p.down
    place = jnp.minimum(place, len(p.row) - 1)
    return rms_norm(seen, p.norm) + p.row[place[:, 0]] + p.column[place[:, 1]]


def _folded(x: Float[Array, "P H H C"]) -> Float[Array, "P h h c"]:
    many, side, _, channels = x.shape
    x = x.reshape(many, side // FOLD, FOLD, side // FOLD, FOLD, channels).swapaxes(2, 3)
    return x.reshape(many, side // FOLD, side // FOLD, FOLD * FOLD * channels)


def _halved(x: Float[Array, "P H H C"], kernel: Float[Array, "3 3 C K"]) -> Float[Array, "P h h K"]:
    """A convolution at every other pixel each way, zeros beyond the lower and the right edge.

    By hand, as a multiplication of matrices: where weights are sharded, XLA adds up the gradient of
    the kernel of `conv_general_dilated` once for every copy.
    """
    many, side, _, channels = x.shape
    half = side // 2
    pairs = x.reshape(many, side, half, 2 * channels)
    after = jnp.pad(pairs[:, :, 1:, :channels], ((0, 0), (0, 0), (0, 1), (0, 0)))
    across = jnp.concatenate([pairs, after], -1)  # three pixels side by side
    rows = across.reshape(many, half, 2, half, 3 * channels)
    below = jnp.pad(rows[:, 1:, 0], ((0, 0), (0, 1), (0, 0), (0, 0)))
    around = jnp.concatenate([rows[:, :, 0], rows[:, :, 1], below], -1)
    return around @ kernel.reshape(9 * channels, -1)
