# SPDX-License-Identifier: Apache-2.0
"""The server under load, beside the engine alone with the same questions, in the same run.

With and without a reader of long files; the share of the engine's own speed that gets through
HTTP; and how much memory the server has after minutes of it.
"""

import http.client
import json
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pollux.bench import apart
from pollux.bench.load import PROMPTS, Load, drive, prompts
from pollux.bench.machine import machine
from pollux.bench.read import text_of
from pollux.bench.serve_process import Served, model_of, send, serving, stream
from pollux.errors import PolluxError

CLIENTS = (1, 8, 64, 256)
MAX_TOKENS = 48
OWN_SECONDS = 900.0  # that the engine's own run may take beside its questions
POLL = 0.5  # seconds
SOAK_CLIENTS = 256

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number of clients; `own`: the same without HTTP."""

    load: Load
    own: Load | None
    long_tokens_per_second: float  # of the long file that is read meanwhile; 0 without one
    resident_mebibytes: float

    @property
    def share(self) -> float:
        """Of the engine's own speed; 0 where that was not measured."""
        return self.load.requests_per_second / self.own.requests_per_second if self.own else 0.0


@dataclass(frozen=True, kw_only=True)
class Minute:
    load: Load
    resident_mebibytes: float


@dataclass(frozen=True, kw_only=True)
class Found:
    rows: list[Row] = field(default_factory=list)
    minutes: list[Minute] = field(default_factory=list)


def bench_serve(
    clients: tuple[int, ...] = CLIENTS,
    seconds: float = 20.0,
    long_tokens: int = 1_000_000,
    minutes: int = 0,
    weights: Path | None = None,
    report: Report = lambda line: None,
) -> Found:
    """`long_tokens`: of the file that is read beside the second half of it; 0: there is none."""
    found = Found()
    with tempfile.TemporaryDirectory() as directory:
        with serving(Path(directory) / "state", weights) as served, asking(served) as ask:
            for count in clients:  # side by side: a machine's speed changes by the minute
                report(f"{count} clients, of the engine alone")
                own = _own(count, seconds, weights, Path(directory))
                report(f"{count} clients over HTTP")
                found.rows.append(_row(served, ask, count, seconds, own, lambda: 0))
            with reading(served, long_tokens) as tokens_read:
                for count in clients if long_tokens else ():
                    report(f"{count} clients over HTTP, beside a long file")
                    found.rows.append(_row(served, ask, count, seconds, None, tokens_read))
            for minute in range(minutes):
                report(f"minute {minute + 1} of {minutes}, {SOAK_CLIENTS} clients")
                load = drive(SOAK_CLIENTS, 60.0, ask)
                found.minutes.append(
                    Minute(load=load, resident_mebibytes=served.resident_mebibytes())
                )
            if served.process.poll() is not None:
                raise PolluxError("the server ended before it was told to")
    return found


def _own(clients: int, seconds: float, weights: Path | None, directory: Path) -> Load:
    job: dict[str, Any] = {
        "clients": clients,
        "seconds": seconds,
        "warm_seconds": min(seconds, 10.0),
    }
    job |= {"max_tokens": MAX_TOKENS, "weights": str(weights) if weights else None}
    told: dict[str, Any] = apart.measured("serve_own", job, directory, OWN_SECONDS + 2 * seconds)
    first, between = tuple(told.pop("first")), tuple(told.pop("between"))
    return Load(first=first, between=between, **told)


@contextmanager
def asking(served: Served) -> Generator[Callable[[int, int], Iterator[object]]]:
    """Each client keeps a connection of its own; every text is read before the clock starts."""
    model, asked = model_of(served), [_body(*one) for one in prompts()]
    connections: dict[int, http.client.HTTPConnection] = {}

    def ask(client: int, number: int) -> Iterator[object]:
        connection = connections.setdefault(client, served.connect())  # connects when it sends
        try:
            yield from stream(connection, model, asked[number % PROMPTS])
        except Exception:
            connection.close()
            raise

    for number in range(PROMPTS):
        for _ in ask(0, number):
            pass
    try:
        yield ask
    finally:
        for connection in connections.values():
            connection.close()


def _body(text: str, question: str) -> dict[str, Any]:
    return {
        "contents": [{"role": "user", "parts": [{"text": text}, {"text": question}]}],
        "generationConfig": {"maxOutputTokens": MAX_TOKENS},
    }


def _row(
    served: Served,
    ask: Callable[[int, int], Iterator[object]],
    clients: int,
    seconds: float,
    own: Load | None,
    tokens_read: Callable[[], int],
) -> Row:
    drive(clients, min(seconds, 10.0), ask)  # compiles
    before, began = tokens_read(), time.monotonic()
    load = drive(clients, seconds, ask)
    speed = (tokens_read() - before) / (time.monotonic() - began)
    return Row(
        load=load,
        own=own,
        long_tokens_per_second=speed,
        resident_mebibytes=served.resident_mebibytes(),
    )


@contextmanager
def reading(served: Served, tokens: int) -> Generator[Callable[[], int]]:
    """Uploads long files, one after another, to be read; says how many tokens of them are."""
    stop, counts = threading.Event(), [0]

    def one_after_another() -> None:
        with closing(served.connect()) as connection:
            while not stop.is_set():
                read_one(connection)

    def read_one(connection: http.client.HTTPConnection) -> None:
        before = counts[0]
        text = f"{time.monotonic_ns()}\n{text_of(tokens)}".encode()  # not read already
        _, told = send(
            connection,
            "POST",
            "/upload/v1beta/files",
            text,
            x_goog_upload_protocol="raw",
            content_type="text/plain",
        )
        file = json.loads(told)["file"]
        while True:
            known = file.get("metadata", {})
            read = known.get("tokenCount", known.get("tokensRead", 0))
            counts[0] = max(counts[0], before + read)
            if file["state"] != "PROCESSING" or stop.wait(POLL):
                break
            file = json.loads(send(connection, "GET", f"/v1beta/{file['name']}")[1])
        send(connection, "DELETE", f"/v1beta/{file['name']}")

    if not tokens:
        yield lambda: 0
        return
    thread = threading.Thread(target=one_after_another)
    thread.start()
    try:
        yield lambda: counts[0]
    finally:
        stop.set()
        thread.join()


def save(found: Found, path: Path) -> None:
    rows = [
        asdict(row) | {"share": row.share, "requests_per_second": row.load.requests_per_second}
        for row in found.rows
    ]
    told = {"rows": rows, "minutes": [asdict(one) for one in found.minutes]}
    path.write_text(json.dumps(told | {"machine": asdict(machine())}, indent=1))
