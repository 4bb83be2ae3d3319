# SPDX-License-Identifier: Apache-2.0
"""Several facts in one question, several values of one fact, chains of assignments."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollux.data import facts, mixture, several, skills
from pollux.data.facts import Fact
from pollux.data.skills import Document

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=60)
OWNERS = "Anna", "Bert Brown", "Carla", "river-mouse"


def asked(kit, made):
    """The question as a person reads it, and the lines of its answer."""
    question, answer = made
    control = set(kit.tokenizer.control.values())
    plain = [token for token in answer.tokens if token not in control]
    return kit.tokenizer.decode(question), kit.tokenizer.decode(plain).split("\n")


def document(kit, rng, stated, genre="books"):
    return skills.document(kit, rng, genre, 300, stated)


def coded(owners, statement="{p} is {v}."):
    return [
        (Fact(o, "code", f"the code for {o}", str(4000 + i)), statement)
        for i, o in enumerate(owners)
    ]


@pytest.mark.parametrize("statement", ["{p} is {v}.", "{p}: {v}, and nobody minds"])
def test_the_same_of_several_owners(kit, statement):
    """Each line says all of the phrase; its name is copied from where it stands in the list."""
    rng = np.random.default_rng(0)
    doc = document(kit, rng, coded(OWNERS, statement))
    made = skills.find(kit, rng, doc, doc.facts, owners=True)
    text, lines = asked(kit, made)
    assert text.lower().count("the code for") == 1 and all(owner in text for owner in OWNERS)
    for line, stated in zip(lines, doc.facts, strict=True):
        assert line.startswith(f" {stated.fact.phrase}") and stated.fact.value in line
    question, answer = made
    where, newline = mixture.restated(question, answer), kit.tokenizer.newline
    decode = kit.tokenizer.decode
    begin = 0
    for stated in doc.facts:
        head = skills.phrase_tokens(kit, stated.fact)
        looks = where[begin : begin + len(head)]
        assert None not in looks
        assert [question[i] for i in looks] == list(head)
        name = kit.tokenizer.encode(" " + stated.fact.owner)
        assert looks[-len(name) :] == list(range(looks[-len(name)], looks[-len(name)] + len(name)))
        begin = answer.tokens.index(newline, begin) + 1 if stated is not doc.facts[-1] else begin
    assert decode(answer.tokens).count("\n") == len(OWNERS) - 1


def test_lines_begin_where_the_phrase_does(kit):
    """Of several phrases in a question, each by its own words."""
    rng = np.random.default_rng(1)
    doc = document(kit, rng, coded(OWNERS))
    question, answer = skills.find(kit, rng, doc, doc.facts)
    where = mixture.restated(question, answer)
    begins = sorted(answer.begins)
    assert len(begins) == len(OWNERS)
    for begin, stated in zip(begins, doc.facts, strict=True):
        head = skills.phrase_tokens(kit, stated.fact)
        assert where[begin : begin + len(head)] == list(
            range(where[begin], where[begin] + len(head))
        )


@few
@given(seeds, st.booleans())
def test_values(kit, seed, chinese):
    """All in their order, each from its own place; then that there are no more."""
    rng = np.random.default_rng(seed)
    stated = several._values(kit.vocabulary, rng, chinese)
    doc = document(kit, rng, stated, "chinese" if chinese else "books")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(several, "ASKED_AS_ONE", 0.0)
        question, answer = several.values(kit, rng, doc)
    text, lines = asked(kit, (question, answer))
    assert stated[0][0].phrase.lower() in text.lower()
    assert len({fact.value for fact, _ in stated}) == len(stated) == len(lines) - 1
    for line, (fact, _) in zip(lines, stated, strict=False):
        assert line.strip().startswith(fact.phrase) and fact.value in line
    assert lines[-1].strip() == stated[0][0].phrase and answer.looks[-2] == skills.NOWHERE
    for token, look in zip(answer.tokens, answer.looks, strict=True):
        if look and token not in kit.tokenizer.control.values():
            assert doc.tokens[look[0]] == token
    said = [i for i, token in enumerate(answer.tokens) if token == kit.tokenizer.newline]
    starts = [stated.after for stated in doc.facts]
    again = phrase_length(kit, stated)
    lines_begin = [0, *(at + 1 for at in said)]
    for line, at in enumerate(said, 1):  # behind the phrase, which is said again
        there = (*starts[:line], *(1_000 + begin + again for begin in lines_begin[:line]))
        assert mixture._told(kit, answer, 1_000)[at + 1 + again] == there


def test_one_of_several_that_might_be_there(kit):
    rng, fact = np.random.default_rng(0), Fact("A", "keys", "the keys for A", "17", kind="values")
    doc = document(kit, rng, [(fact, "One of {p} was {v}.")])
    made = [asked(kit, several.values(kit, rng, doc)) for _ in range(40)]
    singular = [(text, lines) for text, lines in made if "key for A" in text]
    assert 14 < len(singular) < 36
    assert {" the key for A was 17."} == {line for _, lines in singular for line in lines}


def phrase_length(kit, stated):
    return len(skills.phrase_tokens(kit, stated[0][0]))


def steps(*pairs):
    return [
        (Fact(name, "VAR", f"VAR {name}", value, kind="step"), "{p} = {v}") for name, value in pairs
    ]


CHAIN = steps(("AAB", "12345"), ("XYZ", "VAR AAB"), ("KLM", "VAR XYZ"), ("QQR", "54321"))


def traced(kit, begin, seed=0):
    """The first answer that begins at a variable, or the first "absent" for None."""
    rng = np.random.default_rng(seed)
    doc = document(kit, rng, CHAIN)
    while True:
        made = several.trace(kit, rng, doc)
        text, lines = asked(kit, made)
        absent = kit.tokenizer.control["<absent>"] in made[1].tokens
        if absent if begin is None else not absent and f"VAR {begin}" in text:
            return doc, made, lines


def test_a_chain_is_followed_to_its_number(kit):
    doc, (question, answer), lines = traced(kit, "KLM")
    assert lines == [" VAR KLM = VAR XYZ", " VAR XYZ = VAR AAB", " VAR AAB = 12345"]
    whole = np.concatenate([question, answer.tokens])
    for i, (token, look) in enumerate(zip(answer.tokens, answer.looks, strict=True)):
        if look and token not in kit.tokenizer.control.values():
            assert doc.tokens[look[0]] == token
        elif again := answer.again[i]:
            assert whole[again] == token and again < len(question) + i
    free = [
        t
        for t, *w in zip(answer.tokens, answer.looks, answer.again, strict=True)
        if w == [None] * 2
    ]
    assert free == []


def test_a_variable_that_is_nowhere(kit):
    _, (question, answer), lines = traced(kit, None)
    name = re.fullmatch(r" VAR ([A-Z]+|\w+_\d+)", lines[0])
    assert name and name[1] not in {fact.owner for fact, _ in CHAIN}
    assert answer.looks[-2] == skills.NOWHERE


@few
@given(seeds)
def test_chains_end_in_a_number(kit, seed):
    made = [fact for fact, _ in several.chains(kit.vocabulary, np.random.default_rng(seed))]
    known = {fact.phrase: fact for fact in made}
    assert len(known) == len(made) and {fact.kind for fact in made} == {"step"}
    for fact in made:
        for _ in made:
            fact = known.get(fact.value, fact)
        assert fact.value.isdigit()


@few
@given(seeds, st.booleans())
def test_what_has_one_value_is_stated_once(kit, seed, chinese):
    """So a question has one answer."""
    rng = np.random.default_rng(seed)
    plain = [(kit.vocabulary.fact(rng, chinese), "{p}: {v}") for _ in range(4)]
    made = several.with_more(kit, rng, plain, chinese)
    times = Counter(fact.phrase for fact, _ in made)
    assert all(times[fact.phrase] == 1 for fact, _ in made if fact.kind != "values")
    assert several.with_more(kit, rng, [], chinese) == []


def test_shares(kit):
    """About as often as said, and nothing but these."""
    rng, count = np.random.default_rng(0), Counter()
    stage = mixture.Stage(
        steps=1, rows=1, length=400, supervised=9, genres={"books": 1.0}, skills={"find": 1.0}
    )
    for _ in range(120):
        doc = document(kit, rng, mixture._stated(kit, stage, rng, False))
        assert isinstance(doc, Document)
        for _ in range(6):
            if made := several.find(kit, rng, doc):
                lines = asked(kit, made)[1]
                count["several" if len(lines) > 1 else "one"] += 1
                count["shared"] += len(made[1].begins) > len(lines) > 1
    assert 0.45 < count["several"] / (count["several"] + count["one"]) < 0.65
    assert count["shared"] > 12


def test_plural():
    words = {"code": "codes", "city": "cities", "address": "addresses", "key": "keys"}
    assert {word: several.plural(word) for word in words} == words
    assert all(several.other_number(more) == one for one, more in words.items())
    assert several.other_number("secret code") == "secret codes"
    assert facts.Fact("a", "b", "c", "d").kind == "one"
