# SPDX-License-Identifier: Apache-2.0
"""RMSNorm (Zhang and Sennrich 2019)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def rms_norm(x: Float[Array, "*B D"], gain: Float[Array, " D"]) -> Float[Array, "*B D"]:
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6) * gain
