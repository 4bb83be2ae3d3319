# SPDX-License-Identifier: Apache-2.0
"""Words of a question are found in any form, whole words only, and count by how rare they are."""

import re

import numpy as np
import pytest

import pollux
from pollux.config import BLOCK
from pollux.engine import terms as module
from pollux.engine.terms import forms, pieces, terms

TEXT = """The lighthouses were painted. A painter paints; Painting is what PAINTERS do.
repainted and paint-box (paint) "paint" paint2, unpainted. Lighthouse keeping, the keeper's keys.
"""


@pytest.fixture(scope="module")
def known(model):
    return pieces(model.loaded.tokenizer)


def read(model, *texts):
    parts = [pollux.Part(name=f"{n}.txt", kind="text", text=text) for n, text in enumerate(texts)]
    return model.read(*parts)


def found(model, known, reading, word):
    """What stands where the word was found, as far as letters and digits go."""
    spots = terms(reading, known, word).at[0].tolist()
    texts = (model.loaded.tokenizer.decode(reading.tokens[at : at + 8]) for at in spots)
    return [re.search(r"\w+", text)[0] for text in texts]


def test_other_forms_are_found_and_parts_of_words_are_not(model, known):
    words = found(model, known, read(model, TEXT), "painted")
    assert words == ["painted", "painter", "paints", "Painting", "PAINTERS"] + ["paint"] * 3
    assert found(model, known, read(model, TEXT), "lighthouse") == ["lighthouses", "Lighthouse"]


def test_equals_a_search_of_the_text(model, known, parts):
    reading = model.read(*parts)
    text = "\n".join(part.text for part in parts).lower()
    for word in ("part", "other", "name", "number", "nowhere"):
        pattern = rf"(?<![^\W_])(?:{'|'.join(map(re.escape, sorted(forms(word))))})(?![^\W_])"
        expected = len(re.findall(pattern, text))
        assert len(terms(reading, known, word).at[0]) == expected


def test_rare_words_weigh_more(model, known):
    lines = ["the river runs past the mill\n"] * 300
    lines[150] = "the heron stands in the river\n"
    reading = read(model, "".join(lines))
    made = terms(reading, known, "Is the heron in the river, a unicorn too?")
    weight = dict(zip("heron river unicorn too".split(), made.rare, strict=True))  # no "the"
    assert weight["heron"] > 2 and weight["river"] == weight["unicorn"] == 0
    counts = made.counts()
    assert counts.shape == (4, made.blocks)
    [block] = np.flatnonzero(counts[0])
    score = made.score(counts)
    assert score.argmax() == block
    between = made.between(int(block) * BLOCK, int(block + 1) * BLOCK)
    np.testing.assert_array_equal(between, counts[:, block])


def test_questions_that_are_hardly_of_words(model, known):
    reading = read(model, "2008年，在北京。\n" + "中国历史上的海军。\n" * 60)
    few, all_ = (terms(reading, known, text) for text in ("海军在中国的历史2008？", "2008"))
    assert len(few.at) == 1 and 0 < few.rare[0] < 0.5 * all_.rare[0]


def test_words_on_the_edge_of_parts(model, known, monkeypatch):
    reading = read(model, TEXT * 8)
    whole = terms(reading, known, "painter keeping")
    for size in (7, 64, 101):
        monkeypatch.setattr(module, "PART", size)
        again = terms(reading, known, "painter keeping")
        assert all(np.array_equal(a, b) for a, b in zip(whole.at, again.at, strict=True))


def test_questions_without_words(model, known):
    made = terms(read(model, TEXT), known, "?!")
    assert made.counts().shape == (0, made.blocks)
    assert not made.score(made.counts()).any()


def test_endings():
    assert {"families", "family"} <= forms("family") & forms("families")
    assert "stop" in forms("stopping") and "describe" in forms("describing")
    assert "ring" not in forms("r") and forms("is") >= {"is"}
