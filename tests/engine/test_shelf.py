# SPDX-License-Identifier: Apache-2.0
"""Read once: the second time the kept reading is opened."""

import numpy as np
import pytest

from pollux.engine import shelf


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POLLUX_CACHE", str(tmp_path))


def test_second_time_is_opened_and_equal(model, parts):
    first, was_there = shelf.read_or_open(model.loaded, parts)
    assert not was_there
    second, was_there = shelf.read_or_open(model.loaded, parts)
    assert was_there
    assert np.array_equal(first.keys, second.keys)


def test_changed_text_is_read_again(model, parts):
    shelf.read_or_open(model.loaded, parts)
    _, was_there = shelf.read_or_open(model.loaded, parts[:2])
    assert not was_there


def test_damaged_reading_is_made_again(model, parts):
    first, _ = shelf.read_or_open(model.loaded, parts)
    assert first.path is not None
    (first.path / "manifest.json").write_text("{")
    again, was_there = shelf.read_or_open(model.loaded, parts)
    assert not was_there
    again.verify()


def test_longest_unused_goes_first(model, parts, monkeypatch):
    first, _ = shelf.read_or_open(model.loaded, parts[:1])
    monkeypatch.setattr(shelf, "SHELF_BYTES", 1)
    second, _ = shelf.read_or_open(model.loaded, parts[1:])
    assert first.path is not None and second.path is not None
    assert not first.path.exists()
    assert second.path.exists()
