# SPDX-License-Identifier: Apache-2.0
"""Writing of pictures and films as a spotter gives it: lines are where they are said to be."""

import re

import numpy as np
import pytest

from pollux.data import writing

SIZE = 400


@pytest.fixture(scope="module")
def documents(kit):
    rng = np.random.default_rng(0)
    return [writing.document(kit, rng, SIZE) for _ in range(30)]


def text(kit, tokens):
    return kit.tokenizer.decode(tokens)


def test_lines_are_where_they_are_said_to_be(kit, documents):
    assert {doc.film for doc in documents} == {False, True}
    for doc in documents:
        assert 0 < len(doc.tokens) <= SIZE and doc.lines
        for line in doc.lines:
            head = text(kit, doc.tokens[line.start : line.after])
            assert head.endswith(line.head)
            between = " " if doc.film else ": "
            assert text(kit, doc.tokens[line.after : line.end]) == between + line.text
            assert doc.tokens[line.end] == kit.tokenizer.newline


def test_as_the_spotter_writes_it(kit, documents):
    for doc in documents:
        for line in doc.lines:
            head = text(kit, doc.tokens[line.start : line.after])
            expected = r"\d\d:\d\d(:\d\d)?" if doc.film else rf".*{writing.ON}[\w-]+\.[a-z]+"
            assert re.fullmatch(expected, head, re.S)


def test_facts_are_found_where_they_stand(kit, documents):
    stated = [(doc, one) for doc in documents for one in doc.facts]
    assert len(stated) > 20
    for doc, one in stated:
        said = text(kit, doc.tokens[one.start : one.after])
        assert said.endswith(one.fact.phrase[1:])


def test_answers_are_copied_or_point(kit, documents):
    rng, kinds = np.random.default_rng(1), set()
    for doc in documents:
        for _ in range(10):
            if (made := writing.question(kit, rng, doc)) is None:
                continue
            asked, answer = made
            asked_text = text(kit, asked)
            control = {n: name for name, n in kit.tokenizer.control.items()}
            last = control[answer.tokens[-2]] if answer.tokens[-2] in control else "copy"
            kinds.add(last)
            for token, look in zip(answer.tokens, answer.looks, strict=True):
                if look and look[1] > 0 and token not in control:
                    assert doc.tokens[look[0]] == token
            restated = [t for t, look in zip(answer.tokens, answer.looks, strict=True) if not look]
            words = text(kit, [t for t in restated if t not in control])
            assert words.strip() in asked_text
            if last == "<absent>":
                assert not any(words.strip().lower() in one.text.lower() for one in doc.lines)
    assert kinds == {"copy", "<absent>", "<place>", "<time>"}
