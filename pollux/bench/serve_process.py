# SPDX-License-Identifier: Apache-2.0
"""`pollux serve` as a process of its own, and how the benchmarks talk to it."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pollux.bench.load import Refused
from pollux.errors import PolluxError

READY = re.compile(r"ready at http://([^\s:]+):(\d+)")
PATIENCE = 600.0  # seconds for one answer


class Served:
    """A running server. `log` are its lines so far."""

    def __init__(self, process: subprocess.Popen[str], host: str, port: int, log: list[str]):
        self.process, self.host, self.port, self.log = process, host, port, log

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)

    def resident_mebibytes(self) -> float:
        """Of its memory now; 0 where the system does not say."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return 0.0
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else 0.0

    def kill(self) -> None:
        """As when the power fails, as far as a process can tell."""
        self.process.kill()
        self.process.wait()


@contextmanager
def serving(state: Path, weights: Path | None, *options: str) -> Generator[Served]:
    """PolluxError with its last line where it does not start."""
    command = [sys.executable, "-m", "pollux", "serve", "--port", "0", "--state", str(state)]
    command += ["--weights", str(weights)] if weights else []
    environment = {name: text for name, text in os.environ.items() if name != "POLLUX_API_KEY"}
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment |= {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "COLUMNS": "200"}
    with subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    ) as process:
        assert process.stdout
        log: list[str] = []
        for line in process.stdout:
            log.append(line.rstrip())
            if found := READY.search(line):
                break
        else:
            raise PolluxError(f"the server did not start: {(log or ['it said nothing'])[-1]}")
        drain = threading.Thread(target=_drain, args=(process.stdout, log), daemon=True)
        drain.start()
        try:
            yield Served(process, found[1], int(found[2]), log)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait()
            drain.join()


def _drain(lines: Iterator[str], log: list[str]) -> None:
    """Only what went wrong is kept: a long run has a line for each request."""
    for line in lines:
        if "Traceback" in line or "Error" in line:
            log.append(line.rstrip())


def requested(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
) -> http.client.HTTPResponse:
    """Once more on a fresh connection where the server had closed an idle one."""
    try:
        connection.request(method, path, body, headers)
        return connection.getresponse()
    except ConnectionError:
        connection.close()
    connection.request(method, path, body, headers)
    return connection.getresponse()


def send(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: dict[str, Any] | bytes | None = None,
    **headers: str,
) -> tuple[http.client.HTTPResponse, bytes]:
    """One exchange; Refused for 429."""
    given = json.dumps(body).encode() if isinstance(body, dict) else body
    kind = {"content-type": "application/json"} if isinstance(body, dict) else {}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = requested(connection, method, path, given, kind | named)
    read = response.read()
    if response.status == 429:
        raise Refused
    return response, read


def model_of(served: Served) -> str:
    """The model's name, as "models/spark"."""
    with closing(served.connect()) as connection:
        _, told = send(connection, "GET", "/v1beta/models")
    return json.loads(told)["models"][0]["name"]


def stream(
    connection: http.client.HTTPConnection, model: str, body: dict[str, Any]
) -> Iterator[bytes]:
    """The events of an answer as they come; PolluxError for what is none."""
    path = f"/v1beta/{model}:streamGenerateContent?alt=sse"
    given, kind = json.dumps(body).encode(), {"content-type": "application/json"}
    response = requested(connection, "POST", path, given, kind)
    if response.status != 200:
        told = response.read()
        if response.status == 429:
            raise Refused
        raise PolluxError(f"{response.status}: {told[:100]!r}")
    for line in response:
        if line.startswith(b'data: {"error"'):
            response.read()
            raise PolluxError(line[:100].decode(errors="replace"))
        if line.startswith(b"data: "):
            yield line
    response.read()  # to its end, so that the connection can be used again
