# SPDX-License-Identifier: Apache-2.0
"""A listener: which letters are said when, in sound.

Convolutions over log-mel frames give two verdicts for each token of sound, one every 20 ms: a
letter, a space between words, or nothing new. Letters are told as Connectionist Temporal
Classification has them (Graves et al. 2006): each at least once, and the same one twice only with
nothing between.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pollux import config
from pollux.config import MEL_BINS, MEL_OWN, SPOKEN
from pollux.model.audio import CENTRE, SPREAD
from pollux.params import Param, constant, normal, weights

NOTHING = 0  # class; the letters of SPOKEN follow
CLASSES = 1 + len(SPOKEN)
VERDICTS = 2  # a token of sound,
PER_SECOND = 50
HEARD = 3  # tokens that the first layer hears: one on each side
WIDER = 2  # times the channels, within a layer


@weights
class Layer:
    along: Float[Array, "width C"]
    norm: Float[Array, " C"]
    up: Float[Array, "C F"]
    down: Float[Array, "F C"]


@weights
class Listener:
    enter: Float[Array, "mel C"]
    layers: tuple[Layer, ...]
    norm: Float[Array, " C"]
    out: Float[Array, "C verdicts"]
    bias: Float[Array, " verdicts"]


def declare(cfg: config.Listener) -> Listener:
    c, f, mel = cfg.channels, WIDER * cfg.channels, HEARD * MEL_OWN * MEL_BINS
    layer = Layer(
        along=Param((cfg.width, c), (None, None), normal(cfg.width)),
        norm=Param((c,), (None,), constant(1.0)),
        up=Param((c, f), (None, None), normal(c)),
        down=Param((f, c), (None, None), normal(f, 0.5)),
    )
    return Listener(
        enter=Param((mel, c), (None, None), normal(mel)),
        layers=(layer,) * cfg.layers,
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
    x = jnp.concatenate(_beside(x, HEARD), -1) @ p.enter
    for layer in p.layers:
        width = len(layer.along)
        y = sum(one * row for one, row in zip(_beside(x, width), layer.along, strict=True))
        x = x + jax.nn.gelu(_normed(y, layer.norm) @ layer.up) @ layer.down
    verdicts = _normed(x, p.norm) @ p.out + p.bias
    return verdicts.reshape(many, VERDICTS * verdicts.shape[1], CLASSES)


def _beside(x: Float[Array, "N T C"], width: int) -> list[Float[Array, "N T C"]]:
    """Each token's neighbours, from the first to the last of that many around it."""
    size, side = x.shape[1], width // 2
    padded = jnp.pad(x, ((0, 0), (side, side), (0, 0)))
    return [padded[:, n : n + size] for n in range(width)]


def _normed(x: Float[Array, "N T C"], scale: Float[Array, " C"]) -> Float[Array, "N T C"]:
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5) * scale
