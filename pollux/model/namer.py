# SPDX-License-Identifier: Apache-2.0
"""A namer: what is shown where in a picture, of the things it has names for.

Convolutions over a whole picture in colour give a verdict for each place of 16 x 16 pixels: the
name of the thing whose middle lies there, or nothing. Things of 36 to 68 pixels are its own; larger
and smaller ones are found in a picture that is scaled (engine/naming.py).
"""

from itertools import pairwise

import numpy as np
from jaxtyping import Array, Float

from pollux import config
from pollux.config import PLACE, UNNAMED
from pollux.model.spotter import Layer, layer, passed
from pollux.params import Param, exactly, normal, weights

FOLD = 4  # pixels, each side of what the first layer takes as one
STRIDES = 1, 1, 2, 1, 1, 2, 1, 1  # of the layers
WIDER = 1, 1, 2, 2, 2, 3, 3, 3  # times the channels of the first

MOSTLY_NOTHING = 6.0  # nats: what a fresh one thinks

assert FOLD * np.prod(STRIDES) == PLACE


@weights
class Namer:
    layers: tuple[Layer, ...]
    out: Float[Array, "C classes"]
    bias: Float[Array, " classes"]


def declare(cfg: config.Namer) -> Namer:
    channels = 3 * FOLD * FOLD, *(cfg.channels * times for times in WIDER)
    classes = 1 + len(cfg.names)
    prior = np.zeros(classes, np.float32)
    prior[UNNAMED] = MOSTLY_NOTHING
    return Namer(
        layers=tuple(layer(*pair) for pair in pairwise(channels)),
        out=Param((channels[-1], classes), (None, None), normal(channels[-1], 0.5)),
        bias=Param((classes,), (None,), exactly(prior)),
    )


def name(p: Namer, pixels: Float[Array, "N H W 3"]) -> Float[Array, "N h w classes"]:
    """Logits of each place. `pixels`: from 0 to 255; height and width must be multiples of 16."""
    many, height, width, _ = pixels.shape
    x = (pixels / 127.5 - 1).reshape(many, height // FOLD, FOLD, width // FOLD, FOLD, 3)
    x = x.swapaxes(2, 3).reshape(many, height // FOLD, width // FOLD, -1)
    for one, stride in zip(p.layers, STRIDES, strict=True):
        x = passed(x, one, (stride, stride))
    return x @ p.out + p.bias
