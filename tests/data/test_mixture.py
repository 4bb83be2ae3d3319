# SPDX-License-Identifier: Apache-2.0
"""Rows and batches: exact in length, supervised by what follows, the same wherever one starts."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollux import prompt
from pollux.data import corpora, facts, mixture, skills
from pollux.errors import RecipeError
from pollux.train.recipe import RECIPES

GENRES = {
    "books": 1.0,
    "chinese": 1.0,
    "documentation": 1.0,
    "transcripts": 1.0,
    "code": 1.0,
    "random": 1.0,
}
SHORT = mixture.Stage(
    steps=6,
    rows=3,
    length=256,
    supervised=200,
    genres=GENRES,
    skills={"find": 2.0, "absent": 1.0, "quote": 1.0, "point": 1.0, "other": 1.0},
    facts=(1, 4),
)
LONG = replace(SHORT, steps=3, rows=2, length=600, supervised=300, facts=(3, 9))
STAGES = (SHORT, LONG)
seeds = st.integers(0, 2**32 - 1)


def made(kit, start=0, seed=0, stages=STAGES):
    return list(mixture.batches(kit, stages, seed, start))


def same(left, right):
    return left.keys() == right.keys() and all(np.array_equal(left[k], right[k]) for k in left)


@settings(max_examples=60)
@given(seeds, st.sampled_from([*GENRES]), st.sampled_from([160, 256, 601]))
def test_rows(kit, seed, genre, length):
    stage = replace(SHORT, length=length)
    row = mixture.row(kit, stage, np.random.default_rng(seed), genre)
    assert row.tokens.shape == row.segment.shape == (length,)
    assert 0 <= row.tokens.min() and row.tokens.max() < kit.tokenizer.vocab_size
    assert row.segment[0] == 0 and set(np.diff(row.segment)) <= {0, 1}
    for answer in row.answers:
        check_answer(kit, row, answer)
    assert [a[0].at for a in row.answers] == answers_begin(kit, row)
    # Every token of the document but the first is predicted, once, from anywhere.
    assert sorted(s.at for s in row.text) == np.flatnonzero(row.segment == 0)[:-1].tolist()
    for at, target, weight, start, end, told in row.text:
        assert row.tokens[at + 1] == target
        assert (weight, start, end, told) == (mixture.TEXT_WEIGHT, 0, 0, ())


def answers_begin(kit, row):
    return np.flatnonzero(row.tokens == kit.tokenizer.control["<answer>"]).tolist()


def check_answer(kit, row, answer):
    """Whole, one position after another; looks are in the document or at what was said before."""
    control = kit.tokenizer.control
    first, last = answer[0].at, answer[-1].at
    assert [s.at for s in answer] == list(range(first, last + 1))
    assert len(set(row.segment[first : last + 2])) == 1 and row.segment[first] > 0
    assert last + 2 == len(row.tokens) or row.segment[last + 2] != row.segment[first]
    for at, target, weight, start, end, told in answer:
        assert row.tokens[at + 1] == target
        read, said = told[: len(told) // 2], told[len(told) // 2 :]
        assert not row.segment[list(read)].any() and len(read) == len(said) <= mixture.TOLD
        assert all(first < i <= at for i in said) and not {start, *said} & {*read}
        if target in (kit.tokenizer.newline, control["<end>"]):
            assert weight == mixture.LINE_WEIGHT
        else:
            assert weight in (mixture.RESTATED_WEIGHT, mixture.ANSWER_WEIGHT)
        if (start, end) == skills.NOWHERE:
            assert target == control["<absent>"] and weight == mixture.ANSWER_WEIGHT
        elif end and row.segment[start]:
            assert end == start + 1 <= at and row.segment[start] == row.segment[at]
            assert row.tokens[start] == target
            begins = weight != mixture.RESTATED_WEIGHT or row.tokens[at] == kit.tokenizer.newline
            assert begins or row.tokens[start - 1] == row.tokens[at]
            assert begins or at > first
        elif end:
            assert weight >= mixture.ANSWER_WEIGHT
            assert 0 <= start < end and not row.segment[start:end].any()
            assert target in control.values() or row.tokens[start] == target


@settings(max_examples=20)
@given(seeds)
def test_translations_copy_what_stands_there(kit, seed):
    """From the lesson, the question, or what the answer has said already."""
    stage = replace(SHORT, length=1_024)
    row = mixture.row(kit, stage, np.random.default_rng(seed), "languages")
    assert row.answers and row.tokens.shape == (1_024,)
    copied = [s for answer in row.answers for s in answer if s.end == s.start + 1]
    assert len(copied) > 8
    for at, target, _, start, *_ in copied:
        assert row.tokens[at + 1] == target and start <= at
        assert row.segment[start] in (0, row.segment[at])
        assert row.tokens[start] == target or target in kit.tokenizer.control.values()


def test_a_batch_has_one_lesson_at_most(kit):
    stage = replace(SHORT, genres={"languages": 20.0, "code": 1.0}, rows=4)
    for seed in range(20):
        drawn = mixture.genres(stage, np.random.default_rng(seed))
        assert len(drawn) == 4 and drawn.count("languages") <= 1


@settings(max_examples=20)
@given(seeds)
def test_questions_lie_whole_in_their_row(kit, seed):
    rng = np.random.default_rng(seed)
    row = mixture.row(kit, SHORT, rng, mixture.choose(rng, SHORT.genres))
    control = kit.tokenizer.control
    for number in range(1, row.segment.max() + 1):
        piece = row.tokens[row.segment == number].tolist()
        if piece[0]:
            assert piece[0] == control["<question>"]
            assert piece.count(control["<answer>"]) == 1
            quoted = piece[-1] not in control.values()  # as much as is quoted of a long line
            assert quoted or piece[-1] == control["<end>"]
        else:
            assert not any(piece) and number == row.segment.max()  # fills up


@settings(max_examples=30)
@given(seeds)
def test_batch_positions(kit, seed):
    batch = mixture.batch(kit, SHORT, np.random.default_rng(seed))
    flat, segment = batch["tokens"].reshape(-1), batch["segment"].reshape(-1)
    at, look = batch["at"], batch["look"]
    assert (np.diff(at) > 0).all()
    assert np.array_equal(flat[at + 1], batch["target"])
    assert (at // SHORT.length == (at + 1) // SHORT.length).all()
    looks, nowhere = look[:, 1] > 0, (look == skills.NOWHERE).all(1)
    assert looks.any() and not look[~looks & ~nowhere].any()
    assert np.array_equal(nowhere, batch["target"] == kit.tokenizer.control["<absent>"])
    begin, end = look[looks].T
    assert (begin < end).all() and (end <= at[looks]).all()
    assert (begin // SHORT.length == at[looks] // SHORT.length).all()
    restated = segment[begin] > 0
    assert restated.any()
    assert np.array_equal(segment[begin], segment[end - 1])
    assert np.array_equal(segment[begin][restated], segment[at[looks]][restated])
    assert (batch["weight"][looks][~restated] >= mixture.ANSWER_WEIGHT).all()
    control = [*kit.tokenizer.control.values()]
    plain = ~np.isin(batch["target"][looks], control)
    assert np.array_equal(flat[begin[plain]], batch["target"][looks][plain])


@settings(max_examples=30)
@given(seeds, st.sampled_from([40, 120, 200, 2_000]))
def test_batches_are_whole_answers_and_text(kit, seed, supervised):
    """As many answers as fit into their share, none in part; text takes the rest."""
    stage = replace(SHORT, supervised=supervised)
    batch = mixture.batch(kit, stage, np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    rows = mixture.rows(kit, stage, rng)
    assert np.array_equal(batch["tokens"], np.stack([row.tokens for row in rows]))
    trained = set(batch["at"][batch["weight"] >= 1].tolist())
    room, left_out, text = int(supervised * mixture.ANSWERS) - len(trained), [], 0
    for number, row in enumerate(rows):
        text += len(row.text)
        for answer in row.answers:
            at = {s.at + number * stage.length for s in answer}
            assert at <= trained or not at & trained
            left_out += [] if at <= trained else [len(answer)]
            trained -= at
    assert not trained and room >= 0
    assert all(length > room for length in left_out)
    answered, texts = ((batch["weight"] >= 1).sum(), (batch["weight"] == 0.5).sum())
    assert texts == min(supervised - answered, text)


words = st.lists(st.integers(0, 2), min_size=1, max_size=12)


@given(words, words, st.sets(st.integers(0, 11)))
def test_restated_is_the_longest_repetition(asked, said, looked_up):
    """Of what was said up to a token; of what follows for the first; else where it goes on."""
    looks = [(3, 4) if i in looked_up else None for i in range(len(said))]
    where = mixture.restated(np.array(asked), skills.Answer(said, looks))

    def places(run, at):
        """Where in the question, behind its first token, the run's token `at` stands."""
        found = [i for i in range(len(asked)) if asked[i : i + len(run)] == run]
        return [i + at for i in found if i + at]

    for i, at in enumerate(where):
        if i:
            found = [places(said[start : i + 1], i - start) for start in range(i)]
        else:
            found = [places(said[:end], 0) for end in range(len(said), 1, -1)]
        longest = next((at for at in found if at), [None])
        on = [where[i - 1] + 1] if i and where[i - 1] and where[i - 1] + 1 in longest else longest
        assert at == (None if looks[i] else on[0])


def test_restated_words_of_a_question(kit):
    """An answer's stem stands in the question, word for word; its value does not."""
    rng, encode = np.random.default_rng(0), kit.tokenizer.encode
    fact = facts.Fact("Bremen", "code", "Bremen's code", "4711")
    doc = skills.document(kit, rng, "books", 80, [(fact, "{p} is {v}.")])
    question = prompt.question(kit.tokenizer, "What is Bremen's code?")
    _, answer = skills.find(kit, rng, doc, doc.facts)
    where = mixture.restated(question, answer)
    phrase = encode(f" {fact.phrase}")
    start = question.tolist().index(phrase[0])
    assert where[: len(phrase)] == list(range(start, start + len(phrase)))
    assert where[len(phrase) :] == [None] * (len(where) - len(phrase))


def test_shapes_never_change(kit):
    shapes = {
        "tokens": ((3, 256), np.int32),
        "segment": ((3, 256), np.int32),
        "at": ((200,), np.int32),
        "target": ((200,), np.int32),
        "weight": ((200,), np.float32),
        "look": ((200, 2), np.int32),
        "told": ((200, 2 * mixture.TOLD), np.int32),
        "question": (mixture.SURVEYED, np.int32),
        "passage": ((mixture.SURVEYED[0], 2), np.int32),
    }
    got = [{k: (v.shape, v.dtype) for k, v in batch.items()} for batch in made(kit)]
    assert got[: SHORT.steps] == [shapes] * SHORT.steps
    assert len(got) == 9 and got[6] == got[7] == got[8] != shapes


def test_what_is_surveyed(kit):
    """A question's own tokens, and a passage in the document of the same row."""
    rng = np.random.default_rng(3)
    for _ in range(5):
        batch = mixture.batch(kit, SHORT, rng)
        tokens, segment = batch["tokens"].reshape(-1), batch["segment"].reshape(-1)
        asked = batch["passage"][:, 1] > 0
        assert asked.any()
        assert (batch["question"][~asked] == -1).all()
        for at, (start, end) in zip(batch["question"][asked], batch["passage"][asked], strict=True):
            words = at[at >= 0]
            assert len(words) and (np.diff(words) == 1).all()
            assert len(set(segment[words])) == 1 and segment[words[0]] > 0
            assert not set(tokens[words]) & set(kit.tokenizer.control.values())
            assert start < end and not segment[start:end].any()
            assert start // SHORT.length == (end - 1) // SHORT.length == words[0] // SHORT.length


def test_weight_0_fills_up(kit):
    wanting = replace(SHORT, supervised=5_000)
    batch = mixture.batch(kit, wanting, np.random.default_rng(0))
    assert {len(batch[k]) for k in ("at", "target", "weight", "look")} == {5_000}
    filled = batch["weight"] == 0
    assert filled[-4_000:].all() and not batch["look"][filled].any()
    whole = mixture.batch(
        kit, replace(wanting, supervised=SHORT.supervised), np.random.default_rng(0)
    )
    assert np.array_equal(whole["tokens"], batch["tokens"])
    assert set(whole["at"]) < set(batch["at"])


def test_a_batch_is_the_same_from_any_start(kit):
    whole = made(kit)
    assert len(whole) == 9
    for start in (0, 1, 5, 6, 8):
        got = made(kit, start)
        assert len(got) == 9 - start
        assert all(map(same, got, whole[start:]))
    assert made(kit, 9) == []


def test_batches_differ_by_number_and_seed(kit):
    first, second = islice(mixture.batches(kit, STAGES, 0, 0), 2)
    assert not same(first, second)
    assert not same(first, next(mixture.batches(kit, STAGES, 1, 0)))


def test_stages_follow_each_other():
    got = [mixture.stage_of(STAGES, step) for step in (0, 5, 6, 8, 100)]
    assert got == [SHORT, SHORT, LONG, LONG, LONG]


@pytest.fixture
def library(monkeypatch, tmp_path):
    """A cache of its own and a standard library of a few files; no data."""
    monkeypatch.setenv("POLLUX_CACHE", str(tmp_path))
    monkeypatch.delenv("POLLUX_DATA", raising=False)
    rows = list(islice(corpora.rows(corpora.CORPORA["code"]), 12))
    monkeypatch.setattr(corpora, "_standard_library", lambda: iter(rows))


@pytest.fixture
def tiny_kit(library, tokenizer):
    return lambda: mixture.kit(tokenizer, tuple(RECIPES["tiny"].stages[0].genres))


def test_kit_without_data(tiny_kit):
    stages = RECIPES["tiny"].stages
    kit = tiny_kit()
    assert [*kit.corpora] == ["code"]
    assert kit.questions and kit.vocabulary.names and kit.vocabulary.lower
    batch = next(mixture.batches(kit, stages, 0, 0))
    assert batch["tokens"].shape == (stages[0].rows, stages[0].length)
    assert same(batch, next(mixture.batches(tiny_kit(), stages, 0, 0)))


def test_kit_does_not_depend_on_what_is_there(tiny_kit, monkeypatch):
    """A recipe that needs no data makes the same of it where there are some."""
    without = tiny_kit()
    monkeypatch.setattr(corpora, "rows", lambda corpus: iter([{"question": "And who was that?"}]))
    assert tiny_kit().questions == without.questions == [*mixture.STOCK]


def test_books_come_with_questions(library, tokenizer, monkeypatch):
    """From the question files; where these are missing, it is said which."""
    rows = corpora.rows
    novel = [{"text": "Bertha found the quiet garden of Vienna."}]
    monkeypatch.setattr(corpora, "rows", lambda c: iter(novel) if c.name == "books" else rows(c))
    with pytest.raises(RecipeError, match="gsm8k-train.*POLLUX_DATA"):
        mixture.kit(tokenizer, ("books",))
    asked = [{"question": "And who was that?"}]
    monkeypatch.setattr(
        corpora, "rows", lambda c: iter(novel) if c.name == "books" else iter(asked)
    )
    assert mixture.kit(tokenizer, ("books",)).questions == ["And who was that?"]


NOTHING = float("nan")


@pytest.mark.parametrize(
    "change, told",
    [
        ({"steps": 0}, "steps 0 must be 1 or more"),
        ({"rows": 0}, "rows 0 must be 1 or more"),
        ({"length": 1}, "length 1 must be 2 or more"),
        ({"supervised": -3}, "supervised -3 must be 1 or more"),
        ({"questions": 1.5}, "questions 1.5 must be from 0 to 1"),
        ({"distractors": NOTHING}, "distractors nan must be from 0 to 1"),
        ({"facts": (3, 3)}, "facts 3, 3 must be from 0 up, and the second above the first"),
        ({"facts": (-1, 3)}, "facts -1, 3 must be from 0 up"),
        ({"genres": {"books": -1.0, "code": 2.0}}, "genres.books -1.0 must be a number from 0 up"),
        ({"skills": {"find": NOTHING}}, "skills.find nan must be a number from 0 up"),
        ({"skills": {"find": 0.0, "quote": 0.0}}, "one of skills must be above 0"),
        ({"genres": {}}, "one of genres must be above 0"),
    ],
)
def test_a_stage_that_nothing_can_come_of(change, told):
    with pytest.raises(RecipeError) as caught:
        replace(SHORT, **change)
    assert told in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 1, "length": 2, "supervised": 1},
        {"questions": 1.0, "distractors": 1.0},
        {"questions": 0.0, "distractors": 0.0, "facts": (0, 1)},
        {"supervised": 5_000, "facts": (9, 40)},
    ],
)
def test_the_least_and_the_most_of_a_stage(kit, change):
    stage = replace(SHORT, **change)
    batch = mixture.batch(kit, stage, np.random.default_rng(0))
    assert batch["tokens"].shape == (stage.rows, stage.length)
    assert batch["at"].shape == (stage.supervised,)
