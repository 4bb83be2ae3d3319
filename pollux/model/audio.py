# SPDX-License-Identifier: Apache-2.0
"""Ears: log-mel frames become a vector that stands where a token's would.

A token of sound stands for 40 ms and hears the 80 ms before them too: what a speech sound is shows
in how it begins. Its frames stand side by side, so nothing has to be carried from chunk to chunk.
"""

import jax
from jaxtyping import Array, Float

from pollux.config import MEL_BINS, MEL_FRAMES, SEEN_SIZE, Config
from pollux.ops.norm import rms_norm
from pollux.params import Param, constant, normal, weights

VALUES = MEL_FRAMES * MEL_BINS
CENTRE, SPREAD = -5.0, 4.0  # of log energies of speech


@weights
class Audio:
    up: Float[Array, "I F"]
    down: Float[Array, "F D"]
    norm: Float[Array, " D"]


def declare(cfg: Config) -> Audio | None:
    if cfg.audio is None:
        return None
    d, f = cfg.embed_dim, cfg.audio.hidden_dim
    return Audio(
        up=Param((VALUES, f), ("embed", "hidden"), normal(VALUES)),
        down=Param((f, d), ("hidden", "embed"), normal(f)),
        norm=Param((d,), (None,), constant(SEEN_SIZE)),
    )


def embed(p: Audio, mel: Float[Array, "A 12 64"]) -> Float[Array, "A D"]:
    frames = (mel.astype(p.up.dtype) - CENTRE) / SPREAD
    heard = jax.nn.gelu(frames.reshape(len(mel), -1) @ p.up) @ p.down
    return rms_norm(heard, p.norm)
