# SPDX-License-Identifier: Apache-2.0
"""How a tool is shown to what decides on calls.

The one renderer, for training, answering and evaluation. Each tool is asked about by itself:

    Tool: set alarm. Rings at a time of day.
    - time: When it is to ring
    - weekly: true | false, Every week at this time
    User: Wake me at 7:30

Whether it fits is one verdict; each argument is words of the conversation, or one of the values
that its parameter lists (model/caller.py).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

import numpy as np

TOLD = 160  # characters of a tool's description
EXPLAINED = 80  # and of a parameter's
LISTED = 12  # values that a parameter shows
HEARD = 320  # characters of a conversation: its last turns
USER, MODEL = "User", "Model"
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
PIECE = re.compile(r"[\u3400-\u9fff]|\d+|[^\W\d_]+|[^\w\s]|_")  # a character of Chinese is one
KINDS = {"integer": "whole number", "number": "number"}
YES_NO = ("true", "false")
NUMBERS: tuple[str, ...] = (
    *"zero one two three four five six seven eight nine ten eleven twelve".split(),
)
LETTERS = 16  # bytes of a word that are looked at: its first half of that and its last
LOOKS = 4  # no capital, a first one, capitals, digits or a sign
SHARED = 4  # where else a word stands: in the tool's own line, in those of its parameters, in both


class Role(IntEnum):
    """What a word of a question stands in. NOTHING: no word, to fill up."""

    NOTHING = 0
    TOOL = 1
    HEAD = 2  # of a parameter: its name
    VALUE = 3  # one that it lists
    TOLD = 4  # what it is
    USER = 5
    MODEL = 6


SAID = (Role.USER, Role.MODEL)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """`kind`: "string", "integer", "number", "boolean", or another type of JSON.

    `values`: those allowed, where they are few; a boolean's are "true" and "false".
    """

    name: str
    kind: str = "string"
    values: tuple[str, ...] = ()
    description: str = ""

    @property
    def listed(self) -> tuple[str, ...]:
        """The values that are shown, of which its argument is one; none where it may be others."""
        values = YES_NO if self.kind == "boolean" else self.values
        return values if len(values) <= LISTED else ()


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


@dataclass(frozen=True)
class Piece:
    """A word, a number or a sign: characters [begin, end) of the question. `line`: from 0."""

    begin: int
    end: int
    role: Role
    line: int


@dataclass(frozen=True)
class Question:
    """`text` as it is shown; `pieces` in turn, of which the first of a parameter's line is "-"."""

    text: str
    pieces: tuple[Piece, ...]

    def __getitem__(self, span: tuple[int, int]) -> str:
        """The characters from one piece to another, that included."""
        return self.text[self.pieces[span[0]].begin : self.pieces[span[1]].end]


def values(question: Question, line: int) -> list[tuple[int, int]]:
    """The first and the last piece of each value that a line lists."""
    found: list[tuple[int, int]] = []
    for at, one in enumerate(question.pieces):
        if one.line == line and one.role == Role.VALUE:
            goes_on = found and found[-1][1] == at - 1
            found[-1:] = [(found[-1][0], at)] if goes_on else [*found[-1:], (at, at)]
    return found


class Asked(NamedTuple):
    """N questions of at most L pieces, about tools of at most P parameters; arrays of numpy or JAX.

    Each is filled up with Role.NOTHING, and with parameters whose head is 0.
    """

    letters: np.ndarray  # N L LETTERS, bytes in lower case
    looks: np.ndarray  # N L
    roles: np.ndarray  # N L
    shared: np.ndarray  # N L
    heads: np.ndarray  # N P, the "-" of each parameter
    may: np.ndarray  # N P L, what an argument may begin and end with: its own "-" is none


def asked(questions: Sequence[tuple[Tool, Question]], words: int, parameters: int) -> Asked:
    """With room for so many pieces and parameters."""
    many = len(questions)
    made = Asked(
        np.zeros((many, words, LETTERS), np.uint8),
        *(np.zeros((many, words), np.int8) for _ in range(3)),
        np.zeros((many, parameters), np.int32),
        np.zeros((many, parameters, words), bool),
    )
    for row, (tool, question) in enumerate(questions):
        _fill(made, row, tool, question)
    return made


def _fill(made: Asked, row: int, tool: Tool, question: Question) -> None:
    pieces, size = question.pieces, len(question.pieces)
    words = [question.text[one.begin : one.end].casefold() for one in pieces]
    seen = [_seen(question.text[one.begin : one.end]) for one in pieces]
    made.letters[row, :size] = np.frombuffer(b"".join(s for s, _ in seen), np.uint8).reshape(
        size, LETTERS
    )
    made.looks[row, :size] = [look for _, look in seen]
    roles = made.roles[row, :size] = [one.role for one in pieces]
    said = np.isin(roles, SAID)
    lines = np.array([one.line for one in pieces])
    own = {word for word, line in zip(words, lines, strict=True) if line == 0}
    others = {w for w, role in zip(words, roles, strict=True) if role in (Role.HEAD, Role.VALUE)}
    spoken = {word for word, here in zip(words, said, strict=True) if here}
    for at, word in enumerate(words):
        in_tool = word in own if said[at] else word in spoken
        made.shared[row, at] = in_tool + 2 * (bool(said[at]) and word in others)
    for number, parameter in enumerate(tool.parameters):
        here = lines == number + 1
        head = made.heads[row, number] = int(here.argmax())
        listed = here & (np.array(roles) == Role.VALUE)
        made.may[row, number, :size] = listed if parameter.listed else said
        made.may[row, number, head] = True


@lru_cache(50_000)
def _seen(word: str) -> tuple[bytes, int]:
    """Its first and its last letters, and its look."""
    half = LETTERS // 2
    data = word.casefold().encode("utf-8", "replace")
    letters = data[:half].ljust(half, b"\0") + data[-half:].rjust(half, b"\0")
    if not word.isalpha():
        return letters, 3
    return letters, 0 if word.islower() else 1 if word[1:].islower() else 2


def question(tool: Tool, turns: Sequence[Turn]) -> Question:
    """The question whether the tool is to be called after these turns, and with what."""
    text, pieces = "", []
    for line, parts in enumerate(_lines(tool, turns)):
        for role, part in parts:
            found = PIECE.finditer(part)
            at = len(text)
            pieces += [Piece(at + one.start(), at + one.end(), role, line) for one in found]
            text += part
        text += "\n"
    return Question(text.removesuffix("\n"), tuple(pieces))


def _lines(tool: Tool, turns: Sequence[Turn]) -> Iterator[list[tuple[Role, str]]]:
    head = f"Tool: {words(tool.name)}. {cut(tool.description, TOLD)}".rstrip()
    yield [(Role.TOOL, head)]
    for one in tool.parameters:
        line = [(Role.HEAD, f"- {words(one.name)}:")]
        for value in one.listed:
            line += [(Role.TOLD, " | " if line[1:] else " "), (Role.VALUE, value)]
        told = [KINDS.get(one.kind, ""), cut(one.description, EXPLAINED)]
        if shown := ", ".join(filter(None, told)):
            line.append((Role.TOLD, f"{', ' if line[1:] else ' '}{shown}"))
        yield line
    for turn in heard(turns):
        role = Role.USER if turn.role == USER else Role.MODEL
        yield [(Role.TOLD, f"{turn.role}: "), (role, turn.text)]


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


def number(text: str) -> int | float | None:
    """What a number says: "1,200", "-3.5", "two"; None for what is none."""
    plain = text.strip().casefold()
    if plain in NUMBERS:
        return NUMBERS.index(plain)
    if not re.fullmatch(r"-?(\d{1,15}|\d{1,3}(,\d{3}){1,4})(\.\d{1,15})?", plain):
        return None
    value = float(plain.replace(",", ""))
    return int(value) if value.is_integer() else value
