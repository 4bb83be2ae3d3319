# SPDX-License-Identifier: Apache-2.0
"""Shares of right answers, with their uncertainty."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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


def edits(said: Sequence, meant: Sequence) -> int:
    """Insertions, deletions and exchanges that make `said` what was `meant` (Levenshtein)."""
    row = list(range(len(meant) + 1))
    for i, one in enumerate(said, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(meant, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (one != other))
    return row[-1]


def resampled(wrong: np.ndarray, of: np.ndarray, times: int = 1_000) -> tuple[float, float]:
    """95% interval of sum(wrong) / sum(of) by bootstrap over the trials; the same every time."""
    drawn = np.random.default_rng(0).integers(len(of), size=(times, len(of)))
    rates = wrong[drawn].sum(1) / np.maximum(1, of[drawn].sum(1))
    low, high = np.quantile(rates, (0.025, 0.975))
    return float(low), float(high)
