# SPDX-License-Identifier: Apache-2.0
"""Letters in order, without being told when: the loss of what listens and of what spells.

All ways to say them in that order count together (Connectionist Temporal Classification, Graves et
al. 2006).
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from pollux.model.along import NOTHING


def loss(
    scores: Float[Array, "N T classes"], letters: Int[Array, "N L"]
) -> tuple[Float[Array, ""], Int[Array, ""], Int[Array, ""]]:
    """Nats, letters mistaken where the likeliest class is taken each time, and letters, in all.

    `letters`: NOTHING behind the end of each row.
    """
    behind = (letters == NOTHING).astype(scores.dtype)
    nats = optax.ctc_loss(scores, jnp.zeros(scores.shape[:2]), letters, behind, blank_id=NOTHING)
    mistaken = jax.vmap(edits)(scores.argmax(-1), letters)
    return nats.sum(), mistaken.sum(), (letters != NOTHING).sum()


def edits(verdicts: Int[Array, " T"], letters: Int[Array, " L"]) -> Int[Array, ""]:
    """Letters to be put in, left out or exchanged (Levenshtein) in what was heard.

    `verdicts`: the likeliest class each time; `letters`: what was said, NOTHING behind its end.
    """
    places = jnp.arange(len(letters) + 1)

    def after(costs: Int[Array, " places"], verdict: Int[Array, ""]):
        exchanged = costs[:-1] + (letters != verdict)
        best = jnp.minimum(costs + 1, jnp.concatenate([costs[:1] + 1, exchanged]))
        return jax.lax.cummin(best - places) + places

    def step(state, verdict):
        costs, before = state
        is_new = (verdict != NOTHING) & (verdict != before)
        return (jnp.where(is_new, after(costs, verdict), costs), verdict), None

    (costs, _), _ = jax.lax.scan(step, (places, jnp.int32(NOTHING)), verdicts.astype(jnp.int32))
    return costs[(letters != NOTHING).sum()]
