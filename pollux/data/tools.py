# SPDX-License-Identifier: Apache-2.0
"""Calls of tools as training examples: whether one tool fits what was said, and with what.

The question is rendered as the server renders it (`pollux.calls`). Every token of a call is a copy:
the beginning of a line from the tool's own, a value from what was said, `true` and the like from
the values listed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pollux import calls, prompt
from pollux.calls import Parameter, Tool
from pollux.data import chores, services, skills
from pollux.data.answers import Chain
from pollux.data.requests import Request, mentions
from pollux.data.services import Dialogue
from pollux.data.skills import Document, Kit
from pollux.tokenizer import Tokenizer

GENRE = "tools"
OF_SERVICES = 0.4  # of the examples, where there are dialogues; the rest are made by rule
LITTLE = 160  # tokens of the document beside the questions, at most: calls do not need it


@dataclass(frozen=True)
class Place:
    """Tokens [start, end) of a question."""

    start: int
    end: int


def document(kit: Kit, rng: np.random.Generator) -> Document:
    """A few lines of something: what a request brings along beside its tools."""
    genre = kit.vocabulary.pick(rng, [*kit.corpora, "random"])
    size = int(rng.integers(20, LITTLE))
    return Document(GENRE, skills.document(kit, rng, genre, size, []).tokens)


def call(kit: Kit, rng: np.random.Generator, dialogues: Sequence[Dialogue]):
    """Tokens of a question and its answer; None where a value cannot be copied."""
    if dialogues and rng.random() < OF_SERVICES:
        made = services.request(rng, dialogues)
    else:
        made = chores.request(rng, kit.vocabulary, kit.questions)
    return example(kit.tokenizer, made)


def example(tokenizer: Tokenizer, request: Request) -> tuple[np.ndarray, Chain] | None:
    """None where the words of a value do not begin and end as tokens do."""
    text = calls.question(request.tool, request.turns)
    asked, control = prompt.question(tokenizer, text), tokenizer.control
    answer = Chain()
    if request.arguments is None:
        answer.add([control["<other>"]])
        return asked, answer.add([control["<end>"]])
    answer.add([control["<begin_call>"]])
    for number, parameter in enumerate(request.tool.parameters):
        if parameter.name not in request.arguments:
            continue
        value = request.arguments[parameter.name]
        head, said = _head(tokenizer, asked, text, number, parameter), None
        if head is not None:
            said = _value(tokenizer, asked, text, request.tool, number, value)
        if head is None or said is None:
            return None
        answer.repeat(asked[head.start : head.end], head.start)
        answer.begins.add(len(answer.tokens))
        answer.repeat(asked[said.start : said.end], said.start)
        answer.add([tokenizer.newline])
    return asked, answer.add([control["<end>"]])


def _head(
    tokenizer: Tokenizer, asked: np.ndarray, text: str, number: int, parameter: Parameter
) -> Place | None:
    """What the line of that parameter begins with."""
    start = _line(text, number)
    end = start + len(calls.argument_head(parameter.name))
    return _place(tokenizer, asked, text, start, end)


def _line(text: str, number: int) -> int:
    """Where the line of that parameter begins: the first is that of the tool."""
    return sum(len(line) + 1 for line in text.split("\n")[: number + 1])


def _value(
    tokenizer: Tokenizer, asked: np.ndarray, text: str, tool: Tool, number: int, value: str
) -> Place | None:
    """Its last mention by the user, or else by anybody, or else in the list of values."""
    begin = _line(text, len(tool.parameters))  # of the conversation
    found = [at + begin for at in mentions(text[begin:], value)]
    by_user = [at for at in found if text.rfind(f"\n{calls.USER}:", 0, at) >= _turn(text, at)]
    parameter = tool.parameters[number]
    if parameter.kind == "boolean" or (not found and value in parameter.values):
        start, end = _line(text, number), _line(text, number + 1)
        start += len(calls.argument_head(parameter.name))
        found, by_user = [start + at for at in mentions(text[start:end], value)[:1]], []
    for at in (*by_user[::-1], *found[::-1]):
        start = at - (text[at - 1] == " ")
        if (place := _place(tokenizer, asked, text, start, at + len(value))) is not None:
            return place
    return None


def _turn(text: str, at: int) -> int:
    """Where the line break before the turn stands."""
    return text.rfind("\n", 0, at)


def _place(
    tokenizer: Tokenizer, asked: np.ndarray, text: str, start: int, end: int
) -> Place | None:
    """The tokens of text[start:end]; None where it does not begin and end as tokens do."""
    ends = np.cumsum(tokenizer.byte_lengths[asked])
    low, high = len(text[:start].encode()), len(text[:end].encode())
    first, last = np.searchsorted(ends, low, "right"), np.searchsorted(ends, high)
    aligned = ends[last] == high and (ends[first - 1] if first else 0) == low
    return Place(int(first), int(last) + 1) if aligned else None
