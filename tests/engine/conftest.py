# SPDX-License-Identifier: Apache-2.0
"""An untrained TINY that recalls by initialisation, and parts to read."""

import numpy as np
import pytest

import pollux

WORDS = (
    "stone river lamp seven copper meadow quiet harbour glass ember north ladder violet drum salt"
).split()


@pytest.fixture(scope="session")
def model(weights):
    return pollux.load(weights)


def story(seed: int, lines: int) -> str:
    rng = np.random.default_rng(seed)
    return "".join(" ".join(rng.choice(WORDS, rng.integers(3, 12))) + ".\n" for _ in range(lines))


@pytest.fixture(scope="session")
def parts():
    """Three parts of uneven length, the last with Chinese and code."""
    texts = story(1, 90), story(2, 7), "def main():\n    return 1\n第一章 开始。\n" + story(3, 40)
    return [pollux.Part(name=f"{i}.txt", kind="text", text=text) for i, text in enumerate(texts)]
