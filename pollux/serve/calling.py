# SPDX-License-Identifier: Apache-2.0
"""Whether a function is called, which, and with what.

Each function is put to the model by itself, with what was said (`pollux.calls`); of those that fit
the likeliest is called. The lines of the call are held to the parameters' types, and what is text
in them to words that somebody said: spark has no others.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llguidance
import numpy as np

from pollux import calls
from pollux.calls import Parameter, Tool, Turn
from pollux.engine.answer import Respondent
from pollux.engine.sampling import Sampling, only
from pollux.media.part import Part
from pollux.serve import grammar, wire
from pollux.serve.errors import invalid
from pollux.serve.grammar import Guide
from pollux.serve.hub import Hub
from pollux.serve.work import Ticket

ROLES = {"user": calls.USER, "model": calls.MODEL}
BARE = {"type", "title", "description", "default", "examples"}  # of a schema, that forbid nothing
OWN_LINE = {"properties", "required", "additionalProperties"} | BARE  # of one with a line for each
TOGETHER = 32  # functions asked about at a time


@dataclass(frozen=True, kw_only=True)
class Function:
    """As the model is shown it, and the JSON schemas of its arguments.

    `whole`: one of all arguments, where they are too entangled for a line each.
    """

    tool: Tool
    schemas: dict[str, dict[str, Any]]
    required: frozenset[str]
    whole: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Calling:
    """Functions that may be called, and what was said; `forced`: one of them is."""

    functions: tuple[Function, ...]
    turns: tuple[Turn, ...]
    forced: bool


def wanted(
    declared: Sequence[wire.FunctionDeclaration],
    config: wire.ToolConfig | None,
    contents: Sequence[wire.Content],
) -> Calling | None:
    """None where nothing is to be called. ApiError for a name that is not declared.

    What a function answered is not asked of it again, unless a call is insisted on.
    """
    given = config.function_calling_config if config else None
    given = given or wire.FunctionCallingConfig()
    names = {one.name for one in declared}
    if unknown := sorted(set(given.allowed_function_names) - names):
        raise invalid(
            f"allowedFunctionNames has {unknown[0]!r}, which is not declared", "toolConfig"
        )
    forced = given.mode == "ANY"
    if forced and not names:
        raise invalid("mode ANY needs functionDeclarations", "toolConfig")
    answered = bool(contents) and any(part.function_response for part in contents[-1].parts)
    if not names or given.mode == "NONE" or (answered and not forced):
        return None
    allowed = set(given.allowed_function_names) or names
    return Calling(
        functions=tuple(function(one) for one in declared if one.name in allowed),
        turns=tuple(calls.heard(turns(contents))),
        forced=forced,
    )


def turns(contents: Sequence[wire.Content]) -> list[Turn]:
    return [
        Turn(role=ROLES.get(content.role or "user", calls.USER), text=part.text)
        for content in contents
        for part in content.parts
        if part.text and part.text.strip() and not part.thought
    ]


def function(declaration: wire.FunctionDeclaration) -> Function:
    schema = grammar.parameters(declaration)
    raw = declaration.parameters_json_schema or declaration.parameters or {}
    if (size := len(json.dumps(schema))) > grammar.SCHEMA_BYTES:
        raise invalid(f"{declaration.name} has {size:,} bytes, more than {grammar.SCHEMA_BYTES:,}")
    properties = schema.get("properties", {})
    lines = not set(schema) - OWN_LINE and schema.get("type", "object") == "object"
    lines = lines and isinstance(properties, dict) and all(map(_fits_a_line, properties))
    schemas = {name: _known(one) for name, one in properties.items()} if lines else {}
    told = raw.get("properties")
    told = told if isinstance(told, dict) else {}
    tool = Tool(
        name=declaration.name,
        description=declaration.description or "",
        parameters=tuple(_parameter(name, one, told.get(name)) for name, one in schemas.items()),
    )
    required = schema.get("required")
    required = required if isinstance(required, list) else []
    return Function(
        tool=tool,
        schemas=schemas,
        required=frozenset(name for name in required if name in schemas),
        whole=None if lines else schema,
    )


def _fits_a_line(name: str) -> bool:
    return bool(name.strip()) and not any(sign in name for sign in "\r\n:")


def _known(schema: Any) -> dict[str, Any]:
    """Of what may be null too, what else it may be: nobody says null."""
    if not isinstance(schema, dict):
        return {}
    others = schema.get("anyOf")
    if isinstance(others, list) and set(schema) <= {"anyOf"} | BARE:
        some = [one for one in others if one != {"type": "null"}]
        if len(some) == 1 and isinstance(some[0], dict):
            return some[0]
    return schema


def _parameter(name: str, schema: dict[str, Any], told: Any) -> Parameter:
    kind = schema.get("type")
    description = told.get("description") if isinstance(told, dict) else None
    return Parameter(
        name=name,
        kind=kind if isinstance(kind, str) else "string",
        values=tuple(_values(schema)),
        description=description if isinstance(description, str) else "",
    )


def _values(schema: dict[str, Any]) -> list[str]:
    """The texts allowed, where these are all."""
    values = schema.get("enum")
    if not isinstance(values, list) or not values or set(schema) - {"enum"} - BARE:
        return []
    plain = all(isinstance(v, str) and v == " ".join(v.split()) != "" for v in values)
    return values if plain and schema.get("type", "string") == "string" else []


def form(one: Function, said: Sequence[Turn]) -> str:
    """The grammar of a call's lines."""
    if one.whole is not None:
        return grammar.of_schema(one.whole)
    text = "\n".join(turn.text for turn in calls.heard(said))
    text = text.encode("utf-8", "replace").decode()  # lone surrogates have no UTF-8
    words = json.dumps({"substring_words": text})
    rules = [f"SAID: WORDS & /[^ \\n][^\\n]*/\nWORDS: %regex {words}", 'NEWLINE: "\\n"']
    lines = []
    for number, (name, schema) in enumerate(one.schemas.items()):
        head = json.dumps(calls.argument_head(name), ensure_ascii=False)
        rules.append(f'line{number}: {head} " "? ({_value(schema)}) NEWLINE')
        lines.append(f"line{number}" + ("" if name in one.required else "?"))
    start = f"start: {' '.join(lines)}" if lines else 'start: ""'
    return llguidance.LLMatcher.grammar_from_lark("\n".join([start, *rules]))


def _value(schema: dict[str, Any]) -> str:
    if values := _values(schema):
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in values)
    bare, kind = not set(schema) - BARE, schema.get("type", "string")
    if bare and kind == "string":
        return "SAID"
    return f"%json {json.dumps(schema | {'x-guidance': {'whitespace_flexible': False}})}"


def count(hub: Hub, declared: Sequence[wire.FunctionDeclaration]) -> int:
    """Tokens of what the model is shown of the functions."""
    shown = [calls.question(function(one).tool, ()) for one in declared]
    return sum(len(hub.model.tokenizer.encode(text)) for text in shown)


def results(contents: Sequence[wire.Content]) -> str:
    """What functions answered in the last turn."""
    answered = [part.function_response for part in contents[-1].parts if part.function_response]
    return "\n".join(
        f"{one.name}: {json.dumps(one.response or {}, ensure_ascii=False)}" for one in answered
    )


def chosen(hub: Hub, calling: Calling, ticket: Ticket) -> Function | None:
    """The function that fits best; None where none does and none must."""
    functions = calling.functions
    if calling.forced and len(functions) == 1:
        return functions[0]
    margins: list[float] = []
    for start in range(0, len(functions), TOGETHER):
        some = [_Verdict(hub) for _ in functions[start : start + TOGETHER]]
        handles = [
            ask(hub, calling, one, Sampling(max_tokens=1), verdict, ticket)
            for one, verdict in zip(functions[start:], some, strict=False)
        ]
        for handle in handles:
            handle.answer()
        ticket.check()
        margins += [verdict.margin for verdict in some]
    best = int(np.argmax(margins))
    return functions[best] if calling.forced or margins[best] > 0 else None


def ask(
    hub: Hub, calling: Calling, one: Function, sampling: Sampling, guide: Guide, ticket: Ticket
):
    """Asks about that function; nothing but what was said is known."""
    question = calls.question(one.tool, calling.turns)
    handle = hub.scheduler.submit(_nothing(hub, ticket), question, sampling, guide)
    ticket.at_cancel(handle.cancel)
    return handle


def _nothing(hub: Hub, ticket: Ticket) -> Respondent:
    piece = hub.library.piece(Part(name="prompt", kind="text", text=""))
    readings, _ = hub.library.readings([piece], ticket)
    return hub.library.respondent([piece.key], readings)


class _Verdict:
    """By how much a call is likelier than none. Ends the answer at once."""

    def __init__(self, hub: Hub):
        control = hub.model.tokenizer.control
        self.call, self.none = control["<begin_call>"], control["<other>"]
        self.end = control["<end>"]
        self.margin = -np.inf

    def __call__(self, said: Sequence[int], logits: np.ndarray) -> np.ndarray:
        self.margin = float(logits[self.call] - logits[self.none])
        return only(self.end, logits)


def writing(hub: Hub, calling: Calling, one: Function) -> Guide:
    """For an answer that is a call of it."""
    begin = hub.model.tokenizer.control["<begin_call>"]
    inner = hub.grammars.guide(form(one, calling.turns))

    def guide(said: Sequence[int], logits: np.ndarray) -> np.ndarray:
        return inner(said[1:], logits) if said else only(begin, logits)

    return guide


def call_of(one: Function, text: str) -> wire.FunctionCall | None:
    """The call that the model wrote, to its end; None where it is none."""
    try:
        arguments = _lines(one, text) if one.whole is None else json.loads(text)
    except ValueError:
        return None
    return wire.FunctionCall(id=f"call-{secrets.token_hex(8)}", name=one.tool.name, args=arguments)


def _lines(one: Function, text: str) -> dict[str, Any]:
    arguments = {}
    for line in text.splitlines():
        for name, schema in one.schemas.items():
            head = calls.argument_head(name)
            if line.startswith(head) and name not in arguments:
                said = line[len(head) :].strip()
                plain = _values(schema) or _value(schema) == "SAID"
                arguments[name] = said if plain else json.loads(said)
                break
    return arguments
