# SPDX-License-Identifier: Apache-2.0
"""Runs before any test module, and so before jax, is imported."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["JAX_PLATFORMS"] = "cpu"
# Most of the time goes into compiling: so not too well, and what one test compiled no other does.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
compiled = Path(__file__).parents[1] / ".pytest_cache" / "compiled"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(compiled))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# An example that compiles something is slow, not wrong; the same examples every time.
settings.register_profile("pollux", deadline=None, derandomize=True)
settings.load_profile("pollux")


LONG = ("train", "sharding")  # folders with files that take minutes


def pytest_collection_modifyitems(items):
    """Long files first, so that no worker waits for another's last one."""
    items.sort(key=lambda item: item.path.parent.name not in LONG)


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A file of untrained TINY weights: they recall by initialisation."""
    import jax

    from pollux import checkpoint, params
    from pollux.config import TINY
    from pollux.model import decoder

    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    checkpoint.save(path, params.initialise(decoder.declare(TINY), jax.random.key(0)), TINY, {})
    return path


@pytest.fixture(scope="session")
def senses():
    """The architecture TINY with eyes and ears."""
    from dataclasses import replace

    from pollux.config import TINY, Audio, Vision

    eyes, ears = Vision(hidden_dim=24, channels=4, sides=4), Audio(hidden_dim=20)
    return replace(TINY, name="tiny-senses", vision=eyes, audio=ears)


@pytest.fixture(scope="session")
def sensing(senses, tmp_path_factory):
    """A file of untrained weights of that."""
    import jax

    from pollux import checkpoint, params
    from pollux.model import decoder

    path = tmp_path_factory.mktemp("weights") / "senses.safetensors"
    fresh = params.initialise(decoder.declare(senses), jax.random.key(0))
    checkpoint.save(path, fresh, senses, {})
    return path


@pytest.fixture(scope="session")
def drawing_weights(tmp_path_factory):
    """A file of untrained weights of TINY that can draw."""
    from dataclasses import replace

    import jax

    from pollux import checkpoint, params
    from pollux.config import TINY, Picture
    from pollux.model import decoder, picture

    hand = Picture(channels=8, levels=(4, 3))
    config = replace(TINY, name="tiny-draws", picture=hand, image_codes=hand.codes)
    path = tmp_path_factory.mktemp("weights") / "draws.safetensors"
    made = [
        jax.jit(lambda key, declared=declared: params.initialise(declared, key))(jax.random.key(0))
        for declared in (decoder.declare(config), picture.declare(hand))
    ]
    checkpoint.save(path, made[0], config, {}, made[1])
    return path


@pytest.fixture
def wants_to_draw(monkeypatch):
    """What is not trained is made to say a word, draw, say another, draw again and end."""
    import numpy as np

    from pollux.engine import answer, drawing

    plan = [40, 9, *[None] * 65, 41, 9, *[None] * 65, 4]

    def forced(model, said, logits):
        if len(said) < len(plan) and (token := plan[len(said)]) is not None:
            logits = np.where(np.arange(len(logits)) == token, logits, drawing.FORBIDDEN)
        return drawing.in_turn(model, said, logits)

    monkeypatch.setattr(answer, "in_turn", forced)


@pytest.fixture(scope="session")
def spark():
    """The model that ships, compiled once for all tests that ask it."""
    import pollux

    return pollux.load()


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs `pollux ...` and gives exit code, standard output, standard error."""
    import sys

    from pollux import cli

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["pollux", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call
