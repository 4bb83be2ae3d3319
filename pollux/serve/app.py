# SPDX-License-Identifier: Apache-2.0
"""The application: every route under /v1, /v1beta and /v1alpha, and OpenAI's under /openai/v1."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from pollux import Model, __version__
from pollux.errors import PolluxError
from pollux.serve import (
    batches,
    caches,
    embed,
    errors,
    files,
    generate,
    models,
    openai,
    reply,
    uploads,
)
from pollux.serve.gate import Gate
from pollux.serve.hub import Hub
from pollux.serve.reply import JsonReply
from pollux.serve.settings import Settings
from pollux.serve.studio import router as studio

VERSIONS = ("v1beta", "v1", "v1alpha")  # the first one is the one that is published
OPENAI = ("/openai/v1", "/v1beta/openai")
SWEEP = 60.0  # seconds between looks for what has expired

log = logging.getLogger(__name__)


def create(model: Model, settings: Settings) -> ASGIApp:
    """The server of one model, as an ASGI application."""
    hub = Hub(model, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        await asyncio.to_thread(generate.warm, hub)
        files.process_waiting(hub)
        batches.start_waiting(hub)
        sweeping = asyncio.create_task(_sweep(hub))
        yield
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
        await asyncio.to_thread(hub.close)

    app = FastAPI(
        title="Pollux",
        version=__version__,
        description="The Gemini REST API over a model that reads once. See docs/api.md.",
        lifespan=lifespan,
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        responses=_failures(reply.Failed),
    )
    app.state.hub = hub
    for version in VERSIONS:
        shown = version == VERSIONS[0]
        for routes in (generate, embed, batches, models, files, caches):
            app.include_router(routes.router, prefix=f"/{version}", include_in_schema=shown)
        app.include_router(uploads.router, prefix=f"/upload/{version}", include_in_schema=shown)
    for prefix in OPENAI:
        shown = prefix == OPENAI[0]
        told = _failures(openai.Failed)
        app.include_router(openai.router, prefix=prefix, include_in_schema=shown, responses=told)
    for version in VERSIONS:
        app.include_router(models.refused, prefix=f"/{version}")
    app.include_router(studio)
    app.add_api_route("/health", _health, include_in_schema=False)
    for kind in (RequestValidationError, HTTPException, PolluxError, Exception):
        app.add_exception_handler(kind, _told)
    return Gate(app, settings)


def _failures(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """For the published document."""
    return {
        "4XX": {"model": model, "description": "What is wrong with the request."},
        "5XX": {"model": model, "description": "What this server leaves out, or what failed."},
    }


def _health() -> dict[str, str]:
    return {"status": "ok"}


def _told(request: Request, error: Exception) -> JsonReply:
    """Any failure as google.rpc.Status, or as OpenAI's clients expect it."""
    if isinstance(error, RequestValidationError):
        known = errors.of_validation(error.errors())
    else:
        known = errors.of(error)
    if known.status == "INTERNAL":
        log.error("%s %s", request.method, request.url.path, exc_info=error)
    of_openai = request.url.path.startswith(OPENAI)
    return JsonReply(openai.error_body(known) if of_openai else known.body(), known.status_code)


async def _sweep(hub: Hub) -> None:
    """Deletes what has expired, for ever."""
    while True:
        for store in (hub.files, hub.caches, hub.batches, hub.uploads):
            for number in await asyncio.to_thread(store.sweep):
                hub.library.forget(f"{store.kind}/{number}")
        await asyncio.sleep(SWEEP)
