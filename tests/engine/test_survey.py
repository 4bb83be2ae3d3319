# SPDX-License-Identifier: Apache-2.0
"""A survey is that of every key, whatever the reading is made of, and shows where the matches are.

Untrained weights find what is said in the same words.
"""

import numpy as np
import pytest

import pollux
from pollux.config import BLOCK
from pollux.engine.answer import question_tokens
from pollux.engine.survey import RARE, WINDOW, passages, survey

SAID = "the lighthouse keeper painted four crooked windows bright yellow"


@pytest.fixture(scope="module")
def with_sentence(parts):
    first, *rest = parts
    lines = first.text.split("\n")
    lines.insert(50, f"One evening {SAID}, for no reason at all.")
    return [pollux.Part(name=first.name, kind="text", text="\n".join(lines)), *rest]


def surveyed(model, reading, question):
    asked = question_tokens(model.loaded, question)
    return survey(model.loaded, reading, model.respondent(reading).stretches, asked)


@pytest.fixture(scope="module")
def reading(model, with_sentence):
    return model.read(*with_sentence)


def test_equals_a_search_of_every_key(model, reading):
    found = surveyed(model, reading, f"Is there anything on this: {SAID}?")
    rows = reading.take(np.arange(len(reading)))
    key = rows.keys.astype(np.float32) * rows.key_scales.astype(np.float32)[:, None]
    match = np.where(rows.key_scales > 0, found.query @ key.T, -1.0)
    best = match.reshape(len(match), -1, BLOCK).max(-1)
    np.testing.assert_array_equal(found.starts, np.arange(0, len(reading), BLOCK))
    np.testing.assert_allclose(found.best, np.maximum(best, -1.0), atol=1e-5)
    begins = {part.start for part in reading.parts}
    expected = [
        found.weight
        @ (best[:, b : b + 1] if (b + 1) * BLOCK in begins else best[:, b : b + 2]).max(1)
        for b in range(best.shape[1])
    ]
    counts = found.terms.counts()
    ends = [n for n in range(len(expected)) if n + 1 == len(expected) or (n + 1) * BLOCK in begins]
    after = np.delete(np.pad(counts, ((0, 0), (0, 1))), 0, 1)
    after[:, ends] = 0
    nats = np.array(expected) * model.loaded.survey_scale
    nats += RARE * found.terms.score(counts + after)
    np.testing.assert_allclose(found.windows(), nats, rtol=1e-4)


def test_shows_the_place(model, reading):
    best, *others = passages(surveyed(model, reading, f"Who knows about {SAID}"))
    assert SAID in best.text
    assert (best.place.part, best.place.line) == ("0.txt", 51)
    assert all(best.weight >= other.weight for other in others)
    assert sum(s.weight for s in (best, *others)) == pytest.approx(1)
    assert all(abs(best.start - other.start) > WINDOW // 2 for other in others)


def test_readings_side_by_side_are_surveyed_as_one(model, reading, with_sentence):
    apart = [model.read(part) for part in with_sentence]
    side_by_side = pollux.Reading.combine(apart)
    question = f"Something with {SAID}"
    one, other = (surveyed(model, r, question) for r in (reading, side_by_side))
    np.testing.assert_allclose(one.best, other.best, atol=1e-5)
    assert [s.text for s in passages(one)] == [s.text for s in passages(other)]


def test_a_long_question_is_no_other(model, reading):
    """More tokens than one pass takes."""
    found = surveyed(model, reading, f"What do they say of {SAID}? " + "river lamp seven " * 12)
    assert len(found.weight) > 32
    match = found.matches(0, BLOCK)
    np.testing.assert_allclose(match.max(1), found.weight * found.best[:, 0], atol=1e-5)
