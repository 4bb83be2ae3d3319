# SPDX-License-Identifier: Apache-2.0
"""Letters that were spotted are rows, and say where writing is and how large."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from pollux.config import CELL, LETTERS, NOTHING, SPACE
from pollux.data import art
from pollux.engine import spotting
from pollux.engine.spotting import rows_of


def cells(*spotted, rows=8, columns=60):
    """Nothing but what is given: row, column, sign and how sure."""
    made = np.zeros((rows, columns, NOTHING + 1), np.float32)
    made[..., NOTHING] = 1
    for row, column, sign, sure in spotted:
        made[row, column, NOTHING] = 1 - sure
        made[row, column, SPACE if sign == " " else LETTERS.index(sign)] = sure
    return made


def word(text, row=3, column=2, step=3, sure=0.95):
    return [(row, column + step * n, sign, sure) for n, sign in enumerate(text)]


def ends(*spotted):
    """In columns, of each row."""
    rows = rows_of(cells(*spotted))
    return [(row.begin[0] / CELL[1], row.end[0] / CELL[1]) for row in rows]


def test_letters_in_a_row_are_one():
    [(begin, end)] = ends(*word("blue door"))
    assert 0 < begin <= 2 and 26 < end < 30
    assert len(ends(*word("blue", row=1), *word("door", row=5))) == 2
    assert len(ends(*word("blue"), *word("door", column=40))) == 2


def test_a_row_may_climb():
    letters = word("slopesup", row=1)
    climbing = [(1 + n // 2, column, sign, p) for n, (_, column, sign, p) in enumerate(letters)]
    [row] = rows_of(cells(*climbing))
    assert row.end[1] - row.begin[1] > 2 * CELL[0]
    [level] = rows_of(cells(*letters))
    assert level.end[1] == level.begin[1]


def test_a_letter_seen_in_two_cells_is_one():
    twice = [*word("garden"), (3, 6, "a", 0.8), (4, 12, "d", 0.7)]
    assert ends(*twice) == ends(*word("garden"))


def test_spaces_are_where_it_may_be_cut():
    [row] = rows_of(cells(*word("blue door")))
    assert row.spaces == ((2 + 3 * 4 + 0.5) * CELL[1],)


def test_what_is_hardly_there_is_left_out():
    assert not ends(*word("ghost", sure=0.3))
    assert ends(*word("ghost", sure=0.5))


@pytest.mark.parametrize("size", [14, 18, 24, 29])
def test_the_size_is_that_of_the_font(size):
    canvas = Image.new("L", (320, 64), 30)
    font = ImageFont.truetype(art.plain_face(), size)
    ImageDraw.Draw(canvas).text((20, 20), "harbour open", 220, font)
    [row] = rows_of(spotting.cells_of(np.asarray(canvas)))
    assert abs(np.log(row.size / size)) < 0.3
    assert (
        abs(row.begin[0] - 20) < size
        and abs(row.end[0] - 20 - font.getlength("harbour open")) < size
    )


@pytest.mark.parametrize("shape", [(20, 40), (160, 256), (170, 300), (384, 512), (400, 1100)])
def test_tiles_are_put_together(shape, monkeypatch):
    """What is said of a cell depends on what is around it only, so tiles leave no seams."""

    def spot(weights, grey):
        high, wide = (side // cell for side, cell in zip(grey.shape, spotting.CELL, strict=True))
        means = np.asarray(grey, np.float32).reshape(high, spotting.CELL[0], wide, -1).mean((1, 3))
        return np.broadcast_to(means[..., None], (high, wide, NOTHING + 1))

    monkeypatch.setattr(spotting, "_probabilities", spot)
    light = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    got = spotting.cells_of(light)
    padded = np.pad(light, [(0, -shape[0] % 8), (0, -shape[1] % 8)], "edge")
    expected = np.asarray(spot(None, padded))
    assert np.allclose(got, expected[: got.shape[0], : got.shape[1]])


def test_enlarged_and_reduced_keep_the_light():
    light = np.tile(np.arange(0, 240, 4, np.uint8), (40, 1))
    sizes = {scale: scaled.shape for scale, scaled in spotting.scaled(light)}
    assert sizes == {2.0: (80, 120), 1.0: (40, 60), 0.5: (20, 30)}
    for _, scaled in spotting.scaled(light):
        assert abs(float(scaled.mean()) - float(light.mean())) < 1
        assert (np.diff(scaled.astype(int), axis=1) >= 0).all()
