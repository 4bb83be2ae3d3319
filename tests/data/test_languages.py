# SPDX-License-Identifier: Apache-2.0
"""Made-up languages: regular, held out where they are to be, and taught in full."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollux import prompt
from pollux.data import languages, skills, translations
from pollux.data.languages import Language, Lesson

seeds = st.integers(0, 2**32 - 1)
TAUGHT = Language(
    name="Velu",
    clause="SOV",
    quality_first=False,
    owner_first=True,
    future_first=False,
    article="after",
    plural="-ka",
    tense="ta-",
    words={
        "the": "ri",
        "of": "na",
        "will": "so",
        "dog": "mavi",
        "dogs": "mavika",
        "lamp": "pomu",
        "lamps": "pomuka",
        "watch": "teku",
        "watched": "tateku",
        "red": "sani",
    },
    nouns=("dog", "dogs", "lamp", "lamps"),
    qualities=("red",),
    past=("watched",),
    future=("watch",),
)
BARE = {word: said for word, said in TAUGHT.words.items() if word != "the"}


def drawn(seed, evaluation=False, stems=20):
    return languages.language(np.random.default_rng(seed), stems, evaluation=evaluation)


def found(taught, english):
    """The sentence of these words, found by drawing."""
    rng = np.random.default_rng(0)
    while (one := languages.sentence(rng, taught)).english != english:
        pass
    return one


@pytest.mark.parametrize(
    ("change", "english", "said"),
    [
        ({}, "the red dog watched the lamps", "mavi sani ri pomuka ri tateku"),
        ({}, "the dog will watch the lamp", "mavi ri pomu ri teku so"),
        ({}, "the dogs of the lamp watched", "pomu ri na mavika ri tateku"),
        (
            {"future_first": True, "clause": "VOS"},
            "Anna will watch the dog",
            "so teku mavi ri Anna",
        ),
        (
            {"article": "none", "quality_first": True, "words": BARE},
            "the red dog watched",
            "sani mavi tateku",
        ),
    ],
)
def test_grammar_orders_and_marks(change, english, said):
    taught = replace(TAUGHT, **change)
    assert taught.translated(found(taught, english)) == said


def test_pattern_has_letters_for_words_with_a_meaning():
    one = found(TAUGHT, "the red dog watched the lamps")
    assert one.pattern == "the A B C the D = B A the D the C"


def test_a_sentence_has_no_more_words_than_letters():
    rng = np.random.default_rng(0)
    shapes = {languages.sentence(rng, TAUGHT).shape for _ in range(2_000)}
    assert len(shapes) == 32
    assert not any(letter in "".join(shapes) for letter in "GHIJ")


def test_rules_are_in_plain_english():
    told = " ".join(languages.rules(TAUGHT))
    assert "the subject comes first, then the object, then the verb" in told
    assert "the suffix -ka" in told and "the prefix ta-" in told
    assert "An adjective stands after its noun" in told and "so stands after the verb" in told


@settings(max_examples=10)
@given(seeds, st.booleans())
def test_a_language_is_regular(seed, evaluation):
    taught = drawn(seed, evaluation)
    assert taught == drawn(seed, evaluation)
    said = list(taught.words.values())
    assert len({*said}) == len(said) and not {*said} & {*taught.words}
    assert ("the" in taught.words) == (taught.article != "none")
    for kind, affix, mark in (("nouns", taught.plural, "s"), ("past", taught.tense, "ed")):
        for form in getattr(taught, kind):
            stem = form.removesuffix(mark)
            if form != stem and stem in taught.words:
                joined = affix.replace("-", taught.words[stem])
                assert taught.words[form] == joined


def test_held_out_languages_share_nothing_with_training():
    sides = [[drawn(seed, evaluation) for seed in range(12)] for evaluation in (False, True)]
    trained, kept = ({w for one in side for w in one.words.values()} for side in sides)
    assert len(trained) > 300 and len(kept) > 300 and not trained & kept
    assert not any(map(languages.kept_for_evaluation, trained))
    assert all(map(languages.kept_for_evaluation, kept))
    names, kept_names = ({one.name for one in side} for side in sides)
    assert not names & kept_names
    clauses, kept_clauses = ({one.clause for one in side} for side in sides)
    assert clauses == {*languages.CLAUSES} and kept_clauses == {*languages.HELD_OUT_CLAUSES}
    assert not clauses & kept_clauses
    assert not {*languages.SYLLABLES} & {*languages.HELD_OUT_SYLLABLES}
    first, second = (side[0] for side in sides)  # of the same seed
    assert not {*first.words.values()} & {*second.words.values()}


def test_lessons_for_training_teach_no_language_kept(kit):
    for seed in range(5):
        doc = languages.lesson(kit, np.random.default_rng(seed), 600)
        assert doc.language.clause in languages.CLAUSES
        assert not any(map(languages.kept_for_evaluation, doc.language.words.values()))
        assert doc.text == languages.lesson(kit, np.random.default_rng(seed), 600).text


@settings(max_examples=10)
@given(seeds, st.sampled_from([600, 1_500]))
def test_a_lesson_is_its_text(kit, seed, size):
    doc = languages.lesson(kit, np.random.default_rng(seed), size)
    header = prompt.part_header(kit.tokenizer, f"{doc.language.name.lower()}.txt")
    whole = np.concatenate([header, kit.tokenizer.encode(doc.text)])
    assert np.array_equal(doc.tokens, whole)
    assert len(doc.tokens) < 1.5 * size
    lists = {**doc.words, **doc.meanings, **doc.patterns}
    for left, (start, end) in lists.items():
        line = kit.tokenizer.decode(doc.tokens[:end]).rsplit("\n", 2)[1]
        assert line.split(" = ")[0] == f"- {left}"
        assert kit.tokenizer.decode(doc.tokens[start:end]) == f" {line.split(' = ')[1]}\n"


@settings(max_examples=25)
@given(seeds)
def test_looks_are_at_the_very_tokens(kit, seed):
    rng = np.random.default_rng(seed)
    doc = languages.lesson(kit, rng, 800)
    asked, answer = translations.translate(kit, rng, doc)
    assert len(answer.tokens) == len(answer.looks) == len(answer.again)
    both = [*asked, *answer.tokens]
    for i, (token, look, again) in enumerate(
        zip(answer.tokens, answer.looks, answer.again, strict=True)
    ):
        assert look is None or again is None
        if look == skills.NOWHERE:
            assert token == kit.control("<absent>")
        elif look is not None:
            assert look[1] == look[0] + 1 and doc.tokens[look[0]] == token
        elif again is not None:
            assert 0 < again < len(asked) + i and both[again] == token
    assert answer.tokens[-1] == kit.control("<end>")
    made_up = {*doc.language.words.values()} & {*kit.tokenizer.decode(answer.tokens).split()}
    assert made_up or kit.control("<absent>") in answer.tokens


def lines(kit, answer):
    return kit.tokenizer.decode(answer.tokens).split("\n")


def test_the_chain_ends_in_the_translation(kit):
    one = found(TAUGHT, "the red dog watched the lamps")
    doc = languages.teach(kit.tokenizer, TAUGHT, [one])
    asked = translations.ask(kit.tokenizer, "Say in {l}: {t}", "Velu", one.english, True)
    answer = translations.into(kit.tokenizer, doc, one, asked)
    assert lines(kit, answer) == [
        " A red B dog C watched D lamps",
        "- the A B C the D = B A the D the C",
        "- B dog = mavi",
        "- A red = sani",
        "- the = ri",
        "- D lamps = pomuka",
        "- the = ri",
        "- C watched = tateku",
        " mavi sani ri pomuka ri tateku",
    ]
    assert [kit.tokenizer.decode(asked.word(i)) for i in range(3)] == [" the", " red", " dog"]


@settings(max_examples=10)
@given(seeds, st.booleans())
def test_every_chain_ends_in_the_translation(kit, seed, evaluation):
    rng = np.random.default_rng(seed)
    taught = drawn(seed, evaluation)
    examples = [languages.sentence(rng, taught) for _ in range(4)]
    doc = languages.teach(kit.tokenizer, taught, examples)
    for one in examples:
        asked = translations.ask(kit.tokenizer, "Translate into {l}: {t}", "it", one.english)
        answer = translations.into(kit.tokenizer, doc, one, asked)
        assert lines(kit, answer)[-1].strip() == taught.translated(one)
        needed = sum(look is not None for look in answer.looks)
        assert needed > len(kit.tokenizer.encode(taught.translated(one)))


def test_a_pattern_that_no_example_shows_is_not_there(kit):
    one = found(TAUGHT, "the red dog watched the lamps")
    doc = languages.teach(kit.tokenizer, TAUGHT, [found(TAUGHT, "the dog watched")])
    asked = translations.ask(kit.tokenizer, "Say in {l}: {t}", "Velu", one.english)
    answer = translations.into(kit.tokenizer, doc, one, asked)
    assert answer.looks[-2:] == [skills.NOWHERE, None]
    assert lines(kit, answer)[-1] == "- the A B C the D ="


@pytest.mark.parametrize(
    ("said", "kind", "ends"),
    [
        ("mavi zork ri Anna", "meanings", "dog zork the Anna"),
        ("the dogs saw", "words", "ri mavika saw"),
    ],
)
def test_word_for_word(kit, said, kind, ends):
    doc = languages.teach(kit.tokenizer, TAUGHT, [])
    asked = translations.ask(kit.tokenizer, "Gloss in {l}: {t}", "it", said)
    known = getattr(doc, kind)
    answer = translations.gloss(kit.tokenizer, doc, known, said.split(" "), asked)
    assert lines(kit, answer)[-1] == " " + ends
    assert [line[2:].split(" = ")[0] for line in lines(kit, answer)[:-1]] == said.split(" ")
    places = [known[word] for word in said.split(" ") if word in known]
    looked_up = sum(look is not None for look in answer.looks)
    assert looked_up == sum(end - start for start, end in places)


def test_questions_of_every_kind_come(kit):
    rng, kinds = np.random.default_rng(0), set()
    for _ in range(40):
        doc = languages.lesson(kit, rng, 700)
        asked, answer = translations.translate(kit, rng, doc)
        text = kit.tokenizer.decode(asked)
        absent = kit.control("<absent>") in answer.tokens
        into = lines(kit, answer)[0].startswith(" A ")
        kinds.add(("absent" if absent else "into" if into else "gloss", "English" in text))
        if not into:
            assert re.match("(Translate|Word|Gloss)", text)
    assert kinds == {("absent", False), ("into", False), ("gloss", False), ("gloss", True)}


def test_other_documents_are_no_lessons(kit):
    doc = skills.Document("books", np.arange(100))
    assert translations.translate(kit, np.random.default_rng(0), doc) is None
    assert not isinstance(doc, Lesson)
