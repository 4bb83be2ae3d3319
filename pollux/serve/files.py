# SPDX-License-Identifier: Apache-2.0
"""Files that clients upload: kept for 48 hours, read once, in the background.

A file is files/ID with its content and, once it was read, its reading.
"""

import hashlib
import logging
import mimetypes
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse

from pollux.engine.reader import Progress
from pollux.errors import InputError
from pollux.media.inputs import open_parts
from pollux.media.part import KINDS, Kind, Part, one_line
from pollux.media.signature import HEAD, medium
from pollux.media.view import VIEW, View
from pollux.serve import reply
from pollux.serve.errors import ApiError, invalid
from pollux.serve.hub import Hub, HubOf
from pollux.serve.library import Piece
from pollux.serve.reply import JsonReply
from pollux.serve.store import Record, after, now, sync
from pollux.serve.work import Ticket

CONTENT = "content"
READING = "content.reading"
KEPT = 48 * 3_600.0  # seconds
STEP = 1 << 20  # bytes
FOREVER = 10.0**9  # seconds: nobody waits for it

router = APIRouter(tags=["files"])
log = logging.getLogger(__name__)


@router.get("/files", response_model=reply.ListFilesResponse)
def list_files(
    hub: HubOf,
    request: Request,
    page_size: Annotated[int | None, Query(alias="pageSize")] = None,
    page_token: Annotated[str | None, Query(alias="pageToken")] = None,
) -> JsonReply:
    """The newest first."""
    found, token = hub.files.page(page_size, page_token)
    files = [described(hub, request, number, record) for number, record in found]
    listed = reply.ListFilesResponse(files=files, next_page_token=token or None)
    return JsonReply(listed.json_object())


@router.get("/files/{number}:download", response_class=FileResponse)
def download_file(hub: HubOf, number: str) -> FileResponse:
    """The content, as it was uploaded."""
    record = hub.files.get(number)
    return FileResponse(
        content_path(hub, number, record),
        media_type="application/octet-stream",  # no browser shows it as a page of this server's
        filename=record["name"],
        headers={"Content-Security-Policy": "sandbox"},
    )


@router.get("/files/{number}", response_model=reply.File)
def get_file(hub: HubOf, request: Request, number: str) -> JsonReply:
    found = described(hub, request, number, hub.files.get(number))
    return JsonReply(found.json_object())


@router.delete("/files/{number}")
def delete_file(hub: HubOf, number: str) -> dict[str, Any]:
    hub.files.remove(number)
    hub.library.forget(f"files/{number}")
    return {}


def add(hub: Hub, source: Path, display: str, mime: str, number: str = "") -> str:
    """The file at `source`, which is moved, becomes files/ID; `process` reads it."""
    digest, size, name = hashlib.sha256(), 0, safe_name(display, mime)
    with open(source, "rb") as file:
        while chunk := file.read(STEP):
            digest.update(chunk)
            size += len(chunk)
        os.fsync(file.fileno())
    record: Record = {"created": now(), "updated": now(), "expires": after(KEPT)}
    record |= {"display": display, "name": name, "bytes": size, "state": "PROCESSING"}
    record["mime"] = mime or mimetypes.guess_type(name)[0] or "application/octet-stream"
    record["sha256"] = digest.hexdigest()
    number = number or hub.files.new_id()
    with hub.files.making() as made:
        (made / CONTENT).mkdir()
        os.rename(source, made / CONTENT / name)
        sync(made / CONTENT)
        sync(made)
        hub.files.add(number, made, record)
    return number


def safe_name(wanted: str, mime: str) -> str:
    """The last name of `wanted`, fit to be a file's name, with a suffix where it has none."""
    name = PurePosixPath(one_line(wanted).replace("\\", "/")).name.lstrip(".")[-100:] or "file"
    while len(name.encode()) > 200:
        name = name[1:]
    return name if PurePosixPath(name).suffix else name + (mimetypes.guess_extension(mime) or "")


def described(hub: Hub, request: Request, number: str, record: Record) -> reply.File:
    version = request.url.path.removeprefix("/upload").split("/")[1]
    uri = f"{str(request.base_url).rstrip('/')}/{version}/files/{number}"
    tokens, read = record.get("tokens"), hub.progress.get(number)
    known = {"tokenCount": tokens} if tokens else {"tokensRead": read} if read else None
    failed = {"code": 3, "message": record["error"]} if record.get("error") else None
    return reply.File(
        name=f"files/{number}",
        uri=uri,
        download_uri=f"{uri}:download?alt=media",
        mime_type=record["mime"],
        size_bytes=str(record["bytes"]),
        state=record["state"],
        create_time=record["created"],
        update_time=record["updated"],
        expiration_time=record["expires"],
        sha256_hash=record["sha256"],
        display_name=record["display"] or None,
        error=failed,
        metadata=known,
    )


def content_path(hub: Hub, number: str, record: Record) -> Path:
    return hub.files.path(number) / CONTENT / record["name"]


def piece_of(hub: Hub, uri: str, view: View = VIEW) -> Piece:
    """The file that a request names, by its name or its uri; no other address is ever opened."""
    number = uri.rsplit("files/", 1)[-1]
    record = hub.files.records.get(number)
    if record is None or not uri.endswith(f"files/{number}"):
        raise ApiError(
            "PERMISSION_DENIED" if "://" in uri else "NOT_FOUND",
            f"{uri[:200]!r} is no file here, or it has expired; upload it first (other addresses "
            "are never opened)",
        )
    hub.files.get(number)
    if record["state"] == "FAILED":
        raise invalid(f"files/{number} cannot be read: {record['error']}")
    piece = _piece(hub, number, record)
    looked_at = piece.kind != "text"
    return _seen_as(hub, piece, record, view) if looked_at and view != VIEW else piece


def _seen_as(hub: Hub, piece: Piece, record: Record, view: View) -> Piece:
    """A medium looked at otherwise than when it was uploaded: a reading of its own."""
    mine = hub.model.fingerprint, hub.model.tokenizer.fingerprint
    about = *mine, record["sha256"], record["name"], repr(view)
    key = hashlib.sha256("\n".join(about).encode()).hexdigest()[:32]
    return replace(piece, key=key, path=None, view=view)


def _piece(hub: Hub, number: str, record: Record) -> Piece:
    path = content_path(hub, number, record)

    def parts() -> Iterator[Part]:
        try:
            yield from open_parts([path], kinds=KINDS)
        except InputError as error:
            raise InputError(str(error).replace(f"{path.parent}/", "")) from None

    return Piece(
        key=f"files/{number}",
        origin=f"files/{number}",
        characters=record["bytes"],
        parts=parts,
        path=hub.files.path(number) / READING,
        kind=_kind(path),
    )


def _kind(path: Path) -> Kind:
    """As far as its first bytes say; "text" for archives."""
    try:
        with open(path, "rb") as file:
            return medium(file.read(HEAD))[1] or "text"
    except OSError:  # deleted meanwhile
        return "text"


def process(hub: Hub, number: str) -> None:
    """Reads a file in the background; then it is ACTIVE, or FAILED with the reason."""
    ticket = Ticket.of(FOREVER)

    def report(progress: Progress) -> None:
        hub.progress[number] = progress.tokens

    def job() -> None:
        try:
            piece = _piece(hub, number, hub.files.get(number))
            [reading], _ = hub.library.readings([piece], ticket, report)
            fields = {"state": "ACTIVE", "tokens": reading.num_valid, "error": ""}
            fields["fingerprint"] = hub.model.fingerprint
        except ApiError:
            return  # deleted meanwhile, or the server stops: it is read after the next start
        except InputError as error:
            fields = {"state": "FAILED", "error": str(error)}
        except Exception:
            log.exception("files/%s", number)
            fields = {"state": "FAILED", "error": "the server could not read it; its log says why"}
        finally:
            hub.progress.pop(number, None)
        try:
            hub.files.change(number, **fields)
        except ApiError:
            hub.library.forget(f"files/{number}")  # deleted meanwhile

    hub.uploaded.submit(ticket, job)


def process_waiting(hub: Hub) -> None:
    """After a start: files not read yet, or read by other weights."""
    for number, record in list(hub.files.records.items()):
        other = record.get("fingerprint") != hub.model.fingerprint
        if record["state"] == "PROCESSING" or (record["state"] == "ACTIVE" and other):
            hub.files.change(number, state="PROCESSING")
            process(hub, number)
