# SPDX-License-Identifier: Apache-2.0
"""Dialogues with services, of Schema-Guided Dialogue (Rastogi et al. 2019), as requests for tools.

What people say there is not always what a call has: dates become others, "two" becomes 2. A call is
copied, so a parameter whose value nobody said is not declared. Services of the evaluation are those
that training never meets; their files are refused here by name (`corpora.HELD_OUT`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from pollux import calls
from pollux.calls import MODEL, USER, Parameter, Tool, Turn
from pollux.data.corpora import Corpus, rows
from pollux.data.requests import Request, said

SOURCE = Corpus(
    name="services",
    files=("text/sgd-schemas.jsonl.xz", "text/sgd-train.jsonl.xz"),
    source="github.com/google-research-datasets/dstc8-schema-guided-dialogue",
    licence="CC-BY-SA-4.0",
    texts=lambda row: "",
)
FITS = 0.55  # of the examples
OWN = 0.5  # of the others are of another function of the same service
SPARE = 3  # parameters declared that nobody gave a value, at most
ALIKE = {"Media": "Movies"}  # families of services that do the same
ROLES = {"user": USER, "assistant": MODEL}


@dataclass(frozen=True, kw_only=True)
class Service:
    name: str
    tools: dict[str, Tool]

    @property
    def family(self) -> str:
        family = self.name.rpartition("_")[0]
        return ALIKE.get(family, family)


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """A conversation up to a call, the service and its function that was called, and with what."""

    service: Service
    method: str
    turns: tuple[Turn, ...]
    arguments: dict[str, str]
    others: tuple[Service, ...]  # of the same split


def service(row: dict) -> Service:
    """Of a row of the schemas."""
    slots = {slot["name"]: _parameter(slot) for slot in row["slots"]}
    tools = {}
    for intent in row["intents"]:
        names = [*intent["required_slots"], *intent["optional_slots"]]
        tools[intent["name"]] = Tool(
            name=intent["name"],
            description=intent["description"],
            parameters=tuple(slots[name] for name in dict.fromkeys(names)),
        )
    return Service(name=row["service_name"], tools=tools)


def _parameter(slot: dict) -> Parameter:
    values = tuple(slot["possible_values"]) if slot["is_categorical"] else ()
    flag = {value.lower() for value in values} == {*calls.YES_NO}
    return Parameter(
        name=slot["name"],
        kind="boolean" if flag else "string",
        values=() if flag else values,
        description=slot["description"],
    )


def dialogues(row: dict, services: dict[str, Service]) -> Iterator[Dialogue]:
    """Each call of a dialogue, with what was said before."""
    turns: list[Turn] = []
    for turn in row["turns"]:
        if turn["role"] in ROLES:
            turns.append(Turn(role=ROLES[turn["role"]], text=turn["text"]))
        elif turn["role"] == "call" and turn["service"] in services and turns:
            chosen = services[turn["service"]]
            if turn["method"] not in chosen.tools:
                continue
            flags = {p.name for p in chosen.tools[turn["method"]].parameters if p.kind == "boolean"}
            given = turn["parameters"].items()
            yield Dialogue(
                service=chosen,
                method=turn["method"],
                turns=tuple(calls.heard(turns)),
                arguments={k: str(v).lower() if k in flags else str(v) for k, v in given},
                others=tuple(services.values()),
            )


@cache
def trained() -> tuple[Dialogue, ...]:
    """All calls of the training part. RecipeError where it is not there."""
    known: dict[str, Service] = {}
    found: list[Dialogue] = []
    for row in rows(SOURCE):
        if "intents" in row:
            if row["split"] == "train":
                known[row["service_name"]] = service(row)
        else:
            found += dialogues(row, known)
    return tuple(found)


def request(rng: np.random.Generator, found: Sequence[Dialogue]) -> Request:
    """A call, its tool declared with what can be copied; or another tool, which does not fit."""
    one = found[int(rng.integers(len(found)))]
    if rng.random() < FITS:
        return copied(rng, one)
    return Request(tool=another(rng, one), turns=one.turns, arguments=None)


def copied(rng: np.random.Generator, one: Dialogue) -> Request:
    tool = one.service.tools[one.method]
    arguments = {
        parameter.name: one.arguments[parameter.name]
        for parameter in tool.parameters
        if parameter.name in one.arguments
        and said(parameter, one.arguments[parameter.name], one.turns)
    }
    spare = [p.name for p in tool.parameters if p.name not in one.arguments]
    kept = {*arguments, *rng.permutation(spare)[: int(rng.integers(SPARE + 1))]}
    declared = tuple(p for p in tool.parameters if p.name in kept)
    shown = Tool(name=tool.name, description=tool.description, parameters=declared)
    return Request(tool=shown, turns=one.turns, arguments=arguments)


def another(rng: np.random.Generator, one: Dialogue) -> Tool:
    """A function that was not called."""
    own = [tool for name, tool in one.service.tools.items() if name != one.method]
    if own and rng.random() < OWN:
        return own[int(rng.integers(len(own)))]
    foreign = [other for other in one.others if other.family != one.service.family]
    tools = [*foreign[int(rng.integers(len(foreign)))].tools.values()]
    return tools[int(rng.integers(len(tools)))]
