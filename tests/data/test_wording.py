# SPDX-License-Identifier: Apache-2.0
"""Wordings by rule: many, each with its places, and none of an evaluation."""

import re

import numpy as np
import pytest

from pollux.data import facts, several, wording
from pollux.evals import passages

MADE = 2_000
RULER = (  # scripts/data/synthetic/constants.py of RULER
    "What are all the special magic {n} for {p} mentioned in the provided text?",
    "What is the special magic {n} for {p} mentioned in the provided text?",
    "One of the special magic {n} for {p} is: {v}.",
    "Find all variables that are assigned the value {v} in the text above.",
)
HELD_OUT = (*facts.UNSEEN_STATEMENTS, *RULER, *passages.APOLLO_QUESTIONS)


def all_questions():
    rng = np.random.default_rng(0)
    made = {wording.question(rng, several=bool(i % 2)) for i in range(MADE)}
    return made | {*facts.QUESTIONS, *wording.VALUE_QUESTIONS, *several.CHAIN_QUESTIONS}


def all_statements():
    rng = np.random.default_rng(1)
    made = {wording.statement(rng) for _ in range(MADE)}
    return made | {*facts.STATEMENTS, *several.VALUE_STATEMENTS}


def runs(text, size=4):
    """Runs of words, blanks for what is filled in, as a model might learn them by heart."""
    words = re.findall(r"[a-z']+|\{", re.sub(r"\{\w+\}", "{", text.lower()))
    return {
        tuple(words[i : i + size])
        for i in range(len(words) - size + 1)
        if sum(word != "{" for word in words[i : i + size]) >= 3
    }


def test_no_wording_of_an_evaluation():
    """Nor a half of one: not half of its runs of four words are in any wording of training."""
    trained = {made: runs(made) for made in all_questions() | all_statements()}
    for held_out in HELD_OUT:
        wanted = runs(held_out)
        for made, there in trained.items():
            assert held_out != made
            assert len(wanted & there) < max(1, len(wanted) / 2), (held_out, made)


def test_what_goes_around_the_phrase_of_a_held_out_statement():
    """The words between what is stated and its value are not those of an evaluation."""
    between = {
        text.split("{p}")[1].split("{v}")[0].strip(" ;,") for text in facts.UNSEEN_STATEMENTS
    }
    trained = {text.split("{p}")[1].split("{v}")[0].strip(" ;,") for text in all_statements()}
    assert not between & trained


@pytest.mark.parametrize("chinese", [False, True])
def test_wordings(chinese):
    """Many of them, each with one place for what is asked; a statement has its value behind."""
    rng = np.random.default_rng(2)
    questions = [wording.question(rng, chinese) for _ in range(MADE)]
    statements = [wording.statement(rng, chinese) for _ in range(MADE)]
    assert all(text.count("{p}") == 1 for text in questions + statements)
    assert all(0 <= text.index("{p}") < text.index("{v}") for text in statements)
    assert len(set(questions)) > MADE * (0.3 if chinese else 0.5)
    assert len(set(statements)) > MADE * (0.1 if chinese else 0.4)
    for text in questions + statements:
        assert text.format(p="P", v="V") and "  " not in text and "\n" not in text


def test_several_things_are():
    rng = np.random.default_rng(0)
    made = {wording.question(rng, several=True) for _ in range(MADE)}
    assert {"What are {p}?", "What is {p}?"} <= made
