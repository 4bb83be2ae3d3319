# SPDX-License-Identifier: Apache-2.0
"""Letters drawn fast: each is where it is said to be, and where `pictures` would say it is."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from pollux.config import BORDER, PATCH, SIGHT
from pollux.data import art, held_out, letters, pictures
from pollux.errors import RecipeError


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Fonts that come with matplotlib, of training and held out."""
    folder = tmp_path_factory.mktemp("nothing")
    return {evaluation: art.art(folder, evaluation) for evaluation in (False, True)}


def laid(text, size, at):
    """A line of DejaVu Sans that stands at these pixels, its letters one after another."""
    drawn = letters.glyphs(art.plain_face(), 0, size)
    own = np.array([letters.LETTERS.index(sign) for sign in text])
    pens = np.concatenate([[0.0], np.cumsum(drawn.wide[own])[:-1]])
    line = letters._set(drawn, own, np.zeros(len(own), int), pens)
    origin = np.array([line.ends[0, 0], line.base])
    return line, letters.Bent(np.eye(2), np.array(at, float), origin)


@pytest.mark.parametrize("size, at", [(20, (18, 26)), (12, (3, 12)), (34, (5, 40)), (26, (9, 33))])
def test_letters_end_where_pictures_say(size, at):
    rows, columns, text = 4, 12, "Gamblers"
    line, bent = laid(text, size, at)
    canvas = Image.new("RGB", (columns * PATCH * pictures.SCALE, rows * PATCH * pictures.SCALE))
    font = art.face(art.plain_face(), 0, size * pictures.SCALE)
    mark = pictures.written(canvas, font, text, at, (255, 255, 255), None, 0.0, False)
    said = letters._ending(line, bent, rows, columns)
    # Faces are hinted to whole pixels: a letter at a border may end a patch further.
    apart = [abs(patch - (end - 1)) for (patch, _), (_, end) in zip(said, mark.spans, strict=True)]
    assert max(apart) <= 1 and sum(apart) <= 1
    assert all(
        kind in (letters.UNSEEN, letters.LETTERS.index(sign))
        for (_, kind), sign in zip(said, text, strict=True)
    )


def test_ink_is_where_letters_are():
    line, bent = laid("near", 20, (18, 26))
    canvas = np.full((2 * PATCH, 6 * PATCH, 3), 255, np.float32)
    letters.write(canvas, np.random.default_rng(1), line.mask, bent)
    changed = np.flatnonzero((canvas != 255).any((0, 2)))
    ends = bent.of(np.stack([line.ends.ravel(), np.zeros(8)], 1))[:, 0]
    assert ends.min() - 2 < changed.min() and changed.max() < ends.max() + 2
    assert abs(changed.max() - ends.max()) < 4


def test_last_of_a_patch_comes_first():
    a, b, c = (letters.LETTERS.index(sign) for sign in "abc")
    made = letters._letters([[(0, a), (1, b), (1, c), (1, a)], [(2, b), (0, c)]], 4)
    none, unseen = letters.NONE, letters.UNSEEN
    assert made.tolist() == [[unseen] * 2, [a, c], [b, none], [none] * 2]


@pytest.mark.parametrize("evaluation", [False, True])
def test_batch(plain, evaluation):
    made = letters.batch(plain[evaluation], np.random.default_rng(0), 300, evaluation)
    assert made.patches.shape == (300, SIGHT, SIGHT, 3) and made.patches.dtype == np.uint8
    assert made.place.shape == (300, 2) and made.letters.shape == (300, letters.EACH)
    last = made.letters[:, 0]
    assert (last >= 0).all() and made.letters.max() == letters.NONE
    assert 0 < (last == letters.NONE).mean() <= letters.EMPTY
    assert len({*last.tolist()}) > 40  # of the letters
    own = made.patches[last != letters.NONE].astype(int)
    assert (np.ptp(own, (1, 2)).max(1) > 40).all()  # something is to be seen
    both = made.letters[:, 1] != letters.NONE
    assert 0.1 < both.mean() < 0.7 and (last[both] != letters.NONE).all()
    again = letters.batch(plain[evaluation], np.random.default_rng(0), 300, evaluation)
    assert all(np.array_equal(a, b) for a, b in zip(made, again, strict=True))


def test_pictures_and_noise_are_behind(materials, monkeypatch):
    """With icons and photographs, and all that makes a picture bad."""
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (90, 120, 3)).astype(np.uint8))
    monkeypatch.setattr(letters, "photo_image", lambda art, name: photo)
    drawn = dataclasses.replace(materials[False].art, photos=("photo.png",))
    assert drawn.icons
    for _ in range(40):
        pixels, found = letters.cut(letters.picture(drawn, rng), rng)
        height, width, _ = pixels.shape
        assert pixels.dtype == np.uint8 and height % PATCH == width % PATCH == 0
        assert len(found) == height * width // PATCH**2
        assert ((found >= letters.UNSEEN) & (found <= letters.NONE)).all()


@pytest.mark.parametrize("evaluation", [False, True])
def test_words_are_of_one_side(evaluation):
    drawn, rng = letters.glyphs(art.plain_face(), 0, 12), np.random.default_rng(0)
    for room in (40.0, 90.0, 200.0) * 4:
        line = letters.line(rng, drawn, room, evaluation)
        for number in set(() if line is None else line.word.tolist()):
            signs = [letters.LETTERS[n] for n in line.letters[line.word == number]]
            text = "".join(sign for sign in signs if sign.isalnum())
            assert not text or held_out.word(text) == evaluation
            assert line.ends.max() <= room + 14


def test_what_a_face_has_not_is_not_drawn(monkeypatch):
    drawn = letters.glyphs(art.plain_face(), 0, 16)
    nothing = np.zeros((0, 0), np.uint8)
    masks = [
        nothing if sign in "aeiou" else drawn.masks[n] for n, sign in enumerate(letters.LETTERS)
    ]
    few = letters.Glyphs(masks=(*masks,), box=drawn.box, wide=drawn.wide, space=drawn.space)
    line = letters.line(np.random.default_rng(0), few, 900.0, False)
    assert len(line.letters) > 50
    assert not {letters.LETTERS[n] for n in line.letters} & {*"aeiou"}


def test_without_fonts(tmp_path):
    with pytest.raises(RecipeError, match="no fonts to draw with"):
        letters.batch(art.Art(tmp_path, (), (), ()), np.random.default_rng(0), 8)


def test_around_is_the_border_of_patches():
    assert letters.AROUND == BORDER and letters.CLASSES == len(letters.FOLDED)
    folded = {sign: letters.LETTERS[letters.FOLDED[n]] for n, sign in enumerate(letters.LETTERS)}
    assert (folded["Q"], folded["q"], folded["7"], folded["%"]) == ("q", "q", "7", "%")
