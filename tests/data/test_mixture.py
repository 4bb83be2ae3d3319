# SPDX-License-Identifier: Apache-2.0
"""Rows and batches: exact in length, supervised by what follows, the same wherever one starts."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollux.data import corpora, mixture, skills
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
    stage = replace(SHORT, genres={genre: 1.0}, length=length)
    row = mixture.row(kit, stage, np.random.default_rng(seed))
    assert row.tokens.shape == row.segment.shape == (length,)
    assert 0 <= row.tokens.min() and row.tokens.max() < kit.tokenizer.vocab_size
    assert row.segment[0] == 0 and set(np.diff(row.segment)) <= {0, 1}
    text = set(np.flatnonzero(row.segment == 0)[:-1].tolist())
    for at, target, weight, start, end in row.supervised:
        assert row.tokens[at + 1] == target
        if weight == mixture.TEXT_WEIGHT:
            text.remove(at)
            assert end == 0
        else:
            assert row.segment[at] == row.segment[at + 1] > 0
        if end:
            assert weight == mixture.ANSWER_WEIGHT
        if end > 0:
            assert 0 <= start < end and not row.segment[start:end].any()
        elif end:
            assert (start, end) == skills.NOWHERE
            assert target == kit.tokenizer.control["<absent>"]
    assert not text  # every token of the document but the first is predicted


@settings(max_examples=20)
@given(seeds)
def test_questions_lie_whole_in_their_row(kit, seed):
    row = mixture.row(kit, SHORT, np.random.default_rng(seed))
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
    assert not segment[begin].any() and not segment[end - 1].any()
    control = [*kit.tokenizer.control.values()]
    plain = ~np.isin(batch["target"][looks], control)
    assert np.array_equal(flat[begin[plain]], batch["target"][looks][plain])


def test_shapes_never_change(kit):
    shapes = {
        "tokens": ((3, 256), np.int32),
        "segment": ((3, 256), np.int32),
        "at": ((200,), np.int32),
        "target": ((200,), np.int32),
        "weight": ((200,), np.float32),
        "look": ((200, 2), np.int32),
    }
    got = [{k: (v.shape, v.dtype) for k, v in batch.items()} for batch in made(kit)]
    assert got[: SHORT.steps] == [shapes] * SHORT.steps
    assert len(got) == 9 and got[6] == got[7] == got[8] != shapes


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


def test_what_is_recalled_comes_first(kit):
    """Where there is no room for all: answers whole, then more of restated words than of text."""

    def shares(supervised):
        stage = replace(SHORT, supervised=int(supervised))
        weight = mixture.batch(kit, stage, np.random.default_rng(0))["weight"]
        kinds = (mixture.ANSWER_WEIGHT, mixture.RESTATED_WEIGHT, mixture.TEXT_WEIGHT)
        return np.array([(weight == kind).sum() for kind in kinds])

    everything = shares(3 * SHORT.length)
    assert shares(everything[0]).tolist() == [everything[0], 0, 0]
    answers, restated, text = shares(everything[0] + everything[1]) / everything
    assert answers == 1 and restated > 4 * text


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


def test_kit_without_data(library, tokenizer):
    stage = RECIPES["tiny"].stages[0]
    kit = mixture.kit(tokenizer, tuple(stage.genres))
    assert [*kit.corpora] == ["code"]
    assert kit.questions and kit.vocabulary.names and kit.vocabulary.lower
    batch = next(mixture.batches(kit, RECIPES["tiny"].stages, 0, 0))
    assert batch["tokens"].shape == (stage.rows, stage.length)
    again = mixture.kit(tokenizer, tuple(stage.genres))
    assert same(batch, next(mixture.batches(again, RECIPES["tiny"].stages, 0, 0)))
