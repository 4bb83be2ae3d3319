# SPDX-License-Identifier: Apache-2.0
"""Cached contents: a cached content is a reading on disk, with a name and an end."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from pollux.errors import ReadingError
from pollux.memory.reading import Reading
from pollux.serve import reply, usage, wire
from pollux.serve.errors import ApiError, invalid, missing
from pollux.serve.hub import Hub, HubOf
from pollux.serve.library import Piece
from pollux.serve.prompt import read_whole
from pollux.serve.reply import JsonReply
from pollux.serve.store import Record, after, now
from pollux.serve.tools import check_tools
from pollux.serve.work import Ticket, result

READING = "content.reading"
TTL = 3_600.0  # seconds, where the client says nothing
LONGEST = 365 * 86_400.0  # seconds
SECONDS = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)s")

router = APIRouter(tags=["cachedContents"])


@router.post("/cachedContents", response_model=reply.CachedContent)
async def create_cache(hub: HubOf, request: Request, body: wire.CachedContentRequest):
    """Reads the contents; answered when they are read."""
    if not body.model:
        raise invalid("say which model reads it", "model")
    hub.check_model(body.model)
    if body.tools or body.tool_config:
        check_tools(body.tools)
        raise missing("tools in a cached content", "send them with each request")
    if not body.contents and not body.system_instruction:
        raise invalid("there is nothing to cache", "contents")
    expires = _expires(body) or after(TTL)
    ticket = hub.ticket(request)
    pieces = await result(
        hub.lane_of(request),
        ticket,
        request,
        lambda: read_whole(hub, body.contents, body.system_instruction),
    )
    lane = hub.lane(sum(piece.characters for piece in pieces))
    number = await result(
        lane, ticket, request, lambda: _create(hub, body, pieces, expires, ticket)
    )
    return JsonReply(described(hub, number, hub.caches.get(number)).json_object())


def _create(
    hub: Hub,
    body: wire.CachedContentRequest,
    pieces: tuple[Piece, ...],
    expires: str,
    ticket: Ticket,
) -> str:
    usage.check_length(hub, pieces, 0)
    readings, _ = hub.library.readings(pieces, ticket)
    origins = [piece.origin for piece, own in zip(pieces, readings, strict=True) for _ in own.parts]
    return keep(hub, Reading.combine(readings), origins, body.display_name, expires)


def keep(hub: Hub, together: Reading, origins: list[str], display: str | None, expires: str) -> str:
    """The reading on disk, as cachedContents/ID; `origins` are those of its parts."""
    stored = hub.files.stored_bytes() + hub.caches.stored_bytes() + together.nbytes
    if stored > hub.settings.stored_bytes:
        raise ApiError(
            "RESOURCE_EXHAUSTED",
            f"files and caches may have {hub.settings.stored_bytes:,} bytes together; delete some",
        )
    number = hub.caches.new_id()
    with hub.caches.making() as made:
        saved = together.save(made / READING)
        record: Record = {"created": now(), "updated": now(), "expires": expires}
        record |= {"display": display, "bytes": saved.nbytes, "tokens": saved.num_valid}
        hub.caches.add(number, made, record | {"origins": origins})
    return number


@router.get("/cachedContents", response_model=reply.ListCachedContentsResponse)
def list_caches(
    hub: HubOf,
    page_size: Annotated[int | None, Query(alias="pageSize")] = None,
    page_token: Annotated[str | None, Query(alias="pageToken")] = None,
) -> JsonReply:
    """The newest first."""
    found, token = hub.caches.page(page_size, page_token)
    caches = [described(hub, number, record) for number, record in found]
    listed = reply.ListCachedContentsResponse(cached_contents=caches, next_page_token=token or None)
    return JsonReply(listed.json_object())


@router.get("/cachedContents/{number}", response_model=reply.CachedContent)
def get_cache(hub: HubOf, number: str) -> JsonReply:
    return JsonReply(described(hub, number, hub.caches.get(number)).json_object())


@router.patch("/cachedContents/{number}", response_model=reply.CachedContent)
def change_cache(hub: HubOf, number: str, body: wire.CachedContentRequest) -> JsonReply:
    """Only its end can be changed."""
    if body.contents or body.system_instruction or body.tools or body.display_name:
        raise invalid("only ttl or expireTime of a cached content can be changed")
    expires = _expires(body)
    if not expires:
        raise invalid("give ttl or expireTime", "ttl")
    record = hub.caches.change(number, expires=expires)
    return JsonReply(described(hub, number, record).json_object())


@router.delete("/cachedContents/{number}")
def delete_cache(hub: HubOf, number: str) -> dict[str, Any]:
    hub.caches.remove(number)
    hub.library.forget(f"cachedContents/{number}")
    return {}


def opened(hub: Hub, name: str) -> tuple[str, Reading, list[str]]:
    """Key, reading and origins of the parts of a cached content."""
    number = name.removeprefix("cachedContents/")
    record, key = hub.caches.get(number), f"cachedContents/{number}"
    origins = [origin or key for origin in record["origins"]]
    with hub.library.lock:
        kept = hub.library.at_hand.get(key)
    if kept:
        return key, kept, origins
    mine = hub.model.fingerprint, hub.model.tokenizer.fingerprint
    try:
        reading = Reading.open(hub.caches.path(number) / READING, *mine)
    except ReadingError as error:
        told = str(error).partition(":")[0].replace(str(hub.settings.state), "")
        raise ApiError(
            "FAILED_PRECONDITION", f"{key} cannot be used ({told}); create it again"
        ) from None
    hub.library.keep(key, reading)
    return key, reading, origins


def described(hub: Hub, number: str, record: Record) -> reply.CachedContent:
    return reply.CachedContent(
        name=f"cachedContents/{number}",
        model=f"models/{hub.model_name}",
        create_time=record["created"],
        update_time=record["updated"],
        expire_time=record["expires"],
        display_name=record["display"],
        usage_metadata={"totalTokenCount": record["tokens"]},
    )


def _expires(body: wire.CachedContentRequest) -> str:
    """When it ends; "" where the request does not say."""
    if body.ttl and body.expire_time:
        raise invalid("give ttl or expireTime, not both", "ttl")
    if body.ttl:
        found = SECONDS.fullmatch(body.ttl)
        if not found or not 0 < float(found[1]) <= LONGEST:
            raise invalid(f"{body.ttl[:40]!r} is no time to live, as in 300s", "ttl")
        return after(float(found[1]))
    if body.expire_time:
        try:
            at = datetime.fromisoformat(body.expire_time)
            left = (at - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            raise invalid(f"{body.expire_time[:40]!r} is no RFC 3339 time", "expireTime") from None
        if not 0 < left <= LONGEST:
            raise invalid("expireTime must be ahead, by at most a year", "expireTime")
        return after(left)
    return ""
