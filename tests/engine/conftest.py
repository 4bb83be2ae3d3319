# SPDX-License-Identifier: Apache-2.0
"""An untrained TINY that recalls by initialisation, and parts to read."""

import jax
import numpy as np
import pytest

import pollux
from pollux import checkpoint, params
from pollux.config import TINY
from pollux.model import decoder

WORDS = (
    "stone river lamp seven copper meadow quiet harbour glass ember north ladder violet drum salt"
).split()


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    fresh = params.initialise(decoder.declare(TINY), jax.random.key(0))
    checkpoint.save(path, fresh, TINY, {})
    return path


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
