# SPDX-License-Identifier: Apache-2.0
"""What matrix products reach on this machine, through XLA as reading does: the limit to go by.

Two float32 squares, the kind of product that does best, and the kinds that reading and answering
have. Reading computes in float32 and scans int8 keys; bfloat16 is shown to say why.
"""

import time
from collections.abc import Callable
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np

from pollux.config import SPARK, Config
from pollux.engine.reader import CHUNK
from pollux.engine.scan import AT_ONCE
from pollux.memory.store import SEGMENT
from pollux.ops import quant

SIDE = 2_048
WIDE = 8_192, 256, 256
SECONDS = 1.0  # a product
LIMIT = "float32 square", "float32 wide"  # the faster of them is the limit


def limits(seconds: float = SECONDS, config: Config = SPARK, side: int = SIDE) -> dict[str, float]:
    """FLOP/s (of whole numbers: operations) of each kind of product."""
    e, d = config.experts, config.embed_dim
    heads = config.answer_layers * config.recall_heads
    copies = CHUNK * max(1, e.top_k)
    tiles = max(1, copies // 128)
    square = (side, side), (side, side)
    return {
        "float32 square": _speed(jnp.matmul, square, "float32", seconds),
        "float32 wide": _speed(jnp.matmul, (WIDE[:2], WIDE[1:]), "float32", seconds),
        "float32 experts": _speed(
            jnp.matmul, ((tiles, 128, d), (tiles, d, 2 * e.expert_dim)), "float32", seconds
        ),
        "bfloat16 square": _speed(jnp.matmul, square, "bfloat16", seconds),
        "int8 square": _speed(quant.int8_scores, square, "int8", seconds),
        "int8 scan": _speed(
            quant.int8_scores,
            ((AT_ONCE * heads, config.key_dim), (SEGMENT, config.key_dim)),
            "int8",
            seconds,
        ),
    }


def limit(found: dict[str, float]) -> float:
    return max(found[name] for name in LIMIT)


def _speed(
    product: Callable[[jax.Array, jax.Array], jax.Array],
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    kind: str,
    seconds: float,
) -> float:
    rng = np.random.default_rng(0)
    one, other = (jnp.asarray(rng.integers(-9, 9, shape)).astype(kind) for shape in shapes)
    call = jax.jit(product)
    operations = 2 * call(one, other).size * shapes[0][-1]
    times: list[float] = []
    while sum(times) < seconds:
        began = time.perf_counter()
        jax.block_until_ready(call(one, other))
        times.append(time.perf_counter() - began)
    return operations / median(times)
