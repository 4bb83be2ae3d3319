# SPDX-License-Identifier: Apache-2.0
"""Where an answer was read: recall's weights gathered by block, with place and context.

A line that goes on in the next block is one source.
"""

from dataclasses import dataclass

import numpy as np

from pollux.config import BLOCK
from pollux.memory.place import Place, context, newlines_between, place_of
from pollux.memory.reading import Reading
from pollux.tokenizer import Tokenizer

Look = tuple[np.ndarray, np.ndarray]  # positions int [k], weights float [k] of one answer token
Span = tuple[float, int, int]  # weight, first and last position recalled


@dataclass(frozen=True, kw_only=True)
class Source:
    """A stretch of the reading an answer rests on. `weight`: its share of the recall, 0 to 1."""

    place: Place
    text: str
    weight: float
    start: int  # first and one past the last position in the reading
    end: int


def by_block(looks: list[Look]) -> dict[int, Span]:
    """Of each block number what was recalled there with a weight above a fiftieth."""
    blocks: dict[int, Span] = {}
    for positions, weights in looks:
        for position, weight in zip(positions.tolist(), weights.tolist(), strict=True):
            if weight > 0.02:
                total, first, last = blocks.get(position // BLOCK, (0.0, position, position))
                blocks[position // BLOCK] = (
                    total + weight,
                    min(first, position),
                    max(last, position),
                )
    return blocks


def joined(reading: Reading, tokenizer: Tokenizer, blocks: dict[int, Span]) -> list[Span]:
    """In order, neighbouring blocks made one where both begin in the same line."""
    spans: list[Span] = []
    for number, (weight, first, last) in sorted(blocks.items()):
        if number - 1 in blocks and same_line(reading, tokenizer, spans[-1][1], first):
            before, first, _ = spans.pop()
            weight += before
        spans.append((weight, first, last))
    return spans


def same_line(reading: Reading, tokenizer: Tokenizer, first: int, second: int) -> bool:
    """Whether two positions, `second` the later one, are in one line of one part."""
    part = reading.part_of(first)
    first = max(first, part.text_start)
    return second < part.end and not len(newlines_between(reading, tokenizer, first, second))


def cited(
    reading: Reading, tokenizer: Tokenizer, looks: list[Look], most: int = 3
) -> tuple[Source, ...]:
    """The stretches that carry the answer: those with at least a tenth of what all recalled."""
    found = _ranked(reading, tokenizer, looks, most, margin=24)
    return tuple(s for s in found if s.weight >= 0.1)


def _ranked(
    reading: Reading, tokenizer: Tokenizer, looks: list[Look], most: int, margin: int
) -> tuple[Source, ...]:
    spans = joined(reading, tokenizer, by_block(looks))
    total = sum(weight for weight, _, _ in spans)
    best = sorted(spans, key=lambda span: -span[0])[:most]
    return tuple(
        Source(
            place=place_of(reading, tokenizer, first),
            text=context(reading, tokenizer, first, last + 1, margin).strip(),
            weight=weight / total,
            start=first,
            end=last + 1,
        )
        for weight, first, last in best
    )
