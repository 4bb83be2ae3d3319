# SPDX-License-Identifier: Apache-2.0
"""Sources: blocks by their share of the recall, a line that goes on in the next block as one."""

import numpy as np
import pytest

import pollux
from pollux.config import BLOCK
from pollux.engine.source import cited

LONG = "stone river lamp copper meadow quiet harbour glass ember north " * 20
SHORT = "drum salt.\n" * 120


@pytest.fixture(scope="module")
def reading(model):
    """A part of one long line, the same again, and a part of short lines."""
    texts = LONG, LONG + "\n" + LONG, SHORT
    parts = [pollux.Part(name=f"{i}.txt", kind="text", text=t) for i, t in enumerate(texts)]
    return model.read(*parts)


@pytest.fixture
def sources(model, reading):
    """Sources of one look that weighs each position the same."""

    def find(*positions, of=cited):
        weights = np.full(len(positions), 1 / len(positions))
        return of(reading, model.loaded.tokenizer, [(np.array(positions), weights)])

    return find


def test_a_line_over_two_blocks_is_one_source(reading, sources):
    edge = reading.parts[0].start + BLOCK
    (source,) = sources(edge - 3, edge + 2, edge - 9)
    assert (source.start, source.end) == (edge - 9, edge + 3)
    assert source.weight == pytest.approx(1.0)
    assert str(source.place) == "0.txt:1"


def test_weights_add_up_before_the_best_are_chosen(reading, sources):
    """A third and a third make two thirds, which come first."""
    other = reading.parts[2].start + 40
    edge = reading.parts[0].start + BLOCK
    first, second = sources(other, edge - 1, edge)
    assert (first.start, first.end, second.start) == (edge - 1, edge + 1, other)
    assert (first.weight, second.weight) == (pytest.approx(2 / 3), pytest.approx(1 / 3))


def test_a_line_over_many_blocks_is_one_source(reading, sources):
    start = reading.parts[0].start
    (source,) = sources(*(start + 20 + i * BLOCK for i in range(4)))
    assert (source.start, source.end) == (start + 20, start + 21 + 3 * BLOCK)


def test_header_belongs_to_the_first_line(reading, sources):
    part = reading.parts[0]
    (source,) = sources(part.start, part.start + BLOCK)
    assert str(source.place) == "0.txt:1"


def test_blocks_apart_stay_apart(reading, sources):
    """One line, but nothing was recalled between them."""
    start = reading.parts[0].start
    assert len(sources(start + 20, start + 20 + 2 * BLOCK)) == 2


def test_lines_stay_apart(reading, sources):
    edge = reading.parts[2].start + BLOCK
    first, second = sources(edge - 20, edge + 20)
    assert first.place.line < second.place.line
    assert (first.end, second.start) == (edge - 19, edge + 20)


def test_parts_stay_apart(reading, sources):
    """Though the first ends without a newline, and the next begins in the next block."""
    before, after = reading.parts[0].end - 1, reading.parts[1].start
    assert after // BLOCK == before // BLOCK + 1
    found = sources(before, after)
    assert {source.place.part for source in found} == {"0.txt", "1.txt"}
