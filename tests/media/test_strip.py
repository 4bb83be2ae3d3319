# SPDX-License-Identifier: Apache-2.0
"""Strips of a picture: level, of one height, whatever the line they lie along."""

import numpy as np
import pytest

from pollux.media.strip import strip

HIGH = 32


def sloping(light, slope):
    """What lies `slope` down for each pixel across."""
    rows, columns = np.indices((200, 300))
    at = np.clip(np.rint(rows - slope * (columns - 20)), 0, light.shape[0] - 1).astype(int)
    return light[at, np.minimum(columns, light.shape[1] - 1)]


def test_a_level_strip_is_what_is_there():
    light = np.random.default_rng(0).integers(0, 256, (80, 120)).astype(np.uint8)
    cut = strip(light, np.array([10.0, 40.0]), np.array([70.0, 40.0]), 1.0, HIGH)
    assert np.array_equal(cut, light[24:56, 10:70])


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_letters_are_scaled(scale):
    light = np.tile(np.arange(200, dtype=np.uint8), (80, 1))
    cut = strip(light, np.array([20.0, 40.0]), np.array([120.0, 40.0]), scale, HIGH)
    assert cut.shape == (HIGH, round(100 / scale))
    assert abs(np.diff(cut[0].astype(int)).mean() - scale) < 0.05


def test_a_sloping_line_becomes_level():
    stripes = np.zeros((200, 300), np.uint8)
    stripes[97:103] = 255
    slope = 0.1
    light = sloping(stripes, slope)
    begin, end = np.array([20.0, 100.0]), np.array([220.0, 120.0])
    cut = strip(light, begin, end, 1.0, HIGH).astype(int)
    assert cut[HIGH // 2 - 1 : HIGH // 2 + 1, 5:-5].min() > 150
    assert cut[:10].max() == 0 and cut[-10:].max() == 0


def test_beyond_the_picture_its_edge_goes_on():
    light = np.full((20, 30), 77, np.uint8)
    cut = strip(light, np.array([-40.0, -10.0]), np.array([60.0, 50.0]), 1.3, HIGH)
    assert cut.min() == cut.max() == 77
