# SPDX-License-Identifier: Apache-2.0
"""The resumable upload protocol: start, upload piece by piece, query, finalize, cancel.

What follows the start is let in by its upload_id alone, as clients send no key with it.
"""

import asyncio
import re
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ValidationError

from pollux.media.part import one_line
from pollux.serve import files, reply, wire
from pollux.serve.errors import ApiError, invalid, not_found, of_validation
from pollux.serve.headers import number_in
from pollux.serve.hub import Hub, HubOf
from pollux.serve.reply import JsonReply
from pollux.serve.store import NAME, Record, after, now

START_BYTES = 65_536
PATIENCE = 5.0  # seconds: small files are answered when they can be used
MIME = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,80}/[A-Za-z0-9!#$&^_.+-]{1,80}(;[ -~]{0,120})?")

router = APIRouter(tags=["files"])


@router.put("/files", include_in_schema=False)
@router.post("/files")
async def upload(hub: HubOf, request: Request) -> Response:
    """See X-Goog-Upload-Command: start; upload; upload, finalize; query; cancel."""
    given = request.headers.get("x-goog-upload-command", "")
    commands = {word.strip().lower() for word in given.split(",")}
    if number := request.query_params.get("upload_id"):
        return await _go_on(hub, request, number, commands)
    protocol = request.headers.get("x-goog-upload-protocol", "")
    if protocol == "raw":
        return await _whole(hub, request)
    if protocol != "resumable" or "start" not in commands:
        raise invalid(
            "say X-Goog-Upload-Protocol: resumable and X-Goog-Upload-Command: start, or "
            "X-Goog-Upload-Protocol: raw with the content as the body"
        )
    size = number_in(request.headers, "x-goog-upload-header-content-length", -1)
    number = _start(hub, await _asked(request), size, _mime(request), _name(request))
    url = f"{request.url.replace(query='')}?upload_id={number}&upload_protocol=resumable"
    return Response(headers=_status(hub, number) | {"x-goog-upload-url": url})


async def _whole(hub: Hub, request: Request) -> Response:
    """An upload in one request."""
    mime = _mime(request) or request.headers.get("content-type", "")
    size = number_in(request.headers, "content-length", -1)
    number = _start(hub, wire.NewFile(), size, mime, _name(request))
    await _receive(hub, request, number, 0)
    return await _finish(hub, request, number)


async def _go_on(hub: Hub, request: Request, number: str, commands: set[str]) -> Response:
    if not NAME.fullmatch(number):
        raise not_found("upload")
    hub.uploads.get(number)
    if not _path(hub, number).exists():  # the process was stopped when it had become a file
        raise not_found("upload")
    if "cancel" in commands:
        hub.uploads.remove(number)
        return Response(headers={"x-goog-upload-status": "cancelled"})
    if "query" in commands:
        return Response(headers=_status(hub, number))
    if not commands & {"upload", "finalize"}:
        raise invalid("X-Goog-Upload-Command must be upload, finalize, query or cancel")
    async with hub.uploading.setdefault(number, asyncio.Lock()):
        size = _path(hub, number).stat().st_size
        if "upload" in commands:
            offset = number_in(request.headers, "x-goog-upload-offset", size)
            if offset > size:
                raise invalid(f"the offset is {offset:,}, but {size:,} bytes are here")
            await _receive(hub, request, number, offset)
        if "finalize" in commands:
            return await _finish(hub, request, number)
    return Response(headers=_status(hub, number))


async def _asked(request: Request) -> wire.NewFile:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > START_BYTES:
            raise invalid("the start of an upload is a small JSON object, or nothing")
    if not body.strip():
        return wire.NewFile()
    if b'"' not in body:  # Google's own examples for the shell have single quotes
        body = body.replace(b"'", b'"')
    try:
        return wire.UploadRequest.model_validate_json(body).file
    except ValidationError as error:
        raise of_validation(error.errors()) from None


def _start(hub: Hub, asked: wire.NewFile, size: int, mime: str, name: str) -> str:
    """`size` is negative where it is not known."""
    number = hub.files.new_id(asked.name) if asked.name else ""
    if size < 0 and asked.size_bytes is not None:
        size = asked.size_bytes
    _check_size(hub, max(size, 0))
    mime = asked.mime_type or mime
    if mime and not MIME.fullmatch(mime):
        raise invalid(f"{mime[:80]!r} is no MIME type", "file.mimeType")
    record: Record = {"created": now(), "updated": now(), "expires": after(files.KEPT)}
    record |= {"file": number, "display": one_line(asked.display_name or name), "mime": mime}
    record["size"] = size if size >= 0 else None
    upload = hub.uploads.new_id()
    with hub.uploads.making() as made:
        (made / files.CONTENT).touch()
        hub.uploads.add(upload, made, record)
    return upload


def _check_size(hub: Hub, size: int) -> None:
    most, settings = hub.settings.file_bytes, hub.settings
    if size > most:
        raise invalid(f"the file has more than {most:,} bytes, the most that one may have")
    if hub.files.stored_bytes() + hub.caches.stored_bytes() + size > settings.stored_bytes:
        raise ApiError(
            "RESOURCE_EXHAUSTED",
            f"files and caches may have {settings.stored_bytes:,} bytes together; delete some",
        )


async def _receive(hub: Hub, request: Request, number: str, offset: int) -> None:
    """Writes the body from `offset` on. What came in before a failure stays, to go on from."""
    record, received = hub.uploads.get(number), offset
    most = hub.settings.file_bytes if record["size"] is None else record["size"]
    with open(_path(hub, number), "r+b") as file:
        file.truncate(offset)
        file.seek(offset)
        async for chunk in request.stream():
            received += len(chunk)
            if received > most:
                raise invalid(f"more bytes than the {most:,} that the upload may have")
            file.write(chunk)
    if record["size"] is None:
        _check_size(hub, received)


async def _finish(hub: Hub, request: Request, number: str) -> Response:
    record, path = hub.uploads.get(number), _path(hub, number)
    size = path.stat().st_size
    if record["size"] is not None and size != record["size"]:
        raise invalid(f"{size:,} bytes came in, {record['size']:,} were announced")
    file = await asyncio.to_thread(
        files.add, hub, path, record["display"], record["mime"], record["file"]
    )
    hub.uploads.remove(number)
    hub.uploading.pop(number, None)
    files.process(hub, file)
    waited = 0.0
    while waited < PATIENCE and hub.files.get(file)["state"] == "PROCESSING":
        await asyncio.sleep(0.02)
        waited += 0.02
    described = files.described(hub, request, file, hub.files.get(file))
    headers = {"x-goog-upload-status": "final", "x-goog-upload-size-received": str(size)}
    return JsonReply(reply.FileReply(file=described).json_object(), headers=headers)


def _path(hub: Hub, number: str) -> Path:
    return hub.uploads.path(number) / files.CONTENT


def _status(hub: Hub, number: str) -> dict[str, str]:
    size = _path(hub, number).stat().st_size
    return {"x-goog-upload-status": "active", "x-goog-upload-size-received": str(size)}


def _name(request: Request) -> str:
    return one_line(request.headers.get("x-goog-upload-file-name", ""))[-512:]


def _mime(request: Request) -> str:
    return request.headers.get("x-goog-upload-header-content-type", "")
