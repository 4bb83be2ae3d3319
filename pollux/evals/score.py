# SPDX-License-Identifier: Apache-2.0
"""Shares of right answers, with their uncertainty."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    right: int
    trials: int

    @property
    def share(self) -> float:
        return self.right / self.trials if self.trials else math.nan

    def __str__(self) -> str:
        low, high = wilson(self.right, self.trials)
        return f"{self.share:.1%} [{low:.1%}, {high:.1%}]"


def wilson(right: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """95% interval of a share (Wilson 1927)."""
    if not trials:
        return 0.0, 1.0
    share, square = right / trials, z * z / trials
    centre = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    return max(0.0, centre - half), min(1.0, centre + half)
