# SPDX-License-Identifier: Apache-2.0
"""A short causal depthwise convolution that does not cross from one segment into the next."""

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
