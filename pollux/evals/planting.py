# SPDX-License-Identifier: Apache-2.0
"""What is put into a haystack at the same time, and what is then asked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Question:
    """`expected`: what must stand in the answer; nothing: it must be "absent"."""

    text: str
    expected: tuple[str, ...]
    needle: int | None = None  # which of those planted it is about, if it is one


@dataclass(frozen=True, kw_only=True)
class Planting:
    """Needles that are in the haystack at the same time, by depth, and what is then asked."""

    needles: list[tuple[float, str]]
    questions: list[Question]
    turn: int = 0  # of grid.plant


def spread(
    lines: Sequence[str], questions: Sequence[Question], rng: np.random.Generator
) -> Planting:
    """Evenly, in their order, but for some chance."""
    depths = (np.arange(len(lines)) + rng.random(len(lines))) / max(1, len(lines))
    needles = list(zip(depths.tolist(), lines, strict=True))
    return Planting(needles=needles, questions=list(questions))
