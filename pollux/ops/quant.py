# SPDX-License-Identifier: Apache-2.0
"""Int8 for the memory and for queries: every row has a scale of its own.

So what is kept of a token does not depend on its neighbours. An entry is off by at most half the
scale, 1/254 of the row's largest one (tests/ops/test_quant.py).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Int8

SMALLEST, LARGEST = 2.0**-14, 65_504.0  # what float16 holds in full precision


def dequantise_rows(x: Int8[Array, "*N D"], scale: Float[Array, "*N"]) -> Float[Array, "*N D"]:
    return x.astype(jnp.float32) * scale[..., None]


def quantise_rows(
    x: Float[Array, "*N D"],
) -> tuple[Int8[Array, "*N D"], Float[Array, "*N"]]:
    """Queries; float32 scales."""
    scale = jnp.maximum(jnp.abs(x).max(-1) / 127, 1e-30)
    return jnp.round(x / scale[..., None]).astype(jnp.int8), scale


def quantise_memory(
    x: Float[Array, "*N D"],
) -> tuple[Int8[Array, "*N D"], Float[Array, "*N"]]:
    """Keys and values; float16 scales, never zero: what is kept is exactly what was rounded."""
    scale = round_up(jnp.clip(jnp.abs(x).max(-1) / 127, SMALLEST, LARGEST))
    digits = jnp.clip(jnp.round(x / scale[..., None]), -127, 127)
    return digits.astype(jnp.int8), scale.astype(jnp.float16)


def round_up(x: Float[Array, "*N"]) -> Float[Array, "*N"]:
    """Positive float32 numbers to the next ones that float16 has too.

    In bits: a compiler may take a conversion to float16 and back for nothing and leave it out.
    """
    spare = jnp.uint32((1 << 13) - 1)  # of a float32's fraction, the bits that a float16 lacks
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
    return jax.lax.bitcast_convert_type((bits + spare) & ~spare, jnp.float32)


def int8_scores(query: Int8[Array, "Q K"], keys: Int8[Array, "N K"]) -> Int[Array, "Q N"]:
    """Products of whole numbers, exact in int32."""
    contract = (((1,), (1,)), ((), ()))
    return jax.lax.dot_general(keys, query, contract, preferred_element_type=jnp.int32).T
