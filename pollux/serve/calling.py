# SPDX-License-Identifier: Apache-2.0
"""Whether functions are called, which, and with what.

Each function is put to the caller by itself, with what was said (`pollux.calls`); of those that fit
the likeliest is called. What was said may fall into parts, each a wish of its own: then each part
has its call. Arguments are words that somebody said, as far as their schemas allow them. A required
one that nobody said is asked for; where a call is insisted on, the model writes it, held to the
schema, and so it does where a schema is too entangled for a line each.
"""

import json
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import llguidance

from pollux import calls
from pollux.calls import Parameter, Tool, Turn
from pollux.engine.answer import Respondent
from pollux.engine.calling import verdicts
from pollux.engine.sampling import Sampling
from pollux.engine.scheduler import Handle
from pollux.media.part import Part
from pollux.serve import grammar, wire
from pollux.serve.errors import invalid
from pollux.serve.grammar import Grammars
from pollux.serve.hub import Hub
from pollux.serve.work import Ticket

ROLES = {"user": calls.USER, "model": calls.MODEL}
BARE = {"type", "title", "description", "default", "examples"}  # of a schema, that forbid nothing
OWN_LINE = {"properties", "required", "additionalProperties"} | BARE  # of one with a line for each
JOINTS = re.compile(r"(?<=[.!?;])\s+|,?\s+(?:and|then)\s+|[；。！？]")
MOST_JOINTS = 6  # of what was said, that are tried
PARTED = 1.0  # nats by which each of two parts calls for a function at least
LISTING = re.compile(r"\s*(?:[,;、]|\band\b|和)\s*")


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


def count(hub: Hub, declared: Sequence[wire.FunctionDeclaration]) -> int:
    """Tokens of what is shown of the functions."""
    shown = [calls.question(function(one).tool, ()).text for one in declared]
    return sum(len(hub.model.tokenizer.encode(text)) for text in shown)


def results(contents: Sequence[wire.Content]) -> str:
    """What functions answered in the last turn."""
    answered = [part.function_response for part in contents[-1].parts if part.function_response]
    return "\n".join(
        f"{one.name}: {json.dumps(one.response or {}, ensure_ascii=False)}" for one in answered
    )


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A function to be called with these arguments.

    `missing`: required ones that nobody said. `forced`: then they are written all the same.
    """

    function: Function
    arguments: dict[str, Any]
    missing: tuple[str, ...]
    forced: bool
    turns: tuple[Turn, ...]
    fits: float

    @property
    def written(self) -> bool:
        """Whether the model has to write something of it."""
        return self.function.whole is not None or (self.forced and bool(self.missing))


@dataclass(frozen=True)
class Decider:
    """`check`: raises where nobody waits for the decision any more."""

    calling: Calling
    grammars: Grammars
    check: Callable[[], None]

    def decided(self) -> list[Decision]:
        """Calls in the order they were asked for; none where no function fits and none must."""
        calling, whole = self.calling, self._best(self.calling.turns)
        if not calling.turns or (whole.fits <= 0 and not calling.forced):
            return [whole] if calling.forced else []
        return self._parted(whole)

    def _parted(self, whole: Decision) -> list[Decision]:
        """The call, or two where both halves of what was said call for one; and so each half."""
        *before, last = whole.turns
        best: tuple[float, list[Decision]] = (PARTED, [])
        for pair in halves(last.text) if last.role == calls.USER else ():
            made = [self._best((*before, replace(last, text=half))) for half in pair]
            least = min(one.fits for one in made)
            if least > best[0]:
                best = (least, made)
        parts = [call for half in best[1] for call in self._parted(half)]
        same = {json.dumps([call.function.tool.name, call.arguments]): call for call in parts}
        return [*same.values()] or [whole]

    def _best(self, turns: tuple[Turn, ...]) -> Decision:
        self.check()
        functions, forced = self.calling.functions, self.calling.forced
        found = verdicts([(one.tool, turns) for one in functions])
        at = max(range(len(found)), key=lambda at: found[at].fits)
        arguments: dict[str, Any] = {}
        for name, schema in functions[at].schemas.items():
            insisted = forced and name in functions[at].required
            for text in found[at].arguments[name]:
                if text is None and not insisted:
                    break
                if text is not None and (made := valued(schema, text, self.grammars)) is not None:
                    arguments[name] = made
                    break
        required = functions[at].required - {*arguments}
        return Decision(
            function=functions[at],
            arguments=arguments,
            missing=tuple(name for name in functions[at].schemas if name in required),
            forced=forced,
            turns=turns,
            fits=found[at].fits,
        )


def halves(text: str) -> Iterator[tuple[str, str]]:
    """Where it may fall into two: not within quotation marks."""
    found = [one for one in JOINTS.finditer(text) if text[: one.start()].count('"') % 2 == 0]
    for one in found[:MOST_JOINTS]:
        first, second = text[: one.start()].strip(), text[one.end() :].strip()
        if first and second:
            yield first, second


def valued(schema: dict[str, Any], text: str, grammars: Grammars) -> Any:
    """What these words are as a value of that schema; None where they are none."""
    value = _read(schema, text)
    plain = not set(schema) - BARE and schema.get("type", "string") in ("string", "boolean")
    if value is None or plain:
        return value
    text = json.dumps(value, separators=(",", ":"))
    return value if grammars.accepts(grammar.of_schema(schema), text) else None


def _read(schema: Any, text: str) -> Any:
    if not isinstance(schema, dict):
        return text
    match schema.get("type", "string"):
        case "string":
            listed = {one.casefold(): one for one in _values(schema)}
            return listed.get(text.casefold()) if listed else text
        case "integer" | "number":
            return calls.number(text)
        case "boolean":
            return text == "true" if text in calls.YES_NO else None
        case "array":
            items = [_read(schema.get("items") or {}, one) for one in LISTING.split(text) if one]
            return None if None in items else items
    return None


def ask(hub: Hub, decision: Decision, sampling: Sampling, ticket: Ticket) -> Handle:
    """Has the model write what is missing; nothing but what was said is known."""
    question = calls.question(decision.function.tool, decision.turns).text
    guide = hub.grammars.guide(form(decision))
    handle = hub.scheduler.submit(_nothing(hub, ticket), question, sampling, guide)
    ticket.at_cancel(handle.cancel)
    return handle


def _nothing(hub: Hub, ticket: Ticket) -> Respondent:
    piece = hub.library.piece(Part(name="prompt", kind="text", text=""))
    readings, _ = hub.library.readings([piece], ticket)
    return hub.library.respondent([piece.key], readings)


def form(decision: Decision) -> str:
    """The grammar of what is written: a line for each argument, or one object."""
    function = decision.function
    if function.whole is not None:
        return grammar.of_schema(function.whole)
    text = "\n".join(turn.text for turn in calls.heard(decision.turns))
    text = text.encode("utf-8", "replace").decode()  # lone surrogates have no UTF-8
    words = json.dumps({"substring_words": text})
    rules = [f"SAID: WORDS & /[^ \\n][^\\n]*/\nWORDS: %regex {words}", 'NEWLINE: "\\n"']
    for number, name in enumerate(decision.missing):
        head = json.dumps(_head(name), ensure_ascii=False)
        rules.append(f'line{number}: {head} " "? ({_value(function.schemas[name])}) NEWLINE')
    start = " ".join(f"line{number}" for number in range(len(decision.missing)))
    return llguidance.LLMatcher.grammar_from_lark("\n".join([f"start: {start}", *rules]))


def _head(name: str) -> str:
    """What the line of an argument begins with."""
    return f"- {name}:"


def _value(schema: dict[str, Any]) -> str:
    if values := _values(schema):
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in values)
    bare, kind = not set(schema) - BARE, schema.get("type", "string")
    if bare and kind == "string":
        return "SAID"
    return f"%json {json.dumps(schema | {'x-guidance': {'whitespace_flexible': False}})}"


def call_of(decision: Decision, written: str = "") -> wire.FunctionCall | None:
    """The call, with what the model wrote, to its end; None where that is none."""
    function = decision.function
    try:
        more = _lines(decision, written) if function.whole is None else json.loads(written)
    except ValueError:
        return None
    return wire.FunctionCall(
        id=f"call-{secrets.token_hex(8)}",
        name=function.tool.name,
        args={**decision.arguments, **more},
    )


def _lines(decision: Decision, written: str) -> dict[str, Any]:
    arguments = {}
    for line in written.splitlines():
        for name in decision.missing:
            schema = decision.function.schemas[name]
            if line.startswith(_head(name)) and name not in arguments:
                said = line[len(_head(name)) :].strip()
                plain = _values(schema) or _value(schema) == "SAID"
                arguments[name] = said if plain else json.loads(said)
                break
    return arguments
