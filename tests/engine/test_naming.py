# SPDX-License-Identifier: Apache-2.0
"""Things in pictures get their names, wherever they stand and however large they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pollux.config import PLACE, UNNAMED
from pollux.engine import naming
from pollux.engine.media import digest_of
from pollux.engine.naming import Thing
from pollux.media.content import Content
from pollux.media.part import KINDS
from pollux.media.stream import media_part

ICONS = Path(__file__).parent / "icons"  # of Fluent Emoji, MIT: a style that training has not


def drawn(name, size=(128, 128), at=(0.5, 0.5), share=0.8, ground="white"):
    """An icon in a picture; its middle and its longer side as shares of the picture."""
    canvas = Image.new("RGB", size, ground)
    icon = Image.open(ICONS / f"{name}.png").convert("RGBA")
    side = round(share * min(size))
    icon = icon.resize((side, side))
    corner = tuple(round(p * n - side / 2) for p, n in zip(at, size, strict=True))
    canvas.paste(icon, corner, icon)
    return np.asarray(canvas)


def names(pixels):
    return [thing.name for thing in naming.things(pixels)]


@pytest.mark.parametrize("name", [path.stem for path in sorted(ICONS.glob("*.png"))])
def test_the_shipped_namer_knows_things(name):
    assert names(drawn(name)) == [name]
    assert names(drawn(name, (320, 240), ground="skyblue")) == [name]
    assert naming.best(drawn(name), 5)[0] == name


def test_a_picture_is_asked_about(spark, tmp_path):
    path = tmp_path / "sign.png"
    Image.fromarray(drawn("rocket", (480, 480))).save(path)
    answer = spark.ask(spark.read(path), "What does the picture sign.png show?")
    assert answer.text == "The picture sign.png shows rocket" and answer.kind == "answer"
    assert str(answer.sources[0].place) == "sign.png"


def test_another_namer_looks_again(spark, tmp_path, monkeypatch):
    path = tmp_path / "sign.png"
    Image.fromarray(drawn("rocket")).save(path)
    part = media_part(Content(path=path), "sign.png", "image", KINDS)
    before = digest_of(spark.loaded, part)
    other = replace(naming.shipped(), fingerprint="another")
    monkeypatch.setattr(naming, "shipped", lambda: other)
    assert digest_of(spark.loaded, part) != before


def test_plain_colour_and_noise_show_nothing():
    noise = np.random.default_rng(0).integers(90, 130, (200, 300, 3)).astype(np.uint8)
    for pixels in (np.zeros((64, 64, 3), np.uint8), np.full((20, 500, 3), 200, np.uint8), noise):
        assert not naming.things(pixels)


@pytest.mark.parametrize("shape", [(16, 16), (64, 90), (65, 200), (130, 64)])
def test_tiles_are_put_together(shape, monkeypatch):
    """What is said of a place depends on what is around it only, so tiles leave no seams."""

    def verdicts(weights, tiles):
        side = naming.TILE // PLACE
        blocks = np.asarray(tiles, np.float32).reshape(len(tiles), side, PLACE, side, PLACE, 3)
        return np.broadcast_to(blocks.mean((2, 4, 5))[..., None], (len(tiles), side, side, 2))

    monkeypatch.setattr(naming, "_probabilities", verdicts)
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    high, wide = (-(-side // PLACE) for side in shape)
    lack = ((0, high * PLACE - shape[0]), (0, wide * PLACE - shape[1]), (0, 0))
    whole = np.pad(pixels, lack, "edge").astype(np.float32)
    expected = whole.reshape(high, PLACE, wide, PLACE, 3).mean((1, 3, 4))
    np.testing.assert_allclose(naming.places_of(pixels)[..., UNNAMED], expected, rtol=1e-5)


def thing(row, column, side, there=0.9):
    return Thing((np.ones(2, np.float32),), there, row, column, side)


def test_one_thing_in_several_sizes_is_one():
    small, large = thing(40.0, 44.0, 64.0), thing(50.0, 50.0, 90.0)
    assert small.covers(large) and large.covers(small)
    assert not small.covers(thing(140.0, 44.0, 64.0))


def test_sides_are_kept():
    names = naming.shipped().names
    sided = {name for name, is_sided in zip(names, naming._sided()[1:], strict=True) if is_sided}
    assert {"left arrow", "right arrow"} <= sided and "banana" not in sided
