# SPDX-License-Identifier: Apache-2.0
"""A campaign of malformed requests against a server in a process of its own."""

import json
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from pollux.bench.malformed import Tally, exchange, request
from pollux.bench.serve_process import Served, send, serving

CLIENTS = 4
PATIENCE = 60.0  # seconds for one answer
WARM = 0.2  # of the requests, after which memory is to stay what it is
ROOM = 1.1  # times that memory, at most,
SPARE = 64.0  # and so many MiB


@dataclass(frozen=True, kw_only=True)
class Found:
    requests: int
    seed: int
    statuses: dict[int, int]
    failures: list[str]
    warm_mebibytes: float
    end_mebibytes: float

    @property
    def flat(self) -> bool:
        return self.end_mebibytes <= ROOM * self.warm_mebibytes + SPARE

    @property
    def held(self) -> bool:
        return not self.failures and self.flat


def campaign(
    requests: int, seed: int, weights: Path | None, report: Callable[[str], None]
) -> Found:
    """PolluxError where the server does not start."""
    with (
        tempfile.TemporaryDirectory() as directory,
        serving(Path(directory) / "state", weights) as served,
    ):
        tally, warm = Tally(), 0.0
        for start, end in ((0, int(requests * WARM)), (int(requests * WARM), requests)):
            _send_all(served, range(start, end), seed, tally, report)
            warm = warm or served.resident_mebibytes()
        tally.failures += _still_well(served)
        return Found(
            requests=requests,
            seed=seed,
            statuses=dict(sorted(tally.statuses.items())),
            failures=tally.failures,
            warm_mebibytes=warm,
            end_mebibytes=served.resident_mebibytes(),
        )


def _send_all(
    served: Served, numbers: range, seed: int, tally: Tally, report: Callable[[str], None]
) -> None:
    """By several clients at a time."""
    waiting, lock = iter(numbers), threading.Lock()

    def client() -> None:
        while True:
            with lock:
                number = next(waiting, None)
            if number is None or served.process.poll() is not None:
                return
            made = request(number, seed)
            try:
                status = exchange(served.host, served.port, made, PATIENCE)
            except OSError:  # nobody listens any more
                status = None
            with lock:
                tally.note(number, made, status)
                report(f"{number:,} sent, {len(tally.failures)} failures")

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()


def _still_well(served: Served) -> list[str]:
    """What is wrong with the server after all that."""
    if served.process.poll() is not None:
        return [f"the server ended with {served.process.returncode}"]
    with closing(served.connect()) as connection:
        response, _ = send(connection, "GET", "/health")
    wrong = [] if response.status == 200 else [f"/health says {response.status}"]
    return wrong + [f"in the log: {line[:300]}" for line in served.log if "Traceback" in line]


def save(found: Found, path: Path) -> None:
    """Written beside and renamed."""
    beside = path.with_suffix(".partial")
    beside.write_text(json.dumps({**asdict(found), "held": found.held}, indent=1))
    beside.replace(path)
