# SPDX-License-Identifier: Apache-2.0
"""How a tool is shown to the model, and how the model writes a call of it.

The one renderer, for training, answering and evaluation. Each tool is asked about by itself:

    Tool: set alarm. Rings at a time of day.
    - time: When it is to ring
    - weekly: true | false, Every week at this time
    User: Wake me at 7:30

The answer is `<other>` where it does not fit, else `<begin_call>`, then a line for each argument
said, `- time: 7:30`, then `<end>`. The words of the lines are those of the question, spaces
included: they are copied, not spelt.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

TOLD = 160  # characters of a tool's description
EXPLAINED = 80  # and of a parameter's
LISTED = 12  # values that a parameter shows
HEARD = 320  # characters of a conversation: its last turns
USER, MODEL = "User", "Model"
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
KINDS = {"integer": "whole number", "number": "number"}
YES_NO = ("true", "false")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """`kind`: "string", "integer", "number", "boolean", or another type of JSON.

    `values`: those allowed, where they are few; a boolean's are "true" and "false".
    """

    name: str
    kind: str = "string"
    values: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Tool:
    name: str
    description: str = ""
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What USER or MODEL said."""

    role: str
    text: str


def question(tool: Tool, turns: Sequence[Turn]) -> str:
    """The question whether the tool is to be called after these turns, and with what."""
    head = f"Tool: {words(tool.name)}. {cut(tool.description, TOLD)}".rstrip()
    lines = [head, *map(parameter_line, tool.parameters)]
    return "\n".join(lines + [f"{turn.role}: {turn.text}" for turn in heard(turns)])


def parameter_line(parameter: Parameter) -> str:
    values = YES_NO if parameter.kind == "boolean" else parameter.values
    told = [KINDS.get(parameter.kind, ""), " | ".join(values[:LISTED])]
    told.append(cut(parameter.description, EXPLAINED))
    shown = ", ".join(one for one in told if one) or words(parameter.name)
    return f"{argument_head(parameter.name)} {shown}"


def argument_head(name: str) -> str:
    """What the line of an argument begins with, in the question and in the call."""
    return f"- {name}:"


def heard(turns: Sequence[Turn]) -> list[Turn]:
    """The last turns, each one line: whole ones as far as they go, of the very last its end."""
    kept: list[Turn] = []
    room = HEARD
    for turn in reversed(turns):
        text = " ".join(turn.text.split())
        if kept and len(text) > room:
            break
        kept.append(Turn(role=turn.role, text=_end(text, room)))
        room -= len(text)
    return kept[::-1]


def _end(text: str, size: int) -> str:
    """The last words of it."""
    if len(text) <= size:
        return text
    return text[-size:].partition(" ")[2] or text[-size:]


def words(name: str) -> str:
    """`set_alarm` and `SetAlarm` as `set alarm`."""
    return " ".join(WORD.findall(name)).lower() or name


def cut(text: str, size: int) -> str:
    """One line of at most `size` characters, of whole words where there are any."""
    line = " ".join(text.split())
    if len(line) <= size:
        return line
    return line[:size].rpartition(" ")[0] or line[:size]
