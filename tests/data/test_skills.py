# SPDX-License-Identifier: Apache-2.0
"""Every skill's answer says what it claims, and points at the very tokens that it gives."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pollux import prompt
from pollux.data import facts, mixture, skills
from pollux.data.skills import Document

GENRES = ("books", "chinese", "documentation", "transcripts", "code", "random")
WITH_CORPUS = GENRES[:-1]
seeds = st.integers(0, 2**32 - 1)
genres = st.sampled_from(GENRES)
few = settings(max_examples=60)


def stated(kit, rng, count, chinese=False, statements=None):
    """Facts to put into a document, each phrase once."""
    options = statements or (facts.CHINESE_STATEMENTS if chinese else facts.STATEMENTS)
    made = [kit.vocabulary.fact(rng, chinese) for _ in range(count)]
    unique = {fact.phrase: (fact, kit.vocabulary.pick(rng, options)) for fact in made}
    return list(unique.values())


def document(kit, rng, genre, size=300, count=4, **options):
    made = stated(kit, rng, count, chinese=genre == "chinese", **options)
    return skills.document(kit, rng, genre, size, made), made


def text_of(kit, asked):
    """The question as a person reads it."""
    control = kit.tokenizer.control
    assert asked[0] == control["<question>"] and asked[-1] == control["<answer>"]
    return kit.tokenizer.decode(asked)


def check_form(kit, doc, answer):
    """One look a token, in the document or nowhere; each plain token is the one it looks at."""
    control = set(kit.tokenizer.control.values())
    assert len(answer.tokens) == len(answer.looks)
    for token, look in zip(answer.tokens, answer.looks, strict=True):
        if look == skills.NOWHERE:
            assert token == kit.tokenizer.control["<absent>"]
        elif look:
            assert 0 <= look[0] < look[1] <= len(doc.tokens)
        if look and token not in control:
            assert look[1] == look[0] + 1
            assert doc.tokens[look[0]] == token


def restated(kit, answer):
    """What an answer says before it ends or points."""
    control = set(kit.tokenizer.control.values())
    plain = [token for token in answer.tokens if token not in control]
    return kit.tokenizer.decode(plain)


def ending(kit, answer, count=2):
    """The names of the last tokens."""
    names = {token: name for name, token in kit.tokenizer.control.items()}
    return [names.get(token) for token in answer.tokens[-count:]]


@few
@given(seeds, genres, st.integers(0, 5))
def test_document_says_its_facts(kit, seed, genre, count):
    rng = np.random.default_rng(seed)
    doc, made = document(kit, rng, genre, count=count)
    decode = kit.tokenizer.decode
    assert doc.genre == genre
    assert doc.tokens[0] == kit.tokenizer.control["<part>"]
    name = decode(doc.tokens).split("\n")[0]
    assert re.fullmatch(r"\w+\.py" if genre == "code" else r"\w+\.txt", name)
    assert [stated.fact for stated in doc.facts] == [fact for fact, _ in made]
    last = len(prompt.part_header(kit.tokenizer, name))
    for (fact, start, after, end), (_, statement) in zip(doc.facts, made, strict=True):
        assert last <= start < after < end <= len(doc.tokens)
        assert decode(doc.tokens[start:end]).strip() == fact.stated(statement)
        assert decode(doc.tokens[start:after]).lower().rstrip(",.:;").endswith(fact.phrase.lower())
        last = end
    if genre != "random":  # whose pieces may join
        assert abs(len(doc.tokens) - 300) < 32


@few
@given(seeds, genres, st.integers(1, 3))
def test_find(kit, seed, genre, several):
    """A line for each: its phrase as asked for, then the text's own words to a sentence's end."""
    rng = np.random.default_rng(seed)
    doc, _ = document(kit, rng, genre)
    chosen = doc.facts[:several]
    question, answer = skills.find(kit, rng, doc, chosen)
    check_form(kit, doc, answer)
    asked = text_of(kit, question)
    assert all(fact.phrase.lower() in asked.lower() for fact, *_ in chosen)
    said, at = restated(kit, answer), 0
    for fact, _, after, end in chosen:
        at = said.index(fact.phrase, at) + len(fact.phrase)
        going_on = kit.tokenizer.decode(doc.tokens[after:end])
        assert said[at:].startswith(going_on)
        assert fact.value in fact.phrase + going_on
    control = kit.tokenizer.control.values()
    looks = [x for x, y in zip(answer.looks, answer.tokens, strict=True) if x and y not in control]
    for begin, _ in looks:
        assert any(s.after <= begin <= s.end + skills.REST_TOKENS for s in chosen)
    assert said.count("\n") == len(chosen) - 1
    lines = said.split("\n")
    assert all(
        line.strip().startswith(s.fact.phrase) for line, s in zip(lines, chosen, strict=True)
    )


def check_absent(kit, answer):
    """It ends by saying so, and only as it does should recall find nothing."""
    assert ending(kit, answer) == ["<absent>", "<end>"]
    assert [look for look in answer.looks if look] == [answer.looks[-2]] == [skills.NOWHERE]


@pytest.mark.parametrize("statement", facts.STATEMENTS + facts.UNSEEN_STATEMENTS)
def test_find_says_what_any_wording_says(kit, statement):
    fact = facts.Fact("Bremen", "code", "the code for Bremen", "4711")
    doc = skills.document(kit, np.random.default_rng(0), "books", 300, [(fact, statement)])
    _, answer = skills.find(kit, np.random.default_rng(0), doc, doc.facts)
    check_form(kit, doc, answer)
    _, rest = fact.stated(statement).split("ode for Bremen")
    assert restated(kit, answer).startswith(f" the code for Bremen{rest}")


@few
@given(seeds)
def test_definitions_are_used_elsewhere(kit, seed):
    """Two thirds of them, those invented included; nothing of the code is lost."""
    code = "def first(x):\n    return x\n\n\nclass Second:\n    pass"
    lines = skills.called(kit, np.random.default_rng(seed), code).split("\n")
    rest = iter(lines)
    assert all(line in rest for line in code.split("\n"))
    defined = [m[1] for line in lines if (m := re.match(r"(?:def|class) (\w+)[(:]", line))]
    used = [n for n in defined if sum(bool(re.search(rf"\b{n}\b", x)) for x in lines) > 1]
    assert len(defined) >= 2 and len(used) >= len(defined) * 2 // 3


@few
@given(seeds)
def test_invented_definitions_end_alike(kit, seed):
    found = skills.invented(kit, np.random.default_rng(seed))
    assert all(re.fullmatch(r"def \w+\([\w, *]*\):|class \w+:", line) for line in found)


@few
@given(seeds, genres)
def test_quote(kit, seed, genre):
    rng = np.random.default_rng(seed)
    doc, _ = document(kit, rng, genre)
    made = skills.quote(kit, rng, doc)
    assume(made)
    question, answer = made
    check_form(kit, doc, answer)
    first = next(i for i, look in enumerate(answer.looks) if look)
    begin, going_on = answer.looks[first][0], answer.tokens[first:]
    passage = kit.tokenizer.decode(answer.tokens[:first])
    assert passage in text_of(kit, question)
    assert kit.tokenizer.decode(doc.tokens[:begin]).endswith(passage)
    # It goes on as the document does, to the end of the line, and ends; or to the limit.
    ended = going_on[-1] == kit.tokenizer.control["<end>"]
    length = len(going_on) - ended
    following = doc.tokens[begin : begin + length + 1].tolist()
    assert going_on[:length] == following[:length]
    assert [look[0] for look in answer.looks[first:]] == list(range(begin, begin + len(going_on)))
    assert kit.tokenizer.newline not in going_on
    assert length <= skills.QUOTE_TOKENS
    if not ended:
        assert length == skills.QUOTE_TOKENS or len(following) == length
    else:
        assert following[-1] == kit.tokenizer.newline


@few
@given(seeds, genres)
def test_point(kit, seed, genre):
    rng = np.random.default_rng(seed)
    doc, _ = document(kit, rng, genre)
    made = skills.point(kit, rng, doc)
    assume(made)
    question, answer = made
    check_form(kit, doc, answer)
    words = restated(kit, answer)
    assert words in text_of(kit, question)
    pointer, end = ending(kit, answer)
    assert (pointer, end) == ("<place>", "<end>") or genre == "transcripts"
    assert pointer in ("<place>", "<time>")
    assert answer.looks[:-2] == [None] * (len(answer.looks) - 2) and answer.looks[-1] is None
    behind, after = answer.looks[-2]
    assert after == behind + 1
    assert kit.tokenizer.decode(doc.tokens[:behind]).endswith(words)


@few
@given(seeds)
def test_define(kit, seed):
    rng = np.random.default_rng(seed)
    doc, _ = document(kit, rng, "code", size=600, count=2)
    made = skills.define(kit, rng, doc)
    assume(made)
    question, answer = made
    check_form(kit, doc, answer)
    line = kit.tokenizer.decode(
        [t for t in answer.tokens if t not in kit.tokenizer.control.values()]
    )
    found = re.match(r"(def|class) (\w+)\b", line)
    assert found and found[2] in text_of(kit, question)
    assert ending(kit, answer) == ["<place>", "<end>"]
    copied, pointed = answer.looks[-3:-1]  # what is behind the name, then the place
    assert answer.looks[:-3] == [None] * (len(answer.looks) - 3) and copied[1] == pointed[0]
    before = kit.tokenizer.decode(doc.tokens[: pointed[0]])
    assert before.endswith(line) and kit.tokenizer.decode(doc.tokens[: copied[0]]).endswith(
        found[0]
    )
    lines = kit.tokenizer.decode(doc.tokens).split("\n")
    assert len([1 for other in lines if re.match(rf" *{found[0]}\b", other)]) == 1


@few
@given(seeds, st.sampled_from(WITH_CORPUS))
def test_other(kit, seed, genre):
    rng = np.random.default_rng(seed)
    doc, _ = document(kit, rng, genre)
    made = skills.other(kit, rng, doc)
    assume(made)
    question, answer = made
    check_form(kit, doc, answer)
    assert ending(kit, answer) == ["<other>", "<end>"] and len(answer.tokens) == 2
    asked = text_of(kit, question)
    if answer.passage is None:
        assert asked in kit.questions
        return
    there = kit.tokenizer.decode(doc.tokens[slice(*answer.passage)])
    assert "\n" not in there
    words = [word for word in re.findall(r"[A-Za-z]{4,}|[\u4e00-\u9fff]{2}", there)]
    assert sum(word in asked for word in words) >= 3


@few
@given(seeds, st.booleans())
def test_absent_fact(kit, seed, chinese):
    rng = np.random.default_rng(seed)
    fact = kit.vocabulary.fact(rng, chinese)
    question, answer = skills.absent_fact(kit, rng, fact)
    assert fact.phrase.lower() in text_of(kit, question).lower()
    assert restated(kit, answer) == ("" if chinese else " ") + fact.phrase
    check_absent(kit, answer)


@few
@given(seeds, st.sampled_from(WITH_CORPUS))
def test_absent_words(kit, seed, genre):
    rng = np.random.default_rng(seed)
    made = skills.absent_words(kit, rng, genre)
    assume(made)
    question, answer = made
    words = restated(kit, answer)
    assert words in text_of(kit, question)
    assert words in kit.tokenizer.decode(kit.corpora[genre])
    check_absent(kit, answer)


@few
@given(seeds)
def test_absent_definition(kit, seed):
    question, answer = skills.absent_definition(kit, np.random.default_rng(seed))
    name = re.fullmatch(r"(?:def|class) (\w+)", restated(kit, answer))
    assert name and name[1] in text_of(kit, question)
    check_absent(kit, answer)


def test_what_is_absent_is_not_in_the_document(kit):
    """But for one in a hundred at most, by chance: the texts have few words."""
    absent = mixture.Stage(
        steps=1, rows=1, length=300, supervised=9, genres={"books": 1.0}, skills={"absent": 1.0}
    )
    rng, wrong, total = np.random.default_rng(1), [], Counter()
    for genre in GENRES * 20:
        doc, _ = document(kit, rng, genre)
        there = kit.tokenizer.decode(doc.tokens)
        phrases = {stated.fact.phrase.lower() for stated in doc.facts}
        for _ in range(8):
            if made := mixture.question_about(kit, absent, rng, doc):
                check_absent(kit, made[1])
                said = restated(kit, made[1]).strip()
                total[genre] += 1
                wrong += [said] * (said.lower() in phrases or said in there)
    assert min(total.values()) > 80
    assert len(wrong) <= total.total() / 100, wrong


def test_almost_the_same_is_not_the_same(kit):
    """Even where a name's number might be drawn again."""
    rng = np.random.default_rng(0)
    fact = facts.Fact("river 3", "code", "the code for river 3", "1234")
    assert all(kit.vocabulary.near(rng, fact).phrase != fact.phrase for _ in range(400))


@few
@given(seeds, st.booleans())
def test_near_facts_resemble(kit, seed, chinese):
    rng = np.random.default_rng(seed)
    fact = kit.vocabulary.fact(rng, chinese)
    near = kit.vocabulary.near(rng, fact)
    assert near.chinese == chinese and near.phrase != fact.phrase
    assert near.owner == fact.owner or near.attribute == fact.attribute
    assert near.stated("{p} {v}").lower() == f"{near.phrase} {near.value}".lower()


@few
@given(seeds, st.booleans())
def test_facts_are_one_line_and_survive_the_tokenizer(kit, seed, chinese):
    fact = kit.vocabulary.fact(np.random.default_rng(seed), chinese)
    assert fact.phrase and fact.value == fact.value.strip()
    for text in (fact.phrase, *(fact.stated(s) for s in facts.STATEMENTS)):
        assert "\n" not in text and "\ufffd" not in text
        assert kit.tokenizer.decode(kit.tokenizer.encode(text)) == text


@few
@given(seeds, st.sampled_from(WITH_CORPUS), st.integers(20, 400))
def test_slices_begin_a_line(kit, seed, genre, size):
    got = skills.slice_of(kit, np.random.default_rng(seed), genre, size)
    assert got.shape == (size,) and got.dtype == np.int64
    there = kit.tokenizer.decode(kit.corpora[genre])
    text = kit.tokenizer.decode(got)
    assert text.strip("\ufffd") in there
    assert "\n" + text.strip("\ufffd") in there or "\n" not in text


@few
@given(seeds, genres, st.integers(5, 10), st.integers(10, 20))
def test_words_are_in_one_line_and_in_no_statement(kit, seed, genre, low, high):
    rng = np.random.default_rng(seed)
    doc, _ = document(kit, rng, genre, size=150)
    where = skills.words_at(kit, rng, doc, low, high)
    assume(where)
    start, end = where
    assert low <= end - start <= high
    words = kit.tokenizer.decode(doc.tokens[start:end])
    assert "\n" not in words and "\ufffd" not in words and '"' not in words
    assert all(end <= begin or start >= stop for _, begin, _, stop in doc.facts)


def test_a_document_too_short_has_no_words(kit):
    rng = np.random.default_rng(0)
    doc = Document("books", kit.tokenizer.encode("Too short."))
    assert skills.words_at(kit, rng, doc, 5, 10) is None
    assert skills.quote(kit, rng, doc) is None and skills.point(kit, rng, doc) is None
    assert skills.define(kit, rng, doc) is None


@pytest.mark.parametrize("genre", WITH_CORPUS)
def test_skills_find_something_to_ask(kit, genre):
    """So that none of the above passes because nothing was asked."""
    rng, made = np.random.default_rng(2), Counter()
    for _ in range(20):
        doc, _ = document(kit, rng, genre, size=600)
        made["quote"] += skills.quote(kit, rng, doc) is not None
        made["point"] += skills.point(kit, rng, doc) is not None
        made["other"] += skills.other(kit, rng, doc) is not None
        made["absent"] += skills.absent_words(kit, rng, genre) is not None
        made["define"] += genre != "code" or skills.define(kit, rng, doc) is not None
    assert min(made.values()) >= 8, made
