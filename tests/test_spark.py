# SPDX-License-Identifier: Apache-2.0
"""Spark, as it ships: a floor under what it must find. `pollux eval text` measures it properly."""

from importlib.resources import files

import pytest

import pollux
from pollux.data import facts
from pollux.engine.answer import Respondent
from pollux.engine.continuation import SETTLED
from pollux.evals import text
from pollux.examples import plant, war_and_peace
from pollux.media.part import Part


@pytest.fixture(scope="module")
def bench(spark):
    model = spark
    english = facts.words(war_and_peace().text)
    words = facts.Vocabulary(model.loaded.tokenizer, english, [], evaluation=True)
    return text.Bench(model, words, [])


@pytest.mark.parametrize(
    ("skill", "floor", "trials"),
    [
        ("find", 0.95, 20),
        ("distractors", 0.9, 20),
        ("unseen wording", 0.9, 20),
        ("absent", 0.9, 20),
        ("quote", 0.9, 40),
    ],
)
def test_floor_at_8k(bench, skill, floor, trials):
    *_, (cell, _) = text.run(bench, skill, "8k", trials, seed=1)
    wrong = [(t["question"], t["text"]) for t in cell.trials if not t["right"]]
    assert cell.score.share >= floor, wrong


def test_answer_says_where(bench):
    needle = "The special magic Reykjavik number is: 4711023."
    book = plant(war_and_peace().text[:60_000], needle, 0.6)
    reading = bench.model.read(Part(name="book.txt", kind="text", text=book))
    answer = bench.model.ask(reading, "What is the special magic Reykjavik number?")
    assert answer.text == "The special magic Reykjavik number is: 4711023."
    line = book[: book.index(needle)].count("\n") + 1
    assert (answer.sources[0].place.part, answer.sources[0].place.line) == ("book.txt", line)
    assert "4711023" in answer.sources[0].text


def test_what_is_settled_is_what_scoring_every_key_gives(bench):
    """Of passages that are there and of others with a word changed."""
    book = war_and_peace().text[200_000:300_000]
    reading = bench.model.read(Part(name="book.txt", kind="text", text=book))
    lines = [line.split() for line in book.splitlines() if len(line.split()) > 20][::8][:12]
    questions = [f'Quote the passage that begins "{" ".join(line[:9])}"' for line in lines]
    short = pollux.Sampling(max_tokens=30)
    ways = [Respondent(bench.model.loaded, reading, level) for level in (SETTLED, 2.0)]
    settled, scanned = ([way.ask(q, short).text for q in questions] for way in ways)
    same = [one == other for one, other in zip(settled, scanned, strict=True)]
    assert sum(same) >= 10, list(zip(settled, scanned, strict=True))


def test_fits_in_the_package():
    assert (files("pollux") / "weights" / "spark.safetensors").stat().st_size <= 16 * 2**20  # type: ignore[attr-defined]
