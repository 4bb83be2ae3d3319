# SPDX-License-Identifier: Apache-2.0
"""A speller: which letters a line of writing has.

A spotter (model/spotter.py) says where on a picture letters are. What lies there is cut out as a
strip of one height, and read from left to right by what stands before and behind: convolutions over
the strip, then along it. Two verdicts for every four pixels, as Connectionist Temporal
Classification has them (Graves et al. 2006): a letter, a space, or nothing new.
"""

from itertools import pairwise

from jaxtyping import Array, Float

from pollux import config
from pollux.config import LETTERS, STRIP
from pollux.model import along, spotter
from pollux.params import Param, constant, normal, weights

CLASSES = 2 + len(LETTERS)  # along.NOTHING, then the letters, then the space
VERDICTS = 2  # of a token, four pixels along a strip
STRIDES = (1, 1), (2, 1), (2, 1)  # of the convolutions, down and across
WIDER = 1, 2, 3  # times the channels of the first


@weights
class Speller:
    convolutions: tuple[spotter.Layer, ...]
    enter: Float[Array, "pixels C"]
    layers: tuple[along.Layer, ...]
    norm: Float[Array, " C"]
    out: Float[Array, "C verdicts"]
    bias: Float[Array, " verdicts"]


def declare(cfg: config.Speller) -> Speller:
    c, widths = cfg.channels, [4, *(times * cfg.first for times in WIDER)]
    pixels = STRIP // 8 * VERDICTS * widths[-1]
    return Speller(
        convolutions=tuple(spotter.layer(*pair) for pair in pairwise(widths)),
        enter=Param((pixels, c), (None, None), normal(pixels)),
        layers=(along.declare(c, cfg.width),) * cfg.layers,
        norm=Param((c,), (None,), constant(1.0)),
        out=Param((c, VERDICTS * CLASSES), (None, None), normal(c, 0.1)),
        bias=Param((VERDICTS * CLASSES,), (None,), constant(0.0)),
    )


def spell(p: Speller, grey: Float[Array, "N 32 W"]) -> Float[Array, "N verdicts classes"]:
    """Logits. `grey`: from 0 to 255; W must be a multiple of eight."""
    x = spotter.folded(spotter.lit_alike(grey / 255))
    for layer, stride in zip(p.convolutions, STRIDES, strict=True):
        x = spotter.passed(x, layer, stride)
    many, rows, columns, channels = x.shape
    x = x.swapaxes(1, 2).reshape(many, columns // VERDICTS, VERDICTS * rows * channels) @ p.enter
    for layer in p.layers:
        x = along.passed(x, layer)
    verdicts = along.normed(x, p.norm) @ p.out + p.bias
    return verdicts.reshape(many, columns, CLASSES)
