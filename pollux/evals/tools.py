# SPDX-License-Identifier: Apache-2.0
"""Calls of tools, as the server makes them: are the right ones called with the right words?

Simple tools are made by rule of errands, verbs and words that training never meets. Services are
those of Schema-Guided Dialogue's test part that its training part does not have. A call is right
when its function and all its arguments are; letters' case does not count.
"""

import json
import lzma
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pollux import Model, calls
from pollux.calls import Tool, Turn
from pollux.data import chores, corpora, facts, services
from pollux.data.requests import said
from pollux.data.services import Dialogue
from pollux.errors import InputError
from pollux.evals.score import Score, wilson
from pollux.serve import calling, wire
from pollux.serve.calling import Calling, Decider
from pollux.serve.hub import Hub
from pollux.serve.settings import Settings

HELD_OUT = "text/sgd-test.jsonl.xz"
SCHEMAS = "text/sgd-schemas.jsonl.xz"
OTHERS = 3  # tools declared beside the one that fits
QUESTIONS = (
    "How many of them were there?",
    "Why did they leave so early?",
    "Could you tell me more about it?",
    "How much did all of it cost?",
)


@dataclass(frozen=True, kw_only=True)
class Call:
    function: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is said, what is declared, and the calls that are right: none, one or two."""

    cell: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...]
    calls: tuple[Call, ...]


@dataclass(frozen=True, kw_only=True)
class Trial:
    cell: str
    said: str
    declared: tuple[str, ...]
    expected: tuple[Call, ...]
    made: tuple[Call, ...]

    @property
    def chose(self) -> bool:
        return self._names(self.expected) == self._names(self.made)

    @property
    def right(self) -> bool:
        pairs = zip(self._sorted(self.expected), self._sorted(self.made), strict=False)
        return self.chose and all(same(one.arguments, other.arguments) for one, other in pairs)

    @staticmethod
    def _sorted(some: Sequence[Call]) -> list[Call]:
        return sorted(some, key=lambda call: call.function)

    def _names(self, some: Sequence[Call]) -> list[str]:
        return [call.function for call in self._sorted(some)]


def same(expected: Mapping[str, str], given: Mapping[str, Any]) -> bool:
    return set(expected) == set(given) and all(
        _alike(text, given[name]) for name, text in expected.items()
    )


def _alike(text: str, value: Any) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return calls.number(text) == value
    return " ".join(str(value).split()).casefold() == " ".join(text.split()).casefold()


def simple(vocabulary: facts.Vocabulary, trials: int, seed: int) -> Iterator[Case]:
    """One tool declared; several; several and two wishes; and several of which none fits."""
    for number in range(trials):
        rng = np.random.default_rng([seed, number, *map(ord, "simple tools")])
        wish = chores.wanted(rng, vocabulary)
        text, arguments = chores.put(rng, vocabulary, wish)
        call = Call(function=wish.tool.name, arguments=arguments)
        others = _others(rng, vocabulary, wish)
        tools = [wish.tool, *(other.tool for other in others)]
        shuffled = tuple(tools[i] for i in rng.permutation(len(tools)))
        here = {"turns": _by_user(text), "calls": (call,)}
        yield Case(cell="simple tool", tools=(wish.tool,), **here)
        yield Case(cell="one of several", tools=shuffled, **here)
        more, its = chores.put(rng, vocabulary, others[0])
        yield Case(
            cell="two at once",
            turns=_by_user(f"{text.rstrip('.?')}. {more}"),
            tools=shuffled,
            calls=(call, Call(function=others[0].tool.name, arguments=its)),
        )
        asked = chores.question(rng, vocabulary, QUESTIONS) if rng.random() < 0.5 else text
        yield Case(cell="none fits", turns=_by_user(asked), tools=tuple(tools[1:]), calls=())


def _by_user(text: str) -> tuple[Turn, ...]:
    return (Turn(role=calls.USER, text=text),)


def _others(
    rng: np.random.Generator, vocabulary: facts.Vocabulary, wish: chores.Wish
) -> list[chores.Wish]:
    found: dict[str, chores.Wish] = {}
    while len(found) < OTHERS:
        other = chores.other(rng, vocabulary, wish)
        found[other.tool.name] = other
    return [*found.values()]


def of_services(trials: int, seed: int) -> Iterator[Case]:
    """All functions of the service declared; and those of another service, of which none fits."""
    found = held_out()
    rng = np.random.default_rng([seed, *map(ord, "services")])
    drawn = [found[int(i)] for i in rng.permutation(len(found))]
    sayable = [one for one in drawn if all_said(one)]
    for cell, some in (("service", sayable), ("service, any call", drawn)):
        for one in some[:trials]:
            yield Case(
                cell=cell,
                turns=one.turns,
                tools=tuple(one.service.tools.values()),
                calls=(Call(function=one.method, arguments=one.arguments),),
            )
    for one in drawn[:trials]:
        foreign = [other for other in one.others if other.family != one.service.family]
        tools = tuple(foreign[int(rng.integers(len(foreign)))].tools.values())
        yield Case(cell="service, none fits", turns=one.turns, tools=tools, calls=())


def all_said(one: Dialogue) -> bool:
    """Whether every value can be copied: it stands in the conversation, or is yes or no."""
    known = {p.name: p for p in one.service.tools[one.method].parameters}
    return all(
        name in known and said(known[name], value, one.turns)
        for name, value in one.arguments.items()
    )


def held_out() -> list[Dialogue]:
    """Calls of services that training has not. InputError where the files are not here."""
    split: dict[str, dict[str, services.Service]] = {"train": {}, "test": {}}
    for row in _rows(SCHEMAS):
        if row["split"] in split:
            split[row["split"]][row["service_name"]] = services.service(row)
    unseen = {name: one for name, one in split["test"].items() if name not in split["train"]}
    return [found for row in _rows(HELD_OUT) for found in services.dialogues(row, unseen)]


def _rows(file: str) -> Iterator[dict]:
    directory, source = corpora.data_directory(), services.SOURCE.source
    if directory is None or not (path := directory / file).is_file():
        raise InputError(f"{file} is not here: get it from {source} and set POLLUX_DATA")
    try:
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)
    except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
        raise InputError(f"cannot read {path} ({error}): get it again from {source}") from None


def run(model: Model, cases: Iterator[Case]) -> Iterator[Trial]:
    with tempfile.TemporaryDirectory() as state:
        hub = Hub(model, Settings(state=Path(state)))
        try:
            for case in cases:
                yield _tried(hub, case)
        finally:
            hub.close()


def _tried(hub: Hub, case: Case) -> Trial:
    functions = tuple(calling.function(declared(tool)) for tool in case.tools)
    wanted = Calling(functions=functions, turns=case.turns, forced=False)
    decided = Decider(wanted, hub.grammars, lambda: None).decided()
    made = [calling.call_of(one) for one in decided if not one.written]
    return Trial(
        cell=case.cell,
        said="\n".join(f"{turn.role}: {turn.text}" for turn in case.turns),
        declared=tuple(tool.name for tool in case.tools),
        expected=case.calls,
        made=tuple(Call(function=one.name, arguments=one.args or {}) for one in made if one),
    )


def declared(tool: Tool) -> wire.FunctionDeclaration:
    """As a client would."""
    properties = {}
    for one in tool.parameters:
        schema: dict[str, Any] = {"type": one.kind}
        schema |= {"enum": [*one.values]} if one.values else {}
        schema |= {"description": one.description} if one.description else {}
        properties[one.name] = schema
    return wire.FunctionDeclaration(
        name=tool.name,
        description=tool.description or None,
        parameters_json_schema={"type": "object", "properties": properties},
    )


def cells(trials: Sequence[Trial]) -> dict[str, tuple[Score, Score]]:
    """Of each cell: the right function chosen (or none), and the call exactly right."""
    made = {}
    for cell in dict.fromkeys(one.cell for one in trials):
        here = [one for one in trials if one.cell == cell]
        chose, right = sum(one.chose for one in here), sum(one.right for one in here)
        made[cell] = Score(chose, len(here)), Score(right, len(here))
    return made


def save(trials: Sequence[Trial], path: Path, about: Mapping[str, Any]) -> None:
    """JSON with every trial, written beside and renamed."""
    rows = {
        cell: {
            name: {**asdict(score), "wilson": wilson(score.right, score.trials)}
            for name, score in (("chose", chose), ("exact", right))
        }
        for cell, (chose, right) in cells(trials).items()
    }
    told = [{**asdict(one), "right": one.right} for one in trials]
    beside = path.with_suffix(".partial")
    text = json.dumps({**about, "cells": rows, "trials": told}, ensure_ascii=False, indent=1)
    beside.write_text(text, "utf-8")
    beside.replace(path)
