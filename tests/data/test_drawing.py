# SPDX-License-Identifier: Apache-2.0
"""Drawing as examples: what is asked for is what the codes are of, whatever the wording."""

import dataclasses

import numpy as np
import pytest

from pollux.config import DRAWN_CODES
from pollux.data import drawing, held_out, icons, mixture
from pollux.data.drawn import Drawing, Drawings, firsts
from pollux.data.stage import Stage
from pollux.errors import RecipeError
from tests.data.test_wording import runs

CODES = 1_000
THINGS = {  # and the sets that have them
    "red apple": ("twemoji", "noto"),
    "old key": ("mdi", "openmoji"),
    "scissors": ("lucide",),
    "anchor": ("game-icons", "noto"),
}
MADE = 300


@pytest.fixture(scope="module")
def drawings(tokenizer):
    """No two have the same codes."""
    rng = np.random.default_rng(0)

    def ids():
        return drawing.ids_of(rng.integers(0, CODES, DRAWN_CODES), tokenizer.vocab_size)

    made, first = [], firsts((name, style) for name in THINGS for style in THINGS[name])
    for name, styles in THINGS.items():
        for style in styles:
            outline = style in ("mdi", "lucide", "game-icons")
            stepwise = (name, style) in first and not outline
            steps = ((f"{name}: shape", ids()), (f"{name}: grey", ids())) if stepwise else ()
            made.append(Drawing(name, style, ids(), steps))
    return Drawings(tuple(made))


@pytest.fixture(scope="module")
def drawer(kit, drawings):
    return dataclasses.replace(kit, drawings=drawings)


def lines(kit, answer):
    """Of an answer: text and picture in turn; nothing else may be in it."""
    begin, end = kit.control("<begin_image>"), kit.control("<end_image>")
    *tokens, last = answer.tokens
    assert last == kit.control("<end>")
    found = []
    while tokens:
        at = tokens.index(begin)
        picture, rest = tokens[at + 1 : at + 1 + DRAWN_CODES], tokens[at + 1 + DRAWN_CODES :]
        found.append((kit.tokenizer.decode(tokens[:at]), tuple(picture)))
        assert rest[0] == end
        assert (rest[1:2] or [kit.tokenizer.newline])[0] == kit.tokenizer.newline
        tokens = rest[2:]
    return found


def examples(kit, number=MADE, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(number):
        asked, answer = drawing.question(kit, rng)
        yield kit.tokenizer.decode(asked), answer


def test_what_is_asked_for_is_drawn(drawer, drawings):
    """In the style that is named, else in that which is always drawn."""
    counts = {"one": 0, "styled": 0, "several": 0, "steps": 0}
    for asked, answer in examples(drawer):
        made = lines(drawer, answer)
        spoken = {"noto", "twemoji", "openmoji", "material", "lucide", "game icon"}
        named = [style for style in spoken if style in asked]
        if ":" in made[0][0]:
            counts["steps"] += 1
            (one,) = {text.split(":")[0].strip() for text, _ in made}
            first = drawings.by_name[one][0]
            wanted = [*first.steps, (one, first.ids)]
            assert one.lower() in asked.lower() and not named
            assert [(text.strip(), ids) for text, ids in made] == wanted
            continue
        counts["one" if len(made) == 1 else "several"] += 1
        counts["styled"] += len(named)
        for text, ids in made:
            assert text.strip() in asked.lower()
            several = drawings.by_name[text.strip()]
            styled = [one for one in several if drawing.STYLES[one.style] in named]
            assert ids == (styled or several)[0].ids
    assert all(count > MADE / 12 for count in counts.values())


def test_the_first_of_the_styles(drawings):
    assert {name: several[0].style for name, several in drawings.by_name.items()} == {
        "red apple": "noto",
        "old key": "openmoji",
        "scissors": "lucide",
        "anchor": "noto",
    }
    assert drawings.stepwise == ["anchor", "old key", "red apple"]


def test_wordings():
    """Many, and none of an evaluation nor half of one."""
    rng = np.random.default_rng(1)
    made = {drawing.wording(rng, "{n}", None, bool(i % 4 == 0)) for i in range(2_000)}
    assert len(made) > 400
    assert all(text.count("{n}") == 1 and "  " not in text for text in made)
    for wording in held_out.WORDINGS:
        wanted = runs(wording)
        assert all(len(wanted & runs(text)) < max(1, len(wanted) / 2) for text in made)


def test_articles():
    names = ["apple", "red apple", "scissors", "glass"]
    assert [drawing.with_article(name) for name in names] == [
        "an apple",
        "a red apple",
        "scissors",
        "a glass",
    ]


def test_rows_of_drawings(drawer, kit, tokenizer):
    stage = Stage(
        steps=1,
        rows=2,
        length=512,
        supervised=320,
        questions=0.9,
        genres={drawing.GENRE: 1.0},
        skills={"find": 1.0},
    )
    batch = mixture.batch(drawer, stage, np.random.default_rng(0))
    coded = batch["target"] >= tokenizer.vocab_size
    assert coded.sum() >= DRAWN_CODES and coded.sum() % DRAWN_CODES == 0
    assert (batch["weight"][coded] >= 1).all() and (batch["look"][coded] == 0).all()
    following = batch["tokens"].reshape(-1)[batch["at"][coded] + 1]
    np.testing.assert_array_equal(following, batch["target"][coded])
    with pytest.raises(RecipeError, match="there is nothing to draw"):
        mixture.batch(kit, stage, np.random.default_rng(0))


def test_icons_on_a_plain_ground(materials):
    art = materials[False].art
    for icon in art.icons:
        made = icons.picture(art, icon)
        assert made.shape == (64, 64, 3) and (made[0, 0] == 255).all()
        assert (made[32, 32] == (0 if icon.outline else (255, 0, 0))).all()
        before = icons.steps(art, icon)
        assert [*before] == ([] if icon.outline else [f"{icon.name}: shape", f"{icon.name}: grey"])
        for pixels in before.values():
            assert pixels.shape == made.shape and (pixels[0, 0] == 255).all()
            assert np.ptp(pixels[32, 32]) == 0 < 255 - pixels[32, 32, 0]
    moved = icons.picture(art, art.icons[0], ground=(9, 9, 9), longer=20, shift=(0.5, -0.5))
    assert (moved[0, 0] == 9).all() and (moved[10, 54] != 9).any()


def test_a_batch_depends_on_its_number_alone(materials):
    art = materials[False].art
    whole = [*icons.batches(art, 3, 4, 7, 0)]
    rest = [*icons.batches(art, 3, 4, 7, 2)]
    np.testing.assert_array_equal(whole[2:], rest)
    assert len(whole) == 4 and whole[0].shape == (3, 64, 64, 3)
    assert not np.array_equal(whole[0], whole[1])
