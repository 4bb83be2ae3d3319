# SPDX-License-Identifier: Apache-2.0
"""Pictures in answers: which tokens may come where, and what becomes of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8

from pollux.config import DRAWN_CODES
from pollux.engine.model import Loaded
from pollux.engine.sampling import FORBIDDEN

BEGIN, END = "<begin_image>", "<end_image>"


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A picture that the model drew."""

    codes: tuple[int, ...]  # row by row
    pixels: UInt8[np.ndarray, "64 64 3"] = field(compare=False, repr=False)


def drawing(model: Loaded, tokens: Sequence[int]) -> Drawing:
    """Of its tokens, without those around it."""
    codes = np.asarray(tokens, np.int32) - model.config.vocab_size
    pixels = np.asarray(model.draw(codes[None]))[0]
    return Drawing(codes=tuple(codes.tolist()), pixels=pixels)


def codes_so_far(model: Loaded, said: Sequence[int]) -> int | None:
    """How many codes a picture that has been begun has; None outside of pictures."""
    control = model.tokenizer.control
    for count, token in enumerate(reversed(said[-DRAWN_CODES - 1 :])):
        if token == control[BEGIN]:
            return count
        if token < model.config.vocab_size:
            return None
    return None


def in_turn(model: Loaded, said: Sequence[int], logits: np.ndarray) -> np.ndarray:
    """Logits of what may come next.

    In a picture its codes and then its end, elsewhere anything but these.
    """
    vocab_size, end = model.config.vocab_size, model.tokenizer.control[END]
    count, out = codes_so_far(model, said), np.full_like(logits, FORBIDDEN)
    if count is None:
        out[:vocab_size] = logits[:vocab_size]
        out[end] = FORBIDDEN
    elif count < DRAWN_CODES:
        out[vocab_size:] = logits[vocab_size:]
    else:
        out[end] = logits[end]
    return out


def parts(text: str, drawn: Sequence[tuple[int, Drawing]]) -> tuple[str | Drawing, ...]:
    """Text and pictures in order, of pictures and how much text comes before each."""
    found: list[str | Drawing] = []
    start = 0
    for at, one in drawn:
        found += [text[start:at], one]
        start = max(start, at)
    return tuple(part for part in [*found, text[start:]] if part)
