# SPDX-License-Identifier: Apache-2.0
"""Words of a question are found in any form, whole words only, and count by how rare they are."""

import re

import numpy as np
import pytest

import pollux
from pollux.config import BLOCK
from pollux.engine import terms as module
from pollux.engine.terms import forms, pieces

TEXT = """The lighthouses were painted. A painter paints; Painting is what PAINTERS do.
repainted and paint-box (paint) "paint" paint2, unpainted. Lighthouse keeping, the keeper's keys.
"""


@pytest.fixture(scope="module")
def known(model):
    return pieces(model.loaded.tokenizer)


def read(model, *texts):
    parts = [pollux.Part(name=f"{n}.txt", kind="text", text=text) for n, text in enumerate(texts)]
    return model.read(*parts)


def terms(model, known, reading, question, weight=1.0):
    asked = model.loaded.tokenizer.encode(question)
    return module.terms(reading, known, asked, np.full(len(asked), weight, np.float32))


def found(model, known, reading, word):
    """What stands where the word was found, as far as letters and digits go."""
    spots = terms(model, known, reading, word).at[0].tolist()
    texts = (model.loaded.tokenizer.decode(reading.tokens[at : at + 8]) for at in spots)
    return [re.search(r"\w+", text)[0] for text in texts]


def test_other_forms_are_found_and_parts_of_words_are_not(model, known):
    words = found(model, known, read(model, TEXT), "painted")
    assert words == ["painted", "painter", "paints", "Painting", "PAINTERS"] + ["paint"] * 3
    assert found(model, known, read(model, TEXT), "lighthouse") == ["lighthouses", "Lighthouse"]


def test_equals_a_search_of_the_text(model, known, parts):
    reading = model.read(*parts)
    text = "\n".join(part.text for part in parts).lower()
    for word in ("which", "other", "name", "number", "nowhere"):
        pattern = rf"(?<![^\W_])(?:{'|'.join(map(re.escape, sorted(forms(word))))})(?![^\W_])"
        expected = len(re.findall(pattern, text))
        assert len(terms(model, known, reading, word).at[0]) == expected


def test_rare_words_weigh_more(model, known):
    lines = ["the river runs past the mill\n"] * 300
    lines[150] = "the heron stands in the river\n"
    reading = read(model, "".join(lines))
    made = terms(model, known, reading, "Is the heron in the river, a unicorn too?")
    words = "is the heron in river a unicorn too".split()
    weight = dict(zip(words, made.rare, strict=True))
    assert weight["heron"] > 2 and weight["river"] == weight["the"] == weight["unicorn"] == 0
    counts = made.counts()
    assert counts.shape == (8, made.blocks)
    [block] = np.flatnonzero(counts[2])
    score = made.score(counts)
    assert score.argmax() == block
    between = made.between(int(block) * BLOCK, int(block + 1) * BLOCK)
    np.testing.assert_array_equal(between, counts[:, block])


def test_words_to_the_point_weigh_more(model, known):
    reading = read(model, TEXT + "a quiet line of other words\n" * 60)
    once, twice = (terms(model, known, reading, "keeper", weight) for weight in (1.0, 4.0))
    np.testing.assert_allclose(twice.rare, 2 * once.rare)


def test_pairs_of_han_characters(model, known):
    text = "中国历史上的海军。国历不是历国，2008年在北京。\n"
    reading = read(model, text * 3)
    made = terms(model, known, reading, "中国历史2008年？")
    size = len(made.at)
    assert size == 4 and [len(at) for at in made.at] == [3, 3, 6, 3]  # 2008, 中国, 国历, 历史


def test_words_on_the_edge_of_parts(model, known, monkeypatch):
    reading = read(model, TEXT * 8)
    whole = terms(model, known, reading, "painter keeping")
    for size in (7, 64, 101):
        monkeypatch.setattr(module, "PART", size)
        again = terms(model, known, reading, "painter keeping")
        assert all(np.array_equal(a, b) for a, b in zip(whole.at, again.at, strict=True))


def test_questions_without_words(model, known):
    made = terms(model, known, read(model, TEXT), "?!")
    assert made.counts().shape == (0, made.blocks)
    assert not made.score(made.counts()).any()


def test_endings():
    assert {"families", "family"} <= forms("family") & forms("families")
    assert "stop" in forms("stopping") and "describe" in forms("describing")
    assert "ring" not in forms("r") and forms("is") >= {"is"}
