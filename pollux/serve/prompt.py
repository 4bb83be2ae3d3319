# SPDX-License-Identifier: Apache-2.0
"""Which of a request is context to read, and which is the question.

The last text of the user is the question; everything else, in order, is context: the system
instruction, earlier turns, files. A last text that brings its own context along is divided.
"""

import base64
import binascii
import json
import mimetypes
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pollux.errors import InputError
from pollux.media.content import Content
from pollux.media.document import decode
from pollux.media.inputs import open_parts
from pollux.media.limits import Limits, Unreadable
from pollux.media.part import KINDS, Part, one_line
from pollux.media.resolution import Resolution
from pollux.media.view import VIEW, View
from pollux.serve import view, wire
from pollux.serve.errors import invalid
from pollux.serve.files import piece_of, safe_name
from pollux.serve.hub import Hub
from pollux.serve.library import Piece

BRIEF = 500  # characters: beside other context, a shorter text is the question as a whole
NEAR_END = 3  # lines from the end in which a question is looked for
ABBREVIATIONS = frozenset("mr mrs ms dr st prof no vs e.g i.e".split())
SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
BASE64 = str.maketrans("-_", "+/")


@dataclass(frozen=True, kw_only=True)
class Prompt:
    pieces: tuple[Piece, ...]
    question: str  # "" where nothing is asked

    @property
    def characters(self) -> int:
        return sum(piece.characters for piece in self.pieces)


def build(
    hub: Hub,
    contents: Sequence[wire.Content],
    system: wire.Content | None,
    more: bool = False,
    asks: bool = True,
    resolution: Resolution = VIEW.resolution,
) -> Prompt:
    """`more`: there is context beside this, a cached content; `asks`: there is a question.

    `resolution`: of media that do not say for themselves.

    ApiError for what cannot be read.
    """
    parts = _named(contents, system)
    last = max((i for i, part in enumerate(parts) if part.asks and asks), default=None)
    alone = len(parts) == 1 and not more
    pieces: list[Piece] = []
    question = ""
    for index, part in enumerate(parts):
        if index == last:
            context, question = divided(part.part.text or "", alone)
            if context:
                pieces.append(hub.library.piece(Part(name=part.name, kind="text", text=context)))
        else:
            pieces += _pieces(hub, part, resolution)
    return Prompt(pieces=tuple(pieces), question=question)


def read_whole(
    hub: Hub, contents: Sequence[wire.Content], system: wire.Content | None
) -> tuple[Piece, ...]:
    """Everything is context."""
    return tuple(piece for part in _named(contents, system) for piece in _pieces(hub, part))


@dataclass(frozen=True, kw_only=True)
class _Named:
    """A part of a request; `name` is what its reading and its citations call it."""

    part: wire.Part
    name: str
    field: str
    asks: bool


def _named(contents: Sequence[wire.Content], system: wire.Content | None) -> list[_Named]:
    counted: Counter[str] = Counter()
    turns = [("systemInstruction", "system", system)] if system else []
    turns += [(f"contents[{i}]", one.role or "user", one) for i, one in enumerate(contents)]
    out = []
    for field, role, part in _joined(turns):
        counted[role] += 1
        asks = role == "user" and not field.startswith("systemInstruction") and not part.thought
        asks = asks and bool(part.text and part.text.strip())
        out.append(_Named(part=part, name=f"{role} {counted[role]}", field=field, asks=asks))
    return out


def _joined(turns: Sequence[tuple[str, str, wire.Content]]) -> Iterator[tuple[str, str, wire.Part]]:
    """(field, role, part); texts of the model that follow each other are one.

    Chats send a streamed answer back as it came, a content for each chunk.
    """
    waiting: tuple[str, str, wire.Part] | None = None
    for field, role, turn in turns:
        if not turn.parts:
            raise invalid("a content needs at least one part", f"{field}.parts")
        for number, part in enumerate(turn.parts):
            where = f"{field}.parts[{number}]"
            _check(part, where)
            plain = role == "model" and part.text is not None and not part.thought
            if plain and waiting:
                text = (waiting[2].text or "") + (part.text or "")
                waiting = (*waiting[:2], wire.Part(text=text))
                continue
            if waiting:
                yield waiting
            waiting = (where, role, part) if plain else None
            if not plain:
                yield where, role, part
    if waiting:
        yield waiting


def _check(part: wire.Part, field: str) -> None:
    given = [
        name
        for name in (
            "text",
            "inline_data",
            "file_data",
            "function_call",
            "function_response",
            "executable_code",
            "code_execution_result",
        )
        if getattr(part, name) is not None
    ]
    if len(given) != 1 and not part.thought_signature:
        told = " and ".join(given) or "nothing"
        raise invalid(f"a part holds one thing, as text or inlineData; this has {told}", field)


def _pieces(hub: Hub, named: _Named, resolution: Resolution = VIEW.resolution) -> Iterator[Piece]:
    """The context of one part."""
    part = named.part
    if part.thought:
        return
    looked = view.of_part(part, resolution, named.field)
    if part.inline_data:
        yield from _inline(hub, part.inline_data, named, looked)
    elif part.file_data:
        yield piece_of(hub, part.file_data.file_uri, looked)
    elif text := _as_text(part):
        yield hub.library.piece(Part(name=named.name, kind="text", text=text))


def _as_text(part: wire.Part) -> str:
    if part.function_call:
        return f"{part.function_call.name}({_json(part.function_call.args or {})})"
    if part.function_response:
        return f"{part.function_response.name}: {_json(part.function_response.response or {})}"
    if part.executable_code:
        return part.executable_code.code
    if part.code_execution_result:
        return part.code_execution_result.output or ""
    return part.text or ""


def _json(value: wire.Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def _inline(hub: Hub, blob: wire.Blob, named: _Named, looked: View) -> Iterator[Piece]:
    """Opened as a file would be: what it is, its bytes say."""
    field = f"{named.field}.inlineData"
    data = decoded(blob.data, f"{field}.data")
    mime = blob.mime_type.partition(";")[0].strip().lower()
    wanted = blob.display_name or f"{named.name}{mimetypes.guess_extension(mime) or '.txt'}"
    if mime.startswith("text/"):
        try:
            text, note = decode(data)
        except Unreadable as error:
            raise invalid(f"{one_line(wanted)} {error}", field) from None
        yield hub.library.piece(Part(name=one_line(wanted), kind="text", text=text, note=note))
        return
    most = 4 * hub.settings.request_bytes  # once decompressed
    limits = Limits(max_bytes=most, max_files=10_000, max_total_bytes=most)
    with tempfile.TemporaryDirectory(dir=hub.scratch) as directory:
        path = Path(directory) / safe_name(wanted, mime)
        path.write_bytes(data)
        try:
            for part in open_parts([path], kinds=KINDS, limits=limits):
                if part.content:
                    held = part.content.data or data  # the file is gone when it is read
                    part = replace(part, content=Content(data=held))
                    yield hub.library.piece(part, looked)
                else:
                    yield hub.library.piece(part)
        except InputError as error:
            raise invalid(str(error).replace(f"{directory}/", ""), field) from None


def decoded(data: str, field: str) -> bytes:
    """base64, standard or URL-safe, padded or not, as in proto-JSON."""
    try:
        plain = data.translate(BASE64).rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"the data is no base64: {error}", field) from None


def divided(text: str, alone: bool) -> tuple[str, str]:
    """Context and question of one text; `alone`: there is no other context.

    The question is one line of it: near the end and with a question mark, or else the first one
    if it ends with a question mark, or else the last.
    """
    lines = [line for line in text.splitlines(keepends=True) if line.strip()]
    if len(lines) == 1:
        return _sentences(text) if alone else ("", text)
    if not alone and len(text) <= BRIEF:
        return "", text
    near = [line for line in lines[-NEAR_END:] if "?" in line or "？" in line]
    first = lines[0].rstrip().endswith(("?", "？"))
    question = near[-1] if near else lines[0] if first else lines[-1]
    before, _, after = text.rpartition(question) if near or not first else text.partition(question)
    return (before + after).strip("\r\n"), question.strip("\r\n")


def _sentences(text: str) -> tuple[str, str]:
    """The last sentence of a line is its question, if it is one."""
    ends = [found for found in SENTENCE.finditer(text.rstrip()) if found.end() < len(text.rstrip())]
    for found in reversed(ends):
        context, question = text[: found.start()], text[found.end() :]
        words = context.rstrip(".!?").split()
        whole = question.count('"') % 2 == 0 and question.count("“") == question.count("”")
        if whole and words and words[-1].lower() not in ABBREVIATIONS:
            asks = question.rstrip().endswith(("?", "？"))
            return (context, question) if asks else ("", text)
    return "", text
