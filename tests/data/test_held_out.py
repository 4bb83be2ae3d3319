# SPDX-License-Identifier: Apache-2.0
"""What is made for evaluation is never trained on: by name, by content, by word and wording."""

import json
import lzma
import os
import re
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from pollux import examples
from pollux.data import corpora, drawing, facts, mixture, passages, senses, writing
from pollux.errors import RecipeError
from pollux.train.recipe import RECIPES

EVAL_ONLY = (
    "text/books-dev.jsonl.xz",
    "text/python-docs-en-zh-dev.jsonl.xz",
    "text/sgd-dev.jsonl.xz",
    "text/sgd-test.jsonl.xz",
    "text/spacelog-apollo11-eval.jsonl.xz",
    "text/war-and-peace-eval.jsonl.xz",
    "text/kalamang-grammar-eval.jsonl.xz",
    "text/kalamang-dictionary-eval.jsonl.xz",
    "text/kalamang-sentences-eval.jsonl.xz",
    "text/kalamang-stories-eval.jsonl.xz",
    "evals/gsm8k-test.jsonl.xz",
    "evals/svamp.jsonl.xz",
    "evals/humaneval.jsonl.xz",
    "evals/cmrc2018-dev.jsonl.xz",
    "evals/bfcl-simple-python.jsonl.xz",
    "evals/bfcl-multiple.jsonl.xz",
    "evals/bfcl-parallel.jsonl.xz",
    "evals/bfcl-irrelevance.jsonl.xz",
    "speech/kathleen-dev.tar",
    "speech/kerstin-de-dev.tar",
    "speech/fsdd-test.tar",
    "speech/kalamang-eval.tar",
    "video/big-buck-bunny-480p-30s.mp4",
    "video/flower.mp4",
    "video/friday.mp4",
)
TRAINED_ON = (*corpora.CORPORA.values(), corpora.QUESTIONS)
DATA = os.environ.get("POLLUX_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="POLLUX_DATA is not set")

RUN = 13  # words
SAMPLE = 400  # runs of a document
WORD = re.compile(r"[a-z0-9]+|[\u4e00-\u9fff]")  # a Han character counts as a word


def runs(text):
    """A 64-bit hash of every run of RUN words."""
    words = np.fromiter(map(hash, WORD.findall(text.lower())), np.int64).astype(np.uint64)
    out = np.zeros(max(0, len(words) - RUN + 1), np.uint64)
    for i in range(RUN if len(out) else 0):
        out = out * np.uint64(1099511628211) + words[i : len(out) + i]
    return out


def eval_rows(file):
    with lzma.open(Path(DATA or ".") / file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


DOCUMENTS = {
    "War and Peace": lambda: examples.war_and_peace().text,
    "Apollo 11": lambda: "\n".join(
        f"[{row['t']}] {row['speaker']}: {row['text']}"
        for row in eval_rows("text/spacelog-apollo11-eval.jsonl.xz")
    ),
    "books": lambda: "\n".join(row["text"] for row in eval_rows("text/books-dev.jsonl.xz")),
    "HumanEval": lambda: "\n".join(
        row["prompt"] + row["canonical_solution"] for row in eval_rows("evals/humaneval.jsonl.xz")
    ),
    "CMRC": lambda: "\n".join(row["context"] for row in eval_rows("evals/cmrc2018-dev.jsonl.xz")),
}


def training_texts(characters):
    """Up to so many characters of each file."""
    for corpus in TRAINED_ON:
        for file in corpus.files or (None,):
            left = characters
            for row in corpora.rows(replace(corpus, files=(file,) if file else ())):
                text = corpus.texts(row)
                yield text[: int(min(left, len(text)))]
                left -= len(text)
                if left <= 0:
                    break


def joined(texts, characters=4_000_000):
    """Few long texts instead of many short ones."""
    held, size = [], 0
    for text in texts:
        held.append(text)
        size += len(text)
        if size > characters:
            yield "\n".join(held)
            held, size = [], 0
    yield "\n".join(held)


def test_recipes_name_no_held_out_file():
    genres = {genre for recipe in RECIPES.values() for s in recipe.stages for genre in s.genres}
    by_rule = {drawing.GENRE, "random", "languages", writing.GENRE}
    others = {*passages.SOURCES, *senses.GENRES, *by_rule}
    assert genres <= {*corpora.CORPORA, *others}
    named = {file for corpus in TRAINED_ON for file in corpus.files}
    assert not named & set(EVAL_ONLY)
    for file in named:
        corpora.refuse_held_out(file)


@pytest.mark.parametrize("file", [file for file in EVAL_ONLY if file.endswith(".jsonl.xz")])
def test_every_text_made_for_evaluation_is_refused(file):
    if file.endswith("cmrc2018-dev.jsonl.xz"):
        assert "-dev" in corpora.HELD_OUT
    with pytest.raises(RecipeError, match="held out"):
        corpora.refuse_held_out(file)


@needs_data
def test_list_is_complete():
    """Whatever the data's own table calls eval only is in the list above."""
    table = (Path(DATA or ".") / "README.md").read_text("utf-8").splitlines()
    marked = {line.split("|")[1].strip() for line in table if line.endswith("| **eval only** |")}
    assert marked == set(EVAL_ONLY)


def test_code_has_no_sentence_of_war_and_peace():
    sample = np.random.default_rng(0).choice(runs(examples.war_and_peace().text), SAMPLE)
    code = islice((row["text"] for row in corpora.rows(corpora.CORPORA["code"])), 200)
    assert not np.isin(sample, runs("\n".join(code))).any()


@needs_data
def test_sampled_runs_are_in_no_sample_of_the_training_texts():
    rng = np.random.default_rng(0)
    samples = {name: rng.choice(runs(text()), SAMPLE) for name, text in DOCUMENTS.items()}
    for text in joined(training_texts(400_000)):
        trained = runs(text)
        for name, sample in samples.items():
            assert not np.isin(sample, trained).any(), name


@needs_data
@pytest.mark.slow
def test_no_document_is_in_the_training_texts():
    """All runs against all texts. Bibles, proverbs and counting to five are quoted everywhere."""
    all_runs = {name: runs(text()) for name, text in DOCUMENTS.items()}
    wanted = {name: np.unique(of) for name, of in all_runs.items()}
    found = {name: [np.zeros(0, np.uint64)] for name in DOCUMENTS}
    for text in joined(training_texts(float("inf"))):
        trained = np.unique(runs(text))
        for name in DOCUMENTS:
            found[name].append(np.intersect1d(wanted[name], trained, assume_unique=True))
    for name, of in all_runs.items():
        shared = np.isin(of, np.concatenate(found[name]))
        assert shared.mean() < 1 / 2_000, f"{name}: {shared.sum()} of {len(of)} runs"
        sample = np.random.default_rng(0).choice(len(of), SAMPLE)
        assert not shared[sample].any(), name


def test_the_comparison_finds_what_is_there():
    novel = examples.war_and_peace().text
    passage = novel[500_000:501_000]
    assert np.isin(runs(passage), runs("before it " + passage.upper() + " after it")).all()
    assert len(runs("too short")) == 0


def test_words_for_evaluation_are_others(kits):
    for kind in ("lower", "names", "chinese"):
        trained, kept = (set(getattr(kits[e].vocabulary, kind)) for e in (False, True))
        assert trained and kept and not trained & kept
        assert not any(map(facts.kept_for_evaluation, trained))
        assert all(map(facts.kept_for_evaluation, kept))


def test_the_split_does_not_depend_on_the_run():
    """Not on Python's own hash, which differs from run to run; nor on case."""
    words = "needle garden river Oslo London window".split()
    assert [word for word in words if facts.kept_for_evaluation(word)] == ["garden", "Oslo"]
    assert facts.kept_for_evaluation("GARDEN") and facts.kept_for_evaluation("oslo")


def test_wordings_for_evaluation_are_others():
    def skeleton(statement):
        return re.sub(r"\{\w\}|\W+", " ", statement).casefold().split()

    trained = [skeleton(statement) for statement in facts.STATEMENTS]
    assert not [s for s in facts.UNSEEN_STATEMENTS if skeleton(s) in trained]


def test_training_draws_nothing_kept_for_evaluation(kit, monkeypatch):
    drawn = []
    pick = kit.vocabulary.pick
    monkeypatch.setattr(
        kit.vocabulary, "pick", lambda rng, options: drawn.append(pick(rng, options)) or drawn[-1]
    )
    stage = replace(RECIPES["tiny"].stages[0], genres={"books": 1.0, "chinese": 1.0})
    rng = np.random.default_rng(0)
    for _ in range(40):
        mixture.row(kit, stage, rng, mixture.choose(rng, stage.genres))
    shared = {*facts.NOUNS, *facts.ADJECTIVES, *facts.CHINESE_NOUNS, *facts.CHINESE_ADJECTIVES}
    words = [w for w in set(drawn) if isinstance(w, str) and re.fullmatch(r"\w+", w)]
    assert len(words) > 50
    assert not [w for w in words if facts.kept_for_evaluation(w) and w not in shared]
    assert not {*drawn} & {*facts.UNSEEN_STATEMENTS}
