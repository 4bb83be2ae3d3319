# SPDX-License-Identifier: Apache-2.0
"""The model's work: a few threads, a bounded queue before them, and a ticket for each request.

Reading a long text has a thread to itself, so that short questions never wait behind it.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from pollux.serve.errors import ApiError, busy

LATE = 0.01  # seconds after the end of its time that a request is told so


@dataclass(eq=False)
class Ticket:
    """Leave to go on working: until `deadline`, or until nobody wants the result."""

    deadline: float  # time.monotonic()
    cancelled: threading.Event = field(default_factory=threading.Event)
    hooks: list[Callable[[], None]] = field(default_factory=list)

    @classmethod
    def of(cls, seconds: float) -> "Ticket":
        return cls(time.monotonic() + seconds)

    def check(self) -> None:
        """Called by whoever works, often. ApiError when it must stop."""
        if self.cancelled.is_set():
            raise ApiError("CANCELLED", "the request was cancelled")
        if time.monotonic() > self.deadline:
            raise ApiError(
                "DEADLINE_EXCEEDED",
                "the request took longer than its time limit; what was read of it is kept, so "
                "asking again may do, or start the server with a higher --seconds",
            )

    def cancel(self) -> None:
        self.cancelled.set()
        for hook in self.hooks:
            hook()

    def at_cancel(self, hook: Callable[[], None]) -> None:
        """Called when it is cancelled, or now if it is; may be called twice."""
        self.hooks.append(hook)
        if self.cancelled.is_set():
            hook()


class Lane:
    """Threads that take jobs in order; `busy` when too many wait."""

    def __init__(self, name: str, threads: int, waiting: int):
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self.most = threads + waiting
        self.inside = 0
        self.lock = threading.Lock()
        self.tickets: set[Ticket] = set()

    def submit(self, ticket: Ticket, job: Callable[[], None]) -> Future[None]:
        with self.lock:
            if self.inside >= self.most:
                raise busy()
            self.inside += 1
            self.tickets.add(ticket)

        def leave(_: Future[None]) -> None:
            with self.lock:
                self.inside -= 1
                self.tickets.discard(ticket)

        try:
            future = self.pool.submit(job)
        except RuntimeError:  # shut down
            leave(Future())
            raise ApiError("UNAVAILABLE", "the server is shutting down") from None
        future.add_done_callback(leave)
        return future

    def close(self) -> None:
        """Stops what is under way at its next check, and waits for it."""
        with self.lock:
            tickets = list(self.tickets)
        for ticket in tickets:
            ticket.cancel()
        self.pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class _End:
    error: Exception | None = None


async def events(
    lane: Lane, ticket: Ticket, request: Request | None, job: Callable[[], Iterator[Any]]
) -> AsyncGenerator[Any]:
    """What `job` yields in a thread of the lane, as it comes; it never yields None.

    Stops it when the client (`request`) has gone, the time is over, or the iterator is closed.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Any] = asyncio.Queue()

    def put(event: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(queue.put_nowait, event)

    def pump() -> None:
        try:
            ticket.check()
            for event in job():
                put(event)
                ticket.check()
            put(_End())
        except Exception as error:
            put(_End(error))

    async def watch(request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        ticket.cancel()
        queue.put_nowait(None)

    future, ended = lane.submit(ticket, pump), False
    left = ticket.deadline - time.monotonic()
    timer = loop.call_later(max(0.0, left) + LATE, queue.put_nowait, None)
    watcher = loop.create_task(watch(request)) if request is not None else None
    try:
        while True:
            event = await queue.get()
            if event is None:  # nobody waits any more, or not for so long
                ticket.check()
            elif isinstance(event, _End):
                ended = True
                if event.error:
                    raise event.error
                return
            else:
                yield event
    finally:
        timer.cancel()
        if watcher is not None:
            watcher.cancel()
        if not ended:
            ticket.cancel()
            future.cancel()


async def result(
    lane: Lane, ticket: Ticket, request: Request | None, job: Callable[[], Any]
) -> Any:
    """What `job` returns, worked out in a thread of the lane."""

    def one() -> Iterator[Any]:
        yield (job(),)

    [[found]] = [event async for event in events(lane, ticket, request, one)]
    return found
