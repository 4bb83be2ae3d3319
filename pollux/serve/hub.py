# SPDX-License-Identifier: Apache-2.0
"""What every route stands on: the model, its readings, its lanes, and what is stored."""

import asyncio
import fcntl
import math
import os
import shutil
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from pollux import Model
from pollux.errors import InputError
from pollux.serve.errors import not_found
from pollux.serve.grammar import Grammars
from pollux.serve.headers import number_in
from pollux.serve.library import Library
from pollux.serve.settings import Settings
from pollux.serve.store import Store
from pollux.serve.work import Lane, Ticket

LONG = 65_536  # characters to be read: what is longer goes into a lane of its own

ANSWERS = 64  # made at a time: their threads only wait for the scheduler's
BEHIND = 1_000_000  # jobs that nobody waits for may wait themselves


class Hub:
    def __init__(self, model: Model, settings: Settings):
        self.model, self.settings = model.loaded, settings
        self.lock = _locked(settings.state)
        self.scratch = settings.state / "scratch"  # of requests under way; nothing in it counts
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        self.library = Library(self.model, settings.state / "readings")
        self.grammars = Grammars(self.model.tokenizer)
        self.files = Store(settings.state, "files")
        self.uploads = Store(settings.state, "uploads")
        self.caches = Store(settings.state, "cachedContents")
        self.batches = Store(settings.state, "batches")
        self.scheduler = model.scheduler()
        self.short = Lane("short", settings.workers, settings.waiting)
        self.long = Lane("long", 1, settings.waiting)
        self.answers = Lane("answers", ANSWERS, settings.waiting)
        self.uploaded = Lane("uploads", 1, BEHIND)
        self.batched = Lane("batches", 1, BEHIND)
        self.progress: dict[str, int] = {}  # tokens read of files that are being read
        self.uploading: dict[str, asyncio.Lock] = {}

    @property
    def model_name(self) -> str:
        return self.model.config.name

    def check_model(self, name: str) -> None:
        """ApiError unless the name, with or without "models/", is that of the model."""
        bare = name.removeprefix("models/")
        if bare != self.model_name and bare not in self.settings.aliases:
            raise not_found(f"models/{bare}")

    def lane(self, characters: int) -> Lane:
        return self.short if characters < LONG else self.long

    def lane_of(self, request: Request) -> Lane:
        """Where the body of a request is looked through."""
        return self.lane(number_in(request.headers, "content-length", 0))

    def ticket(self, request: Request) -> Ticket:
        """The time that the client gives it, or the server's limit if that is shorter."""
        most = self.settings.seconds
        asked = number_in(request.headers, "x-server-timeout", math.ceil(most))
        return Ticket.of(min(float(asked), most))

    def close(self) -> None:
        for lane in (self.short, self.long, self.answers, self.uploaded, self.batched):
            lane.close()
        self.scheduler.close()
        os.close(self.lock)


async def hub_of(request: Request) -> Hub:  # async: else FastAPI has another thread find it
    return request.app.state.hub


HubOf = Annotated[Hub, Depends(hub_of)]


def _locked(state: Path) -> int:
    """Two servers on one directory would each think it theirs."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise InputError(f"another server uses {state}; stop it or name another --state") from None
    return descriptor
