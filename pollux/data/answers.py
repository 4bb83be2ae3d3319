# SPDX-License-Identifier: Apache-2.0
"""Answers of training examples: tokens, and where each is copied from."""

from dataclasses import dataclass, field

import numpy as np

NOWHERE = (-1, -1)  # a look that should recall nothing: what is asked for is not there


@dataclass
class Answer:
    """Tokens of an answer and where each is recalled from.

    `looks[i]`: the document range [from, to) to recall when token i is to come, or None.
    `passage`: the range that the question is about, or None.
    `begins`: tokens that begin something said again of the question, whatever stands before.
    """

    tokens: list[int] = field(default_factory=list)
    looks: list[tuple[int, int] | None] = field(default_factory=list)
    passage: tuple[int, int] | None = None
    begins: set[int] = field(default_factory=lambda: {0})

    def add(self, tokens, look=None) -> "Answer":
        for token in tokens:
            self.tokens.append(int(token))
            self.looks.append(look)
        return self


@dataclass
class Chain(Answer):
    """An answer that copies from its question and from itself, too.

    `again[i]`: where in question and answer, counted from the question's first token, token i is
    copied from, or None.
    """

    again: list[int | None] = field(default_factory=list)

    def add(self, tokens, look=None) -> "Chain":
        super().add(tokens, look)
        self.again += [None] * (len(self.tokens) - len(self.again))
        return self

    def repeat(self, tokens, start: int) -> "Chain":
        """Tokens that stand at `start` already."""
        self.add(tokens)
        self.again[-len(tokens) :] = range(start, start + len(tokens))
        return self

    def recall(self, document: np.ndarray, start: int, end: int) -> "Chain":
        for at in range(start, end):
            self.add(document[at : at + 1], (at, at + 1))
        return self
