# SPDX-License-Identifier: Apache-2.0
"""Runs before any test module, and so before jax, is imported."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["JAX_PLATFORMS"] = "cpu"
# Most of the time goes into compiling: what one test compiled no other does again.
compiled = Path(__file__).parents[1] / ".pytest_cache" / "compiled"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(compiled))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# An example that compiles something is slow, not wrong; the same examples every time.
settings.register_profile("pollux", deadline=None, derandomize=True)
settings.load_profile("pollux")


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
def spark():
    """The model that ships, compiled once for all tests that ask it."""
    import pollux

    return pollux.load()
