# SPDX-License-Identifier: Apache-2.0
"""Letters drawn fast: each is where it is said to be."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from pollux.config import CELL, LETTERS, NOTHING, SPACE
from pollux.data import art, held_out, letters
from pollux.errors import RecipeError


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Fonts that come with matplotlib, of training and held out."""
    folder = tmp_path_factory.mktemp("nothing")
    return {evaluation: art.art(folder, evaluation) for evaluation in (False, True)}


def laid(text, size, at):
    """A line of DejaVu Sans that stands at these pixels, its letters one after another."""
    drawn = letters.glyphs(art.plain_face(), 0, size)
    own = np.array([LETTERS.index(sign) for sign in text])
    pens = np.concatenate([[0.0], np.cumsum(drawn.wide[own])[:-1]])
    line = letters._set(drawn, own, np.zeros(len(own), int), pens)
    origin = np.array([line.ends[0, 0], line.base])
    return line, letters.Bent(np.eye(2), np.array(at, float), origin)


def test_ink_is_where_letters_are():
    line, bent = laid("near", 20, (18, 26))
    canvas = np.full((32, 96, 3), 255, np.float32)
    letters.write(canvas, np.random.default_rng(1), line.mask, bent)
    changed = np.flatnonzero((canvas != 255).any((0, 2)))
    ends = bent.of(np.stack([line.ends.ravel(), np.zeros(8)], 1))[:, 0]
    assert ends.min() - 2 < changed.min() and changed.max() < ends.max() + 2
    assert abs(changed.max() - ends.max()) < 4


def test_cells_say_which_letter_is_there(plain, monkeypatch):
    """Drawn upright in one size and unworn, black on white: there is ink where letters are."""
    monkeypatch.setattr(letters, "size_of", lambda rng: 24.0)
    monkeypatch.setattr(letters, "worn", lambda canvas, rng: canvas.astype(np.uint8))
    monkeypatch.setattr(letters, "standing_out", lambda rng, mean: np.zeros(3, np.float32))
    white = lambda art, rng, height, width: np.full((height, width, 3), 255.0, np.float32)  # noqa: E731
    monkeypatch.setattr(letters, "background", white)
    rng, inked, marked = np.random.default_rng(0), [], 0
    for _ in range(6):
        pixels, cells = letters.page(plain[False], rng, 192, 320)
        dark = np.abs(pixels[..., 0].astype(int) - pixels[0, 0, 0]) > 100
        for row, column in np.argwhere((cells >= 0) & (cells < SPACE)):
            top, left = row * CELL[0], column * CELL[1]
            inked.append(dark[max(0, top - 12) : top + 20, max(0, left - 4) : left + 8].any())
            marked += 1
    assert marked > 150 and np.mean(inked) > 0.98


@pytest.mark.parametrize("evaluation", [False, True])
def test_batch(plain, evaluation):
    made = letters.batch(plain[evaluation], np.random.default_rng(0), 3, 128, 192, evaluation)
    assert made.grey.shape == (3, 128, 192) and made.grey.dtype == np.uint8
    assert made.cells.shape == (3, 128 // CELL[0], 192 // CELL[1])
    assert made.cells.min() >= letters.UNKNOWN and made.cells.max() == NOTHING
    there = (made.cells >= 0) & (made.cells < SPACE)
    assert 0.005 < there.mean() < 0.2 and (made.cells == SPACE).any()
    assert len({*made.cells[there].tolist()}) > 20  # of the letters
    again = letters.batch(plain[evaluation], np.random.default_rng(0), 3, 128, 192, evaluation)
    assert all(np.array_equal(a, b) for a, b in zip(made, again, strict=True))


def test_letters_far_from_their_size_are_nothing(plain, monkeypatch):
    for size in (letters.LARGE[0], letters.SMALL_SIZES[1]):
        monkeypatch.setattr(letters, "size_of", lambda rng, size=size: size)
        _, cells = letters.page(plain[False], np.random.default_rng(1), 192, 320)
        assert (cells == NOTHING).all()


def test_pictures_and_noise_are_behind(materials, monkeypatch):
    """With icons and photographs, and all that makes a picture bad."""
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (90, 120, 3)).astype(np.uint8))
    monkeypatch.setattr(letters, "photo_image", lambda art, name: photo)
    drawn = dataclasses.replace(materials[False].art, photos=("photo.png",))
    assert drawn.icons
    for _ in range(20):
        pixels, cells = letters.page(drawn, rng, 64, 128)
        assert pixels.dtype == np.uint8 and pixels.shape == (64, 128, 3)
        assert ((cells >= letters.UNKNOWN) & (cells <= NOTHING)).all()


@pytest.mark.parametrize("evaluation", [False, True])
def test_words_are_of_one_side(evaluation):
    drawn, rng = letters.glyphs(art.plain_face(), 0, 12), np.random.default_rng(0)
    for room in (40.0, 90.0, 200.0) * 4:
        line = letters.line(rng, drawn, room, evaluation)
        for number in set(() if line is None else line.word.tolist()):
            signs = [LETTERS[n] for n in line.letters[line.word == number]]
            text = "".join(sign for sign in signs if sign.isalnum())
            assert not text or held_out.word(text) == evaluation
            assert line.ends.max() <= room + 14


def test_what_a_face_has_not_is_not_drawn(monkeypatch):
    drawn = letters.glyphs(art.plain_face(), 0, 16)
    nothing = np.zeros((0, 0), np.uint8)
    masks = [nothing if sign in "aeiou" else drawn.masks[n] for n, sign in enumerate(LETTERS)]
    few = letters.Glyphs(masks=(*masks,), box=drawn.box, wide=drawn.wide, space=drawn.space)
    line = letters.line(np.random.default_rng(0), few, 900.0, False)
    assert len(line.letters) > 50
    assert not {LETTERS[n] for n in line.letters} & {*"aeiou"}


def test_without_fonts(tmp_path):
    with pytest.raises(RecipeError, match="no fonts to draw with"):
        letters.batch(art.Art(tmp_path, (), (), ()), np.random.default_rng(0), 1, 64, 64)


def test_folding_is_of_case():
    folded = {sign: LETTERS[letters.FOLDED[n]] for n, sign in enumerate(LETTERS)}
    assert (folded["Q"], folded["q"], folded["7"], folded["%"]) == ("q", "q", "7", "%")
