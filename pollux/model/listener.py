# SPDX-License-Identifier: Apache-2.0
"""A listener: which letters are said when, in sound.

Convolutions over log-mel frames give two verdicts for each token of sound, one every 20 ms: a
letter, a space between words, or nothing new. Letters are told as Connectionist Temporal
Classification has them (Graves et al. 2006): each at least once, and the same one twice only with
nothing between.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pollux import config
from pollux.config import MEL_BINS, MEL_OWN, SPOKEN
from pollux.model import along
from pollux.model.audio import CENTRE, SPREAD
from pollux.params import Param, constant, normal, weights

CLASSES = 1 + len(SPOKEN)  # along.NOTHING, then the letters
VERDICTS = 2  # a token of sound,
PER_SECOND = 50
HEARD = 3  # tokens that the first layer hears: one on each side


@weights
class Listener:
    enter: Float[Array, "mel C"]
    layers: tuple[along.Layer, ...]
    norm: Float[Array, " C"]
    out: Float[Array, "C verdicts"]
    bias: Float[Array, " verdicts"]


def declare(cfg: config.Listener) -> Listener:
    c, mel = cfg.channels, HEARD * MEL_OWN * MEL_BINS
    return Listener(
        enter=Param((mel, c), (None, None), normal(mel)),
        layers=(along.declare(c, cfg.width),) * cfg.layers,
        norm=Param((c,), (None,), constant(1.0)),
        out=Param((c, VERDICTS * CLASSES), (None, None), normal(c, 0.1)),
        bias=Param((VERDICTS * CLASSES,), (None,), constant(0.0)),
    )


def listen(p: Listener, mel: Float[Array, "N T 64"]) -> Float[Array, "N verdicts classes"]:
    """Logits, two for every four frames; T must be a multiple of four.

    Nothing is heard beyond the ends, so that what is within `reach` of one depends on the cut.
    """
    many, frames, _ = mel.shape
    x = ((mel - CENTRE) / SPREAD).reshape(many, frames // MEL_OWN, -1)
    x = jnp.concatenate(along.beside(x, HEARD), -1) @ p.enter
    for layer in p.layers:
        x = along.passed(x, layer)
    verdicts = along.normed(x, p.norm) @ p.out + p.bias
    return verdicts.reshape(many, VERDICTS * verdicts.shape[1], CLASSES)
