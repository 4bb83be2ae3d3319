# SPDX-License-Identifier: Apache-2.0
"""A question's look is its passage, no more and no less; questions are not mere quotations."""

import os
import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pollux.data import corpora, passages, skills
from pollux.data.passages import Pair
from pollux.evals import haystack
from pollux.evals import passages as evaluation

SENTENCE = "The farmers carried seven heavy ladders through the garden before the evening market."
CHINESE = "王先生在1998年冬天走进杭州西湖边的古老书房，写下了许多关于月光的信。"
PAIRS = (
    Pair("A tool that draws maps.\nIt knows rivers and towns.", ("map drawing program",)),
    Pair("Plays music from the command line.", ("audio player", "listening to sound files")),
    Pair("A quiet letter was painted in the garden. Old windows opened slowly to the river."),
    Pair(CHINESE, ("王先生什么时候走进书房？",)),
    Pair("Roger."),
)
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=40)


def check(kit, doc, made):
    """As skills.other has it; returns the question and the text it is about."""
    question, answer = made
    control = kit.tokenizer.control
    assert answer.tokens == [control["<other>"], control["<end>"]]
    assert question[0] == control["<question>"] and question[-1] == control["<answer>"]
    assert answer.looks == [None, None]
    start, end = answer.passage
    assert 0 < start < end <= len(doc.tokens)
    return kit.tokenizer.decode(question), kit.tokenizer.decode(doc.tokens[start:end])


@few
@given(seeds)
def test_collection(kit, seed):
    rng = np.random.default_rng(seed)
    doc = passages.collection(kit, rng, "titles", 400, PAIRS)
    assert doc.genre == "titles" and len(doc.tokens) <= 400 and doc.tokens.dtype == np.int64
    assert doc.tokens[0] == kit.tokenizer.control["<part>"]
    whole = {pair.passage: pair for pair in PAIRS}
    for question, start, end in doc.asked:
        text = kit.tokenizer.decode(doc.tokens[start:end])
        assert doc.tokens[start - 1] == doc.tokens[end] == kit.tokenizer.newline
        assert text in whole or any(text in passage or passage[:20] in text for passage in whole)
        if text in whole and len(whole[text].questions) == 2:
            assert question in whole[text].questions
    assert len(doc.asked) == 4  # nobody asks about "Roger."


@few
@given(seeds)
def test_passage_of_a_collection(kit, seed):
    rng = np.random.default_rng(seed)
    doc = passages.collection(kit, rng, "titles", 400, PAIRS)
    made = passages.passage(kit, rng, doc)
    assume(made)
    check(kit, doc, made)


def test_a_passage_too_long_is_cut(kit):
    doc = passages.collection(
        kit, np.random.default_rng(0), "titles", 64, [Pair("so long " * 99, ("how long is it",))]
    )
    assert len(doc.tokens) <= 64 and doc.asked[0][2] < 64


@few
@given(seeds, st.sampled_from(("books", "chinese", "transcripts", "documentation")))
def test_a_sentence_finds_its_own_paragraph(kit, seed, genre):
    rng = np.random.default_rng(seed)
    fact = kit.vocabulary.fact(rng, False)
    doc = skills.document(kit, rng, genre, 300, [(fact, "{p} is {v}.")])
    made = passages.own_paragraph(kit, rng, doc)
    assume(made)
    question, text = check(kit, doc, made)
    assert "\n" not in text
    start, end = made[1].passage
    assert doc.tokens[start - 1] == doc.tokens[end] == kit.tokenizer.newline
    if not (passages.chinese(text) or passages.chinese(question)):
        asked = {w.casefold()[:4] for w in passages.content(question)}
        assert len(asked & {w.casefold()[:4] for w in passages.content(text)}) >= 1
    assert fact.phrase.casefold() not in question.casefold()


def test_there_is_something_to_ask(kit):
    """So that none of the above passes because nothing was asked."""
    rng, made = np.random.default_rng(0), 0
    for _ in range(20):
        doc = skills.document(kit, rng, "books", 300, [])
        made += passages.own_paragraph(kit, rng, doc) is not None
    assert made > 15


def test_nothing_to_ask_is_none(kit):
    doc = skills.Document("books", kit.tokenizer.encode("Too short.\nYes.\n").astype(np.int64))
    assert passages.passage(kit, np.random.default_rng(0), doc) is None


@few
@given(seeds)
def test_reworded_is_not_the_sentence(seed):
    rng = np.random.default_rng(seed)
    asked = passages.reworded(rng, SENTENCE)
    assert SENTENCE not in asked and "{" not in asked
    stems = {w.casefold()[:4] for w in passages.content(SENTENCE)}
    assert len(stems & {w.casefold()[:4] for w in passages.WORD.findall(asked)}) >= 2
    chinese = passages.reworded(rng, CHINESE)
    assert passages.chinese(chinese) and chinese != CHINESE
    assert sum(pair in CHINESE for pair in re.findall(r"[\u4e00-\u9fff]{2}", chinese)) >= 1


def test_the_sentence_asked_about_may_be_gone():
    text = "The old captain watched the harbour. Bright lanterns hung behind every window there. "
    text += "Nobody remembered the quiet letter from Lisbon."
    rng = np.random.default_rng(0)
    seen = {passages.asked_about(rng, Pair(text))[0] for _ in range(60)}
    assert text in seen and len(seen) == 4


@pytest.mark.parametrize(
    ("word", "other"),
    [("ladders", "ladder"), ("carries", "carry"), ("opened", "opening"), ("window", "windows")]
    + [("walking", "walked"), ("box", "box"), ("match", "matches"), ("VERB", "VERB")]
    + [("glass", "glasses"), ("city", "cities"), ("status", "statuss"), ("through", "through")],
)
def test_inflected(word, other):
    assert passages.inflected(word) == other


def test_together_and_cut_lose_nothing():
    lines = [f"line {i} of a talk" for i in range(50)]
    got = list(passages.together(lines))
    assert "\n".join(got).split("\n") == lines
    assert all(len(piece) >= passages.LONG for piece in got[:-1])
    assert "".join(passages.cut(CHINESE * 9)) == CHINESE * 9
    assert all(piece.endswith("。") for piece in passages.cut(CHINESE * 9))


def test_definitions_have_lost_what_is_asked():
    made = passages.pairs("definitions")
    assert len(made) > 500
    for passage, (question,) in made[::50]:
        assert re.match(r"\w+\(", passage) and question not in passage


def test_sources_are_for_training(monkeypatch):
    """By name: only files that may be trained on, and the half of Debian that is for it."""
    read, halves = [], []
    monkeypatch.setattr(corpora, "rows", lambda corpus: read.append(corpus) or [])
    monkeypatch.setattr(
        passages, "descriptions", lambda *, evaluation: halves.append(evaluation) or []
    )
    for source in passages.SOURCES.values():
        assert not list(source())
    assert halves == [False]
    files = [file for corpus in read for file in corpus.files]
    assert files == ["text/cmrc2018-trial-train.jsonl.xz", "text/spacelog-train.jsonl.xz"]
    for file in files:
        corpora.refuse_held_out(file)


@pytest.mark.skipif(not os.environ.get("POLLUX_DATA"), reason="POLLUX_DATA is not set")
def test_no_context_or_question_is_in_the_evaluation():
    """Of CMRC 2018, whose two parts are used; no sentence of a dozen characters either."""
    kept = haystack.rows(evaluation.CMRC, "", "")
    questions = {qa["question"] for row in kept for qa in row["qas"]}
    said = {s for row in kept for s in re.split(r"[。！？\n]", row["context"]) if len(s) >= 12}
    pairs = passages.pairs("contexts")
    assert len(pairs) > 500
    for passage, asked in pairs:
        assert not questions & set(asked)
        assert not said & set(re.split(r"[。！？\n]", passage))


def test_wordings_for_evaluation_are_others():
    def skeleton(text):
        return re.sub(r"\{\w+\}|\W+", " ", text).casefold().split()

    trained = [skeleton(frame) for frame in (*passages.FRAMES, *passages.CHINESE_FRAMES)]
    assert not [q for q in evaluation.APOLLO_QUESTIONS if skeleton(q) in trained]
