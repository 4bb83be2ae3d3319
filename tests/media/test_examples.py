# SPDX-License-Identifier: Apache-2.0
"""The book that ships, and planting facts in it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollux.errors import InputError
from pollux.examples import plant, war_and_peace

FACT = "The secret word is zebra."


def test_the_book_is_whole():
    book = war_and_peace()
    assert book.name == "war-and-peace.txt" and book.kind == "text"
    assert book.text.startswith("BOOK ONE: 1805\n") and len(book.text) == 3_198_838
    assert book.text.endswith("a dependence of which we are not conscious.\n")


@pytest.mark.parametrize("depth", [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1])
def test_depth_in_the_book(depth):
    text = war_and_peace().text
    planted = plant(text, FACT, depth)
    before, after = planted.split(f"{FACT}\n")
    assert before == "" or before.endswith("\n")
    assert before + after == text or before[:-1] + after == text
    assert len(before) / len(text) == pytest.approx(depth, abs=0.001)
    assert re.search(r"(^|[.!?…]+[\"'”’)]*|\n)\n?$", before[-9:])


@given(st.text(st.sampled_from("ab ,.!\n\r\u3002\u4e2d"), max_size=60), st.floats(0, 1))
def test_nothing_else_changes_and_no_word_breaks(text, depth):
    planted = plant(text, FACT, depth)
    assert planted.count(FACT) == 1 and FACT in re.split("\r?\n", planted)
    before, after = planted.split(FACT)
    newline = "\r\n" if after.startswith("\r\n") else "\n"
    after = after.removeprefix(newline)
    whole = [before + after, before.removesuffix(newline) + after]
    assert text in whole
    if before.strip() and after:
        last, first = before.removesuffix(newline)[-1:], after[0]
        assert not (
            last.isalnum() and first.isalnum() and before.removesuffix(newline) + after == text
        )


@pytest.mark.parametrize(
    ("text", "depth", "planted"),
    [
        ("", 0.5, "{}\n"),
        ("One. Two. Three.", 0.3, "One.\n{}\n Two. Three."),
        ("Mr. A. Smith came. He left.", 0.4, "Mr. A. Smith came.\n{}\n He left."),
        ("“Go!” he said. “No.”", 0.5, "“Go!” he said.\n{}\n “No.”"),
        ("One.\r\nTwo.\r\n", 0.5, "One.\r\n{}\r\nTwo.\r\n"),
        ("A heading\n\nA text that goes on", 0.4, "A heading\n{}\n\nA text that goes on"),
        ("x = 1\ny = 2\n", 0.5, "x = 1\n{}\ny = 2\n"),
        ("no end in sight here", 0.5, "no end in\n{}\n sight here"),
        ("他来了。他走了。", 0.5, "他来了。\n{}\n他走了。"),
        ("indivisible", 0.9, "indivisible\n{}\n"),
    ],
)
def test_places(text, depth, planted):
    assert plant(text, FACT, depth) == planted.format(FACT)


@pytest.mark.parametrize(
    ("fact", "depth"), [(FACT, 1.1), (FACT, -0.1), (FACT, float("nan")), (" ", 0.5), ("a\nb", 0.5)]
)
def test_wrong_facts_and_depths(fact, depth):
    with pytest.raises(InputError, match="; give "):
        plant("text", fact, depth)
