# SPDX-License-Identifier: Apache-2.0
"""Int8 for the memory: one scale for each block of tokens.

Queries are two int8 digits, so that a score loses nothing.
A key or value is off by at most half its block's scale, 1/254 of the block's largest entry
(tests/ops/test_quant.py).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Int8

DIGIT = 254  # steps of the low digit in one of the high


def quantise_blocks(
    x: Float[Array, "N D"], block: int
) -> tuple[Int8[Array, "N D"], Float[Array, " blocks"]]:
    blocks = x.reshape(-1, block, x.shape[-1])
    scale = jnp.maximum(jnp.abs(blocks).max((1, 2)) / 127, 1e-30)
    rounded = jnp.round(blocks / scale[:, None, None]).astype(jnp.int8)
    return rounded.reshape(x.shape), scale


def dequantise_rows(x: Int8[Array, "*N D"], scale: Float[Array, "*N"]) -> Float[Array, "*N D"]:
    return x.astype(jnp.float32) * scale[..., None]


def split_query(
    query: Float[Array, "H K"],
) -> tuple[Int8[Array, "Q K"], Float[Array, " H"]]:
    """High digits, then low digits; the scale of the low digit."""
    scale = jnp.maximum(jnp.abs(query).max(-1) / 127, 1e-30)
    units = query / scale[:, None]
    high = jnp.round(units)
    low = jnp.round((units - high) * DIGIT)
    return jnp.concatenate([high, low]).astype(jnp.int8), scale / DIGIT


def int8_scores(digits: Int8[Array, "Q K"], keys: Int8[Array, "N K"]) -> Int[Array, "H N"]:
    """Whole products of split queries and keys, exact in int32 while K < 500."""
    contract = (((1,), (1,)), ((), ()))
    score = jax.lax.dot_general(keys, digits, contract, preferred_element_type=jnp.int32).T
    high, low = jnp.split(score, 2)
    return high * DIGIT + low
