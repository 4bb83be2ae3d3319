# SPDX-License-Identifier: Apache-2.0
"""The evaluation asks what it planted, judges rightly, and plants nothing that training knows."""

import inspect

import numpy as np
import pytest

import pollux
from pollux.data import facts
from pollux.engine.answer import Answer
from pollux.evals import text
from pollux.examples import war_and_peace
from pollux.media.part import Part
from pollux.memory.place import Place

CODE = "".join(
    f"def alpha_{i}(x):\n    return x\n\n\nclass Beta{i}:\n    pass\n" for i in range(30)
)


@pytest.fixture(scope="module")
def bench():
    model = pollux.load()
    english = facts.words(war_and_peace().text)
    words = facts.Vocabulary(model.loaded.tokenizer, english, [], evaluation=True)
    code = [Part(name="a.py", kind="code", text=CODE)]
    return text.Bench(model, words, code)


def answer(said: str, kind: str = "answer", places: tuple[Place, ...] = ()) -> Answer:
    return Answer(
        text=said,
        kind=kind,
        sources=(),
        places=places,
        probability=1.0,
        chosen=(),
        tokens=1,
        question_tokens=1,
        finish="end",
        seconds=0.0,
    )


@pytest.mark.parametrize("skill", ["find", "distractors", "unseen wording"])
def test_what_is_asked_is_planted_once(bench, skill):
    parts, trials = text.SKILLS[skill](bench, 8_000, np.random.default_rng(0), 10)
    for trial in trials:
        known = (cell.cell_contents for cell in inspect.unwrap(trial.right).__closure__)
        value = next(one for one in known if isinstance(one, str))
        assert parts[0].text.count(value) == 1
        assert trial.right(answer(f"It is {value}."))
        assert not trial.right(answer("It is 0."))
        assert not trial.right(answer(value, "absent"))


def test_what_the_neighbours_have_is_wrong():
    right = text._says("4471", ["4471", "92", "8830"])
    assert right(answer("It is 4471.")) and right(answer("It is 4471, in room 93."))
    assert not right(answer("It is 8830."))
    assert not right(answer("A's is 4471\nB's is 92"))
    assert not right(answer("It is 4471.", kind="absent"))


def test_needles_are_gemini_s_words(bench):
    parts, trials = text.find(bench, 8_000, np.random.default_rng(0), 5)
    assert parts[0].text.count("The special magic ") == 5
    assert all("Here is the magic number from the context:" in t.question for t in trials)


def test_names_and_wordings_are_held_out(bench):
    names = text._cities(bench.words, np.random.default_rng(1), 50)
    assert len(set(names)) == 50
    assert all(facts.kept_for_evaluation(w) for name in names for w in name.split())
    assert not set(facts.UNSEEN_STATEMENTS) & set(facts.STATEMENTS)


def test_absent_asks_for_what_is_not_there(bench):
    parts, trials = text.absent(bench, 8_000, np.random.default_rng(0), 10)
    there = [t for t in trials if t.right(answer("x"))]
    assert len(there) == len(trials) / 2
    assert all(t.right(answer("", "absent")) for t in trials if t not in there)


def test_quotation_is_the_book_s(bench):
    parts, trials = text.quote(bench, 8_000, np.random.default_rng(0), 5)
    for trial in trials:
        expected = trial.right.__closure__[0].cell_contents
        assert expected in parts[0].text
        beginning = trial.question.split('"')[1]
        assert expected.startswith(beginning) and len(expected) > len(beginning) + 20
        assert trial.right(answer(expected + " and so on"))
        assert not trial.right(answer(beginning))


def test_definition_is_file_and_line(bench):
    _, trials = text.define(bench, 50_000, np.random.default_rng(0), 20)
    lines = CODE.split("\n")
    for trial in trials:
        name = trial.question.split(" ")[4]
        line = next(i for i, row in enumerate(lines, 1) if name in row)
        at = Place(part="a.py", line=line, column=1, byte=0, time=None)
        assert trial.right(answer("", places=(at,)))
        other = Place(part="a.py", line=line + 1, column=1, byte=0, time=None)
        assert not trial.right(answer("", places=(other,)))


def test_time_counts_within_ten_seconds():
    right = text._within(4 * 86400 + 6 * 3600 + 45 * 60 + 40, 10)
    place = lambda time: (Place(part="a", line=1, column=1, byte=0, time=time),)  # noqa: E731
    assert right(answer("", places=place("04:06:45:40")))
    assert right(answer("", places=place("04:06:45:50")))
    assert not right(answer("", places=place("04:06:45:51")))
    assert not right(answer("", places=place(None)))
    assert not right(answer(""))


def test_planted_lines_leave_the_rest_alone():
    body = "A sentence here. Another one there.\n\nA paragraph.\n" * 30
    lines = ["one 1.", "two 2.", "three 3."]
    got = text.planted(body, lines, np.random.default_rng(0))
    assert all(got.count(line) == 1 for line in lines)
    assert len(got) >= len(body) + sum(map(len, lines))


def test_lengths_reach_past_800k():
    assert text.LENGTHS["800k+"] >= 800_000
    assert isinstance(pollux.__version__, str)
