# SPDX-License-Identifier: Apache-2.0
"""Places: counted from tokens, compared with the same counted from the text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollux.errors import InputError
from pollux.memory.place import (
    TIME,
    Place,
    byte_spots,
    context,
    line_span,
    line_text,
    place_of,
)
from pollux.memory.reading import Reading

TEXT = st.text(st.sampled_from("ab \n\r\t你é\U0001f600théneedl"), max_size=60)


@given(st.lists(TEXT, min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_every_position_of_every_part(tokenizer, text_reading, texts):
    named = {f"part {i}.txt": text for i, text in enumerate(texts)}
    reading = text_reading(named)
    both = Reading.combine([text_reading({"other": "x\ny"}), reading])
    for part, text in zip(reading.parts, texts, strict=True):
        raw, ids = text.encode(), reading.tokens
        for position in range(part.text_start, part.end):
            byte = sum(len(tokenizer.pieces[i]) for i in ids[part.text_start : position])
            before = raw[:byte].decode("utf-8", "ignore")  # whole characters only
            line = before.count("\n") + 1
            column = len(before) - (before.rfind("\n") + 1) + 1
            expected = Place(part=part.name, line=line, column=column, byte=byte)
            assert place_of(reading, tokenizer, position) == expected
            assert place_of(both, tokenizer, position + 64) == expected
            found = line_text(reading, tokenizer, position)
            assert found == text.split("\n")[line - 1].rstrip("\r")


def test_header_is_at_the_beginning_and_padding_nowhere(tokenizer, text_reading):
    reading = text_reading({"a.txt": "one\ntwo", "b.txt": "three"})
    first, second = reading.parts
    for part in (first, second):
        for position in range(part.start, part.text_start + 1):
            place = place_of(reading, tokenizer, position)
            assert place == Place(part=part.name, line=1, column=1, byte=0)
    assert line_text(reading, tokenizer, second.start) == "three"
    for position in (first.end, second.start - 1, len(reading)):
        with pytest.raises(IndexError):
            place_of(reading, tokenizer, position)


def position_of(reading, tokenizer, part, text):
    """Position of the first occurrence of `text` in a part, if a token begins there."""
    ids = reading.tokens[part.text_start : part.end].tolist()
    wanted = tokenizer.encode(text).tolist()
    return part.text_start + next(i for i in range(len(ids)) if ids[i : i + len(wanted)] == wanted)


def test_place_reads_like_a_compiler_message(tokenizer, text_reading):
    reading = text_reading({"war.txt": "你好\nthe secret\n[00:01:02:03] CC: needle"})
    at = position_of(reading, tokenizer, reading.parts[0], "secret")
    place = place_of(reading, tokenizer, at)
    assert str(place) == "war.txt:2" and place.column == 5 and place.byte == 11
    at = position_of(reading, tokenizer, reading.parts[0], "needle")
    assert str(place_of(reading, tokenizer, at)) == "war.txt:3 (00:01:02:03)"


@pytest.mark.parametrize(
    ("line", "time"),
    [
        ("[04:13:23:12] CDR: Tranquility", "04:13:23:12"),
        ("[00:01:02] hello", "00:01:02"),
        ("00:01:02 hello", "00:01:02"),
        ("00:01:02,500 --> 00:01:05,000", "00:01:02"),
        ("[00:01:02.500 --> 00:01:05.000]", "00:01:02"),
        ("102:45:40 Armstrong", "102:45:40"),
        ("  (12:30) hello", "12:30"),
        ("12:30 hello", "12:30"),
        ("[-00:00:00:04] before", "-00:00:00:04"),
        ("at 12:30 hello", None),
        ("12:75 hello", None),
        ("3:16 For God so loved", None),
        ("12:301 hello", None),
        ("1:2:3:4:5", None),
        ("01:02:03:04:05", None),
        ("hello", None),
        ("", None),
    ],
)
def test_timestamps(line, time):
    found = TIME.match(line)
    assert (found[1] if found else None) == time


def test_time_comes_from_the_line_or_up_to_twenty_above(tokenizer, text_reading):
    lines = ["[00:00:01] start", *("x" * i for i in range(1, 26))]
    reading = text_reading({"clock": "[11:11:11] other part", "tape": "\n".join(lines)})
    part = reading.parts[1]
    at = part.text_start
    for number, line in enumerate(lines):
        time = place_of(reading, tokenizer, at).time
        assert time == ("00:00:01" if number <= 20 else None)
        at += len(line) + 1
    bare = text_reading({"clock": "[11:11:11] other part", "tape": "no time\nhere"})
    assert place_of(bare, tokenizer, bare.parts[1].end - 1).time is None


def test_time_is_not_taken_from_the_next_line(tokenizer, text_reading):
    reading = text_reading({"tape": "\n[00:00:09] nine"})
    assert place_of(reading, tokenizer, reading.parts[0].text_start).time is None


def test_context_is_clipped_and_whole(tokenizer, text_reading):
    text = "one \U0001f601 two \U0001f602 three"
    reading = text_reading({"a": "before", "b": text, "c": "after"})
    part = reading.parts[1]
    start = position_of(reading, tokenizer, part, "two")
    assert context(reading, tokenizer, start, start + 3) == text
    assert context(reading, tokenizer, start, start + 3, margin_tokens=0) == "two"
    for margin in range(1, 9):  # the emoji are four tokens each
        around = context(reading, tokenizer, start, start + 3, margin_tokens=margin)
        assert "\ufffd" not in around and around in text and "two" in around
    assert context(reading, tokenizer, part.start, part.start + 2, margin_tokens=3) == "one"
    assert context(reading, tokenizer, part.end - 1, part.end) == text[-18:]


def test_ids_without_text_count_no_bytes(tokenizer, random_reading):
    ids = np.array([1, 2, 2 + ord("a"), 60_000, 2 + ord("b")])
    reading = random_reading([5], tokens=[ids])
    place = place_of(reading, tokenizer, 4)
    assert (place.line, place.column, place.byte) == (1, 2, 1)


@given(TEXT)
@settings(max_examples=60, deadline=None)
def test_bytes_and_lines_have_their_positions(tokenizer, text_reading, text):
    reading = text_reading({"other": "x", "a.txt": text})
    part, raw, ids = reading.parts[1], text.encode(), reading.tokens
    spots = byte_spots(reading, tokenizer, part, range(len(raw) + 1))
    for byte, (token, inside) in enumerate(spots):
        before = tokenizer.pieces[ids[token]][:inside] if inside else b""
        assert (
            b"".join(tokenizer.pieces[i] for i in ids[part.text_start : token]) + before
            == (raw[:byte])
        )
    lines = text.splitlines(keepends=True) if not set("\r") & {*text} else None
    if lines is None:  # there a line ends for Python only
        return
    for first in range(1, len(lines) + 2):
        for last in range(first - 1, len(lines) + 1):
            start, end = line_span(reading, tokenizer, part, first, last)
            assert tokenizer.decode(ids[start:end]) == "".join(lines[first - 1 : last])


def test_bytes_and_lines_that_are_not_there(tokenizer, text_reading):
    reading = text_reading({"a.txt": "one\ntwo"})
    part = reading.parts[0]
    for byte in (-1, 8):
        with pytest.raises(InputError, match=f"no byte {byte} in a.txt: it has 7"):
            byte_spots(reading, tokenizer, part, [0, byte])
    for lines in ((0, 1), (1, 3), (3, 3), (4, 3), (2, 0)):
        line = f"no lines {lines[0]} to {lines[1]} in a.txt: it has 2"
        with pytest.raises(InputError, match=line):
            line_span(reading, tokenizer, part, *lines)
