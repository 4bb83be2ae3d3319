# SPDX-License-Identifier: Apache-2.0
"""What every request passes: who may ask, how much may be sent, what is logged.

The log has method, path, status and time. Keys and upload_ids stand in headers and query strings,
which are never logged.
"""

import hashlib
import hmac
import logging
import re
import time
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pollux.serve.errors import ApiError, invalid, wrong_key
from pollux.serve.reply import JsonReply
from pollux.serve.settings import Settings

UPLOAD = re.compile(r"/upload/[a-z0-9]+/files")
OPEN = {"/health", "/openapi.json", "/"}  # without a key
ASSETS = "/assets/"  # of the Studio's page, as open as that
LOCAL = {"localhost", "127.0.0.1", "::1"}
HEADERS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))

log = logging.getLogger(__name__)


class Gate:
    """The outermost application; lets through to `app`."""

    def __init__(self, app: ASGIApp, settings: Settings):
        self.app, self.settings = app, settings
        self.digests = [_digest(key) for key in settings.keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        try:
            headers = Headers(scope=scope)
            self._check(scope, headers)
            if not UPLOAD.fullmatch(scope["path"]):
                receive = await self._whole_body(headers, receive)
            await self.app(scope, receive, noted)
        except ApiError as error:
            await JsonReply(error.body(), error.status_code)(scope, receive, noted)
        finally:
            took = time.monotonic() - began
            log.info("%s %s %d %.3f s", scope["method"], scope["path"][:200], status, took)

    def _check(self, scope: Scope, headers: Headers) -> None:
        """ApiError for who may not ask."""
        host = _netloc_host(headers.get("host", ""))
        if self.settings.loopback and host not in LOCAL:
            # A page of another name that leads to this address (DNS rebinding).
            raise ApiError("PERMISSION_DENIED", f"this server is not called {host[:80]!r}")
        origin = headers.get("origin")
        if origin and _netloc(origin) != headers.get("host"):
            raise ApiError("PERMISSION_DENIED", "pages of other origins may not ask (CORS)")
        path = scope["path"]
        if not self.digests or path in OPEN or path.startswith(ASSETS):
            return
        query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=50)
        if UPLOAD.fullmatch(scope["path"]) and query.get("upload_id"):
            return  # the upload_id is what lets it in
        bearer = headers.get("authorization", "")
        given = [headers.get("x-goog-api-key", ""), *query.get("key", [])[:1]]
        given.append(bearer[7:] if bearer[:7].lower() == "bearer " else "")
        if not self._known(given):
            raise wrong_key()

    def _known(self, given: Sequence[str]) -> bool:
        """In time that depends on the number of keys alone."""
        found = False
        for one in given:
            for key in self.digests:
                found |= hmac.compare_digest(_digest(one), key)
        return found

    async def _whole_body(self, headers: Headers, receive: Receive) -> Receive:
        """The body in memory, none of it looked at; ApiError when it is too large."""
        most = self.settings.request_bytes
        declared = headers.get("content-length", "0")
        if declared.isdigit() and int(declared[:18]) > most:
            raise _too_large(most)
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ApiError("CANCELLED", "the client went away")
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > most:
                raise _too_large(most)
        given = False

        async def again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        return again


def _netloc(url: str) -> str:
    """Empty where the address is none, as of a bracket that is never closed."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _netloc_host(netloc: str) -> str:
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _too_large(most: int) -> ApiError:
    return invalid(
        f"the request has more than {most:,} bytes; upload large files with the Files API"
    )
