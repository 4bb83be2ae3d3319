# SPDX-License-Identifier: Apache-2.0
"""The Studio: one page for browsers, and the few routes it needs beyond Gemini's.

What is served is looked up in a table made at the start: no path of a request is ever opened.
"""

import mimetypes
from collections.abc import Mapping
from importlib.resources import files as resources
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from pollux.examples import war_and_peace
from pollux.memory.manifest import PartSpan
from pollux.memory.place import Decoder, newlines_between, page_of
from pollux.memory.reading import Reading
from pollux.serve import caches, files, reply
from pollux.serve.errors import ApiError, invalid, not_found
from pollux.serve.hub import Hub, HubOf
from pollux.serve.reply import JsonReply
from pollux.serve.store import after
from pollux.serve.wire import Wire
from pollux.serve.work import Ticket, result

MARGIN = 40  # lines shown before and after the one asked for
LINE_TOKENS = 2_000  # of a line, at most
LISTED = 200  # names of parts, at most
PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    # Everything comes from here; blob: is what the user dropped, shown by the page itself.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; media-src blob:; frame-src blob:; connect-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
ASSET_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",  # their names change with them
    "Cross-Origin-Resource-Policy": "same-origin",
}

router = APIRouter(include_in_schema=False)


def _assets() -> Mapping[str, tuple[bytes, str]]:
    """Content and MIME type of every asset, by name."""
    found = {}
    for entry in (resources("pollux") / "studio" / "assets").iterdir():
        mime = mimetypes.guess_type(entry.name)[0] or "application/octet-stream"
        found[entry.name] = entry.read_bytes(), mime
    return found


ASSETS = _assets()
PAGE = (resources("pollux") / "studio" / "index.html").read_bytes()


@router.get("/")
def page() -> Response:
    return Response(PAGE, media_type="text/html; charset=utf-8", headers=PAGE_HEADERS)


@router.get("/assets/{name}")
def asset(name: str) -> Response:
    if name not in ASSETS:
        raise not_found(f"assets/{name}")
    content, mime = ASSETS[name]
    return Response(content, media_type=mime, headers=ASSET_HEADERS)


@router.get("/studio/war-and-peace.txt")
def novel() -> Response:
    """The novel of the package, to be tried out on."""
    return Response(war_and_peace().text, media_type="text/plain; charset=utf-8")


class Lines(reply.Reply):
    """Some lines of a part. `line`: the number of the first, from 1; `total`: of all there are."""

    part: str
    kind: str
    line: int
    page: int | None  # of the first line, in a PDF
    total: int
    lines: list[str]


@router.get("/studio/lines")
def read_lines(
    hub: HubOf,
    name: str,
    part: str = "",
    within: str = "",
    line: Annotated[int, Query(ge=1, le=10**9)] = 1,
    margin: Annotated[int, Query(ge=0, le=500)] = MARGIN,
) -> JsonReply:
    """The lines around one, as they were read: of a file, or of a cached content.

    `within`: the cached content that holds what was read of the file, should the file be gone.
    """
    reading, span = _found(hub, name, part, within)
    parts = [each.name for each in reading.parts[:LISTED]]
    found = _lines(hub.model.tokenizer, reading.alone(span), line, margin)
    return JsonReply(found.json_object() | {"parts": parts})


def _found(hub: Hub, name: str, part: str, within: str) -> tuple[Reading, PartSpan]:
    """The part of that name, or the first one. ApiError where there is none."""
    opened = name
    try:
        reading, origins = _reading(hub, name)
    except ApiError:
        if not within:
            raise
        opened = within
        reading, origins = _reading(hub, within)
    for span, origin in zip(reading.parts, origins, strict=True):
        if part in ("", span.name) and name in (origin, opened):
            return reading, span
    raise not_found(part or name)


def _reading(hub: Hub, name: str) -> tuple[Reading, list[str]]:
    """What was read, and of each part the name that it came under."""
    if name.startswith("cachedContents/"):
        return caches.opened(hub, name)[1:]
    reading = hub.library.find(files.piece_of(hub, name))
    if reading is None:
        raise ApiError("FAILED_PRECONDITION", f"{name} is still being read")
    return reading, [name] * len(reading.parts)


def _lines(tokenizer: Decoder, reading: Reading, line: int, margin: int) -> Lines:
    [span] = reading.parts
    newlines = newlines_between(reading, tokenizer, span.text_start, span.end)
    starts = np.concatenate([[span.text_start], newlines + 1, [span.end]])
    total = len(starts) - 1 - int(len(starts) > 2 and starts[-2] == span.end)
    line = min(line, total)
    first, last = max(line - margin, 1), min(line + margin, total)
    lines = []
    for start, end in zip(starts[first - 1 : last], starts[first : last + 1], strict=True):
        text = tokenizer.decode(reading.tokens[start : min(end, start + LINE_TOKENS)].tolist())
        lines.append(text.rstrip("\r\n") + ("…" if end - start > LINE_TOKENS else ""))
    return Lines(
        part=span.name,
        kind=span.kind,
        line=first,
        page=page_of(reading, tokenizer, span, int(starts[first - 1])),
        total=total,
        lines=lines,
    )


class Combination(Wire):
    names: list[str] = Field(min_length=2, max_length=64)
    display_name: str | None = Field(None, max_length=128)


@router.post("/studio/readings")
async def combine(hub: HubOf, request: Request, body: Combination) -> JsonReply:
    """Cached contents side by side as a new one; nothing is read again."""
    ticket = hub.ticket(request)
    number = await result(hub.short, ticket, request, lambda: _combined(hub, body, ticket))
    return JsonReply(caches.described(hub, number, hub.caches.get(number)).json_object())


def _combined(hub: Hub, body: Combination, ticket: Ticket) -> str:
    readings, origins = [], []
    for name in body.names:
        ticket.check()
        _, reading, of_parts = caches.opened(hub, name)
        readings.append(reading)
        origins += of_parts
    together = Reading.combine(readings)
    if together.num_valid > hub.settings.context:
        raise invalid(
            f"together they have {together.num_valid:,} tokens, more than the "
            f"{hub.settings.context:,} of this server",
            "names",
        )
    return caches.keep(hub, together, origins, body.display_name, after(caches.TTL))
