# SPDX-License-Identifier: Apache-2.0
"""Lines of writing cut out of a picture, level and of one height, for what spells them."""

import numpy as np
from jaxtyping import Float, UInt8


def strip(
    light: UInt8[np.ndarray, "H W"],
    begin: Float[np.ndarray, " 2"],
    end: Float[np.ndarray, " 2"],
    scale: float,
    high: int,
) -> UInt8[np.ndarray, "{high} w"]:
    """What lies along the line from `begin` to `end`, x and y in pixels, `high` pixels high.

    `scale`: pixels of the picture that one of the strip is. Beyond the picture its edge goes on.
    """
    way = end - begin
    length = max(float(np.hypot(*way)), 1e-6)
    wide = max(1, round(length / scale))
    along = way / length * scale
    down = np.array([-along[1], along[0]])
    across, rows = np.arange(wide) + 0.5, np.arange(high) + 0.5 - high / 2
    x = begin[0] - 0.5 + across[None] * along[0] + rows[:, None] * down[0]
    y = begin[1] - 0.5 + across[None] * along[1] + rows[:, None] * down[1]
    return between(light, np.clip(x, 0, light.shape[1] - 1), np.clip(y, 0, light.shape[0] - 1))


def between(
    light: UInt8[np.ndarray, "H W"], x: Float[np.ndarray, "h w"], y: Float[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w"]:
    """The picture at places between its pixels, all of them in it."""
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, below = np.minimum(left + 1, light.shape[1] - 1), np.minimum(top + 1, light.shape[0] - 1)
    a, b = (x - left).astype(np.float32), (y - top).astype(np.float32)
    upper = light[top, left] * (1 - a) + light[top, right] * a
    lower = light[below, left] * (1 - a) + light[below, right] * a
    return np.rint(upper * (1 - b) + lower * b).astype(np.uint8)
