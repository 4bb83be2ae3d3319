# SPDX-License-Identifier: Apache-2.0
"""Rotary positions (Su et al. 2021), from small integers only.

In float32 `position * frequency` is off by 0.18 rad at position 9,999,999. The product of a query
and a key depends on their distance alone, so callers count positions from the start of a window.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def rotate(
    x: Float[Array, "*B T H D"], position: Int[Array, " T"], theta: float
) -> Float[Array, "*B T H D"]:
    half = x.shape[-1] // 2
    angle = position[:, None] * theta ** (-jnp.arange(half) / half)
    cos, sin = jnp.cos(angle)[:, None], jnp.sin(angle)[:, None]
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)
