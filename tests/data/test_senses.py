# SPDX-License-Identifier: Apache-2.0
"""Questions about pictures, sound and film: what is answered, and where it is to be recalled."""

import numpy as np
import pytest

from pollux.data import held_out, senses, skills
from pollux.data.scene import Event, Place, Scene
from pollux.data.senses import Sensed
from pollux.errors import RecipeError
from pollux.interleaved import MEDIA


@pytest.fixture(scope="module")
def material(materials):
    return materials[False]


@pytest.fixture(scope="module")
def examples(material):
    """Documents of every genre with their questions and answers."""
    return [
        (genre, *senses.sample(material, np.random.default_rng(seed), genre, 700, 12))
        for genre in senses.GENRES
        for seed in range(2)
    ]


def text_of(kit, tokens):
    names = {number: name for name, number in kit.tokenizer.control.items()}
    return "".join(names.get(token) or kit.tokenizer.decode([token]) for token in tokens)


def test_documents_fit_and_are_interleaved(examples, material):
    media = material.kit.control(MEDIA)
    for genre, doc, asked in examples:
        assert doc.genre == genre and len(doc.tokens) <= 700 and len(asked) > 3
        assert np.array_equal(doc.tokens, doc.media.ids) and doc.tokens[0] == doc.tokens[0]
        assert (doc.tokens == media).sum() == len(doc.media.patches) + len(doc.media.mel)
        assert len(doc.begins) == len(doc.scene.pieces)


def test_answers_restate_and_end(examples, material):
    control = material.kit.tokenizer.control
    for _, _, pairs in examples:
        for question, answer in pairs:
            assert question[0] == control["<question>"] and question[-1] == control["<answer>"]
            assert answer.tokens[-1] == control["<end>"]
            assert len(answer.tokens) == len(answer.looks)
            assert any(look for look in answer.looks)


def test_looks_are_on_patches_and_sound(examples, material):
    """Up to the mark behind them at most; with a pointer, all of what is pointed at."""
    control = material.kit.tokenizer.control
    pointers = {control["<time>"], control["<place>"]}
    for _, doc, pairs in examples:
        for _, answer in pairs:
            for token, look in zip(answer.tokens, answer.looks, strict=True):
                if look is None or look == skills.NOWHERE:
                    continue
                start, end = look
                assert 0 <= start < end <= len(doc.tokens)
                assert doc.tokens[start] == control[MEDIA]
                if token not in pointers:
                    assert (doc.tokens[start : end - 1] == control[MEDIA]).all()


def test_all_kinds_of_questions_are_asked(examples, material):
    texts = [
        text_of(material.kit, answer.tokens) for _, _, pairs in examples for _, answer in pairs
    ]
    for mark in ("<time>", "<place>", "<absent>"):
        assert any(mark in text for text in texts)
    assert any(text.startswith(" the ") and "<" not in text[:-5] for text in texts)


def scene(*events):
    """Two seconds of a recording, its sound marked at the beginning."""
    doc = Sensed("recording", np.zeros(80, np.int32))
    doc.scene = Scene("recording", [], list(events))
    doc.begins = [0, 11, 36]
    return doc


def said(text, piece=1, start=0, **more):
    places = tuple(Place(piece, start + n, start + n + 1) for n in range(len(text)))
    return Event(kind="said", text=text, places=places, name="a.wav", seconds=piece - 1.0, **more)


def test_what_is_said_is_told_letter_by_letter(material):
    kit, doc = material.kit, scene(said("one two"))
    told = senses._told(material, doc, doc.scene.events[0])
    assert kit.tokenizer.decode([token for token, _ in told]) == " one two"
    assert told[0][1][0] == 11 and told[-1][1][1] == 18
    starts = [look[0] for _, look in told]
    assert starts == sorted(starts)


def test_a_fact_is_found_behind_its_phrase(material):
    event = said("the secret word is garden", fact="the secret word", value="garden")
    doc = scene(event)
    question, answer = senses._find(material, np.random.default_rng(0), doc, event)
    text = text_of(material.kit, answer.tokens)
    assert text == " the secret word is garden<end>"
    assert "the secret word" in material.kit.tokenizer.decode(question).lower()
    restated = len(material.kit.tokenizer.encode(" the secret word"))
    assert not any(answer.looks[:restated]) and all(answer.looks[restated:-1])
    assert answer.looks[restated][0] >= 11 + len("the secret word")
    assert answer.passage == (11, 11 + len(event.text) + 1)


def test_a_fact_stated_twice_is_not_asked_for(material):
    event = said("the secret word is garden", fact="the secret word")
    doc = scene(event, said("the secret word is river", 2, fact="the secret word"))
    assert senses._find(material, np.random.default_rng(0), doc, event) is None


def test_times_and_places_are_pointed_at(material):
    event = said("needle", 2, 3)
    doc = scene(event, said("other"))
    for pointer in ("<time>", "<place>"):
        rng = np.random.default_rng(0)
        question, answer = senses._pointed(material, rng, doc, event, pointer)
        assert text_of(material.kit, answer.tokens) == f" needle{pointer}<end>"
        assert answer.looks[-2] == (36 + 3, 36 + 3 + 6 + 1)
        assert "needle" in material.kit.tokenizer.decode(question)


def test_what_is_at_a_time_is_told_after_the_time(material):
    event = said("needle", 2)
    doc = scene(event, said("other"))
    question, answer = senses._at_a_time(material, np.random.default_rng(0), doc, event)
    assert text_of(material.kit, answer.tokens) == "00:01: needle<end>"
    assert "00:01" in material.kit.tokenizer.decode(question)


def test_what_is_absent_is_nowhere(examples, material):
    absent = material.kit.control("<absent>")
    for _, doc, pairs in examples:
        for _, answer in pairs:
            if absent in answer.tokens:
                at = answer.tokens.index(absent)
                assert answer.looks[at] == skills.NOWHERE
                words = material.kit.tokenizer.decode(answer.tokens[:at]).strip().lower()
                assert not any(words == event.text.lower() for event in doc.scene.events)


def test_aloud_is_the_text_in_the_order_of_reading(examples, material):
    for _, doc, _ in examples:
        assert all(doc.tokens[at] == material.kit.control(MEDIA) for at, _ in doc.aloud)
        words = material.kit.tokenizer.decode([token for _, token in doc.aloud])
        written = [event.text for event in doc.scene.events if event.kind == "written"]
        assert all(text in words for text in written)


@pytest.mark.parametrize("evaluation", [False, True])
def test_examples_are_of_one_side(evaluation, materials):
    """Every word drawn or spoken, every icon: of training nothing that evaluation has."""
    given, rng, seen = materials[evaluation], np.random.default_rng(4), 0
    for genre in senses.GENRES:
        for _ in range(2):
            doc = senses.document(given, rng, genre, 600)
            for event in doc.scene.events:
                if event.kind == "shown":
                    own = {(i.style, i.name) for i in given.art.icons}
                    assert any(name == event.text for _, name in own)
                    assert all(held_out.icon(*icon) == evaluation for icon in own)
                elif event.value or (event.kind == "written" and " " not in event.text):
                    word = event.value or event.text
                    assert word.isdigit() or held_out.word(word) == evaluation
                seen += 1
    assert seen > 10


def test_a_seed_gives_the_same_bits(material):
    for genre in senses.GENRES:
        one, two = (
            senses.sample(material, np.random.default_rng(9), genre, 400, 4) for _ in range(2)
        )
        assert np.array_equal(one[0].media.patches, two[0].media.patches)
        assert np.array_equal(one[0].media.mel, two[0].media.mel)
        for (asked, answer), (again, same) in zip(one[1], two[1], strict=True):
            assert np.array_equal(asked, again) and answer == same


def test_too_little_room_is_told(material):
    with pytest.raises(RecipeError, match="too few"):
        senses.document(material, np.random.default_rng(0), "film", 50)


def test_unseen_wordings_are_not_trained():
    trained = [getattr(senses, name) for name in ("READ", "NAME", "HEAR", "WHEN_SAID")]
    trained += [*senses.WHERE.values(), *senses.AT.values()]
    assert not {wording for several in trained for wording in several} & {*held_out.WORDINGS}
