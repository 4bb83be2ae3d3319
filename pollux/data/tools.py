# SPDX-License-Identifier: Apache-2.0
"""Calls of tools as training examples: whether one tool fits what was said, and with which words.

The question is laid out as the server lays it out (`pollux.calls`). An argument is pointed at: its
last mention by the user, or else by anybody, or one of the values that its parameter lists.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pollux import calls
from pollux.calls import Asked, Parameter, Question, Role, Tool
from pollux.data import chores, mixture, services
from pollux.data.facts import Vocabulary
from pollux.data.requests import Request, mentions
from pollux.data.services import Dialogue
from pollux.tokenizer import Tokenizer

OF_SERVICES = 0.5  # of the batches
PARAMETERS = 10  # of a tool, at most
BY_RULE, OF_DIALOGUES = 64, 192  # pieces of a question, at most

Span = tuple[int, int]  # the first piece and the last


class Calls(NamedTuple):
    """Questions and what is right. `fits`: 1 where the tool is to be called, else 0.

    `first` and `last`: the pieces of each argument, both the head where nobody said it. `counts`: 1
    for an argument to be told, 0 for what fills up and for those of tools that do not fit.
    """

    asked: Asked
    fits: np.ndarray  # N
    first: np.ndarray  # N P
    last: np.ndarray  # N P
    counts: np.ndarray  # N P


@dataclass(frozen=True)
class Example:
    """`spans`: of each parameter, None where nobody said it; None where the tool does not fit."""

    tool: Tool
    question: Question
    spans: tuple[Span | None, ...] | None


@dataclass(frozen=True)
class Material:
    """What requests are made of."""

    vocabulary: Vocabulary
    questions: Sequence[str]  # of people, which call for no tool
    dialogues: Sequence[Dialogue]


def material(tokenizer: Tokenizer, evaluation: bool) -> Material:
    """RecipeError where the public data are missing. For evaluation: what training never meets."""
    kit = mixture.kit(tokenizer, ("books",), evaluation)
    return Material(kit.vocabulary, kit.questions, () if evaluation else services.trained())


def batch(material: Material, rng: np.random.Generator, words: int) -> Calls:
    """As many questions as have room in so many pieces, all by rule or all of dialogues."""
    if material.dialogues and rng.random() < OF_SERVICES:
        return _batch(rng, lambda: services.request(rng, material.dialogues), words, OF_DIALOGUES)
    by_rule = material.vocabulary, material.questions
    return _batch(rng, lambda: chores.request(rng, *by_rule), words, BY_RULE)


def _batch(rng: np.random.Generator, make, words: int, room: int) -> Calls:
    made: list[Example] = []
    while len(made) < words // room:
        one = example(make())
        if one and len(one.question.pieces) <= room and len(one.tool.parameters) <= PARAMETERS:
            made.append(one)
    return laid_out(made, room)


def laid_out(examples: Sequence[Example], room: int) -> Calls:
    shown = [(one.tool, one.question) for one in examples]
    asked = calls.asked(shown, room, PARAMETERS)
    first, last = asked.heads.copy(), asked.heads.copy()
    counts = np.zeros(first.shape, np.float32)
    for row, one in enumerate(examples):
        for number, span in enumerate(one.spans or ()):
            counts[row, number] = 1
            if span is not None:
                first[row, number], last[row, number] = span
    fits = np.array([one.spans is not None for one in examples], np.float32)
    return Calls(asked, fits, first, last, counts)


def example(request: Request) -> Example | None:
    """None where an argument stands nowhere."""
    question = calls.question(request.tool, request.turns)
    if request.arguments is None:
        return Example(request.tool, question, None)
    spans: list[Span | None] = []
    for number, parameter in enumerate(request.tool.parameters):
        value = request.arguments.get(parameter.name)
        found = None if value is None else _span(question, number + 1, parameter, value)
        if value is not None and found is None:
            return None
        spans.append(found)
    return Example(request.tool, question, tuple(spans))


def _span(question: Question, line: int, parameter: Parameter, value: str) -> Span | None:
    if parameter.listed:
        return next((s for s in calls.values(question, line) if _same(question[s], value)), None)
    for role in (Role.USER, Role.MODEL):
        begins = {one.begin: at for at, one in enumerate(question.pieces) if one.role == role}
        ends = {one.end: at for at, one in enumerate(question.pieces) if one.role == role}
        for at in reversed(mentions(question.text, value)):
            if at in begins and at + len(value) in ends:
                return begins[at], ends[at + len(value)]
    return None


def _same(shown: str, value: str) -> bool:
    return shown.casefold() == value.casefold()
