# SPDX-License-Identifier: Apache-2.0
"""Weights come back as they were written; what is no weights says so in one line."""

import dataclasses
import json
import resource
import struct
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from pollux import checkpoint, params
from pollux.config import TINY, Audio, Picture, Spotter, Vision, dense_twin
from pollux.errors import PolluxError, SpaceError, WeightsError
from pollux.model import decoder, picture, spotter

CONFIG = dataclasses.replace(TINY, vocab_size=64)
SENSES = dataclasses.replace(
    CONFIG,
    name="senses",
    vision=Vision(hidden_dim=8, channels=2, sides=2),
    audio=Audio(hidden_dim=8),
)


def fresh(config=CONFIG, seed=0):
    return params.initialise(decoder.declare(config), jax.random.key(seed))


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "spark.safetensors"
    checkpoint.save(path, fresh(), CONFIG, {"steps": "12"})
    return path


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "spark.safetensors"
    checkpoint.save(path, fresh(), CONFIG, {"steps": "12"})
    return path.read_bytes()


def refused(path: Path, words: str) -> None:
    with pytest.raises(WeightsError, match=words) as raised:
        checkpoint.load(path)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


def rewrite(path: Path, change=lambda arrays: arrays, **described) -> None:
    """The file again, with other arrays or metadata."""
    with safetensors.safe_open(path, "numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}
        metadata = {**file.metadata(), **described}
    metadata.pop("sha256", None)
    safetensors.numpy.save_file(change(arrays), path, metadata)


@pytest.mark.parametrize("config", [CONFIG, dense_twin(CONFIG), SENSES], ids=lambda c: c.name)
def test_round_trip(tmp_path, config):
    weights = fresh(config)
    path = tmp_path / "deep" / "er" / "w.safetensors"
    checkpoint.save(path, weights, config, {"steps": "12", "recipe": "tiny"})
    loaded, described, fingerprint = checkpoint.load(path)
    assert described == config
    assert jax.tree.structure(loaded) == jax.tree.structure(weights)
    for before, after in zip(jax.tree.leaves(weights), jax.tree.leaves(loaded), strict=True):
        assert after.dtype == np.float32
        assert np.array_equal(np.asarray(before, np.float16), np.asarray(after, np.float16))
    assert len(fingerprint) == 16
    with safetensors.safe_open(path, "numpy") as file:
        assert file.metadata()["recipe"] == "tiny"
    assert [p.name for p in path.parent.iterdir()] == ["w.safetensors"]


def test_fingerprint_is_that_of_the_weights(tmp_path):
    prints = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        checkpoint.save(tmp_path / name, fresh(seed=seed), CONFIG, {})
        prints.append(checkpoint.load(tmp_path / name)[2])
    assert prints[0] == prints[1] != prints[2]


def test_weights_without_checksum_load(saved):
    rewrite(saved)
    assert checkpoint.load(saved)[1] == CONFIG


def test_missing(tmp_path, saved):
    refused(tmp_path / "none.safetensors", "no weights at")
    refused(tmp_path, "no weights at")
    refused(saved / "below", "no weights at")


@given(st.data())
@settings(max_examples=25)
def test_truncated(tmp_path_factory, content, data):
    path = tmp_path_factory.mktemp("cut") / "w.safetensors"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    refused(path, "cannot read|no Pollux weights")


@given(st.data())
@settings(max_examples=25)
def test_flipped_numbers(tmp_path_factory, content, data):
    path = tmp_path_factory.mktemp("flip") / "w.safetensors"
    first = 8 + struct.unpack("<Q", content[:8])[0]
    at = data.draw(st.integers(first, len(content) - 1))
    flipped = content[at] ^ (1 << data.draw(st.integers(0, 7)))
    path.write_bytes(content[:at] + bytes([flipped]) + content[at + 1 :])
    refused(path, "checksum")


@given(st.data())
@settings(max_examples=50)
def test_flipped_header(tmp_path_factory, content, data):
    """Loads as before (a remark changed) or says what is wrong."""
    path = tmp_path_factory.mktemp("header") / "w.safetensors"
    at = data.draw(st.integers(0, 7 + struct.unpack("<Q", content[:8])[0]))
    flipped = content[at] ^ (1 << data.draw(st.integers(0, 7)))
    path.write_bytes(content[:at] + bytes([flipped]) + content[at + 1 :])
    try:
        loaded, _, _ = checkpoint.load(path)
    except PolluxError:
        return
    assert params.count(loaded) == params.count(decoder.declare(CONFIG))


@pytest.mark.parametrize("junk", [b"", b"hello", b"\xff" * 99, b"\x02" + b"\0" * 7 + b"{}"])
def test_junk(tmp_path, junk):
    path = tmp_path / "junk.safetensors"
    path.write_bytes(junk)
    refused(path, "cannot read|no Pollux weights")


def test_foreign_safetensors(tmp_path):
    path = tmp_path / "foreign.safetensors"
    safetensors.numpy.save_file({"lm_head": np.zeros((2, 2), np.float16)}, path)
    refused(path, "holds no Pollux weights")
    safetensors.numpy.save_file({"lm_head": np.zeros(2, np.float16)}, path, {"format": "pt"})
    refused(path, "holds no Pollux weights .format 'pt'.")


def test_a_spotter_and_a_hand_alone_are_no_model(tmp_path):
    found, hand = tmp_path / "spotter.safetensors", tmp_path / "hand.safetensors"
    small = Spotter(channels=2)
    spotting = params.initialise(spotter.declare(small), jax.random.key(0))
    checkpoint.save_spotter(found, spotting, small, {})
    refused(found, "no model but a spotter")
    config = Picture(channels=4, levels=(4, 3))
    drawing = params.initialise(picture.declare(config), jax.random.key(0))
    checkpoint.save_hand(hand, drawing, config, {})
    refused(hand, "no model but a hand alone.*train draw --hand")


def test_what_stands_beside_a_model_is_small(tmp_path):
    """In int8, a scale a column: near what it was, and saved again the same."""
    path, small = tmp_path / "spotter.safetensors", Spotter(channels=2)
    weights = params.initialise(spotter.declare(small), jax.random.key(0))
    checkpoint.save_spotter(path, weights, small, {})
    loaded, _, fingerprint = checkpoint.load_spotter(path)
    for before, after in zip(jax.tree.leaves(weights), jax.tree.leaves(loaded), strict=True):
        most = np.abs(before).max(tuple(range(before.ndim - 1)))
        assert np.all(np.abs(np.asarray(before - after)) <= most / 250 + 1e-3 * np.abs(before))
    with safetensors.safe_open(path, "numpy") as file:
        kinds = {file.get_tensor(name).dtype for name in file.keys() if name.endswith("kernel")}
    assert kinds == {np.dtype(np.int8)}
    checkpoint.save_spotter(path, loaded, small, {})
    assert checkpoint.load_spotter(path)[2] == fingerprint


def test_scales_of_another_shape_are_refused(tmp_path):
    path, small = tmp_path / "spotter.safetensors", Spotter(channels=2)
    checkpoint.save_spotter(
        path, params.initialise(spotter.declare(small), jax.random.key(0)), small, {}
    )
    rewrite(path, lambda arrays: arrays | {"out.scale": np.ones((3, 1), np.float32)})
    with pytest.raises(WeightsError, match="out.scale has shape"):
        checkpoint.load_spotter(path)
    rewrite(path, lambda arrays: arrays | {"bias.scale": np.ones(1, np.float32)})
    with pytest.raises(WeightsError, match="too many"):
        checkpoint.load_spotter(path)


def test_wrong_arrays(saved):
    content = saved.read_bytes()
    rewrite(saved, lambda arrays: {n: x for n, x in arrays.items() if not n.startswith("read.0")})
    refused(saved, r"lacks \d+ weights, the first read\.0\.experts\.bias")
    saved.write_bytes(content)
    rewrite(saved, lambda arrays: {**arrays, "extra": np.zeros(1, np.float16)})
    refused(saved, "has 1 weights too many, the first extra")
    saved.write_bytes(content)
    rewrite(saved, lambda arrays: {**arrays, "norm": np.zeros(3, np.float16)})
    refused(saved, r"norm has shape \(3,\), not \(32,\)")


@pytest.mark.parametrize(
    "described",
    ["", "[]", "3", '{"name": "spark"}', json.dumps({**dataclasses.asdict(CONFIG), "depth": 3})],
)
def test_unknown_architecture(saved, described):
    rewrite(saved, config=described)
    with pytest.raises(WeightsError, match="describes no model this version knows"):
        checkpoint.load(saved)


def test_text_only_files_say_nothing_of_senses(saved):
    """So that Pollux from before there were any reads them too."""
    with safetensors.safe_open(saved, "numpy") as file:
        described = json.loads(file.metadata()["config"])
        assert not [name for name in file.keys() if name.startswith(("vision", "audio"))]
    assert not {"vision", "audio"} & described.keys()
    rewrite(saved, config=json.dumps({**described, "vision": {"hidden_dim": 8, "sides": 2}}))
    refused(saved, "lacks 8 weights, the first vision.colour")


def test_unwritable_place(tmp_path, saved):
    before = saved.read_bytes()
    (tmp_path / "directory").mkdir()
    for path in (saved / "below", saved / "far" / "below", tmp_path / "directory"):
        with pytest.raises(SpaceError, match="cannot write .*; free space or") as raised:
            checkpoint.save(path, fresh(seed=1), CONFIG, {})
        assert "\n" not in str(raised.value)
    assert saved.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["directory", saved.name]


@contextmanager
def files_up_to(size: int):
    """As if the disk were full: no file may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_leaves_the_old_file(tmp_path, saved):
    before, weights = saved.read_bytes(), fresh(seed=1)
    with files_up_to(10_000), pytest.raises(SpaceError, match="cannot write"):
        checkpoint.save(saved, weights, CONFIG, {})
    assert saved.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [saved.name]
