# SPDX-License-Identifier: Apache-2.0
"""Programs that clients send, run where they can do no harm: see jail.py for how.

Linux alone can do it, with user namespaces and seccomp; nothing has to be installed. Where it
cannot, nothing is run.
"""

import base64
import json
import os
import selectors
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from pollux.serve.syscalls import seccomp_filter

AT_ONCE = 2  # programs: each may use a core
LOOK = 0.1  # seconds between looks whether anybody still wants it
MEBIBYTE = 1 << 20
OUTCOMES = Literal["OUTCOME_OK", "OUTCOME_FAILED", "OUTCOME_DEADLINE_EXCEEDED"]
CPU_OVER = {-9, -24}  # signals: at the limit on processor time the kernel kills it
LIBRARY = sysconfig.get_paths()["stdlib"]  # tracebacks name it: the sandbox loads from there first

running = threading.BoundedSemaphore(AT_ONCE)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Seconds of the processor and of the clock; bytes."""

    seconds: int = 10
    memory: int = 512 * MEBIBYTE  # of address space, about 60 MiB of it Python's own
    work: int = 16 * MEBIBYTE  # of its directory
    output: int = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Outcome:
    outcome: OUTCOMES
    output: str


class Unavailable(Exception):
    """Why this system cannot run programs, in a few words."""


def run(
    program: str, limits: Limits = Limits(), check: Callable[[], None] = lambda: None
) -> Outcome:
    """What it printed, errors included. `check` is called often and stops it by raising."""
    filtered = seccomp_filter()
    if sys.platform != "linux" or not filtered:
        raise Unavailable("it needs Linux on x86-64 or AArch64")
    while not running.acquire(timeout=LOOK):
        check()
    try:
        with tempfile.TemporaryDirectory(prefix="pollux-") as directory:
            job = {"program": program, "directory": directory, "seconds": limits.seconds}
            job |= {"memory": limits.memory, "work": limits.work}
            job["filter"] = base64.b64encode(filtered).decode()
            return _run(json.dumps(job).encode(), limits, check)
    finally:
        running.release()


def _run(job: bytes, limits: Limits, check: Callable[[], None]) -> Outcome:
    script = Path(__file__).with_name("jail.py")
    deadline = time.monotonic() + limits.seconds
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"LC_ALL": "C.UTF-8"},  # nothing of the server's, least of all its keys
        start_new_session=True,
        bufsize=0,
    ) as process:
        try:
            output, told, note = _watched(process, job, limits.output, deadline, check)
        finally:
            process.kill()  # its program ends with it
    text = output[: limits.output].decode("utf-8", "replace").replace(LIBRARY, "/lib")
    if note == "time":
        return Outcome(outcome="OUTCOME_DEADLINE_EXCEEDED", output=_noted(text, limits.seconds))
    if note == "output":
        more = f"\n[stopped: more than {limits.output:,} bytes of output]"
        return Outcome(outcome="OUTCOME_FAILED", output=text + more)
    how = json.loads(told or b"{}")
    if "code" not in how:
        raise Unavailable(how.get("refused", "the sandbox broke off"))
    if how["code"] in CPU_OVER:
        return Outcome(outcome="OUTCOME_DEADLINE_EXCEEDED", output=_noted(text, limits.seconds))
    if how["code"] < 0:
        text += f"\n[stopped by signal {-how['code']}]"
    return Outcome(outcome="OUTCOME_FAILED" if how["code"] else "OUTCOME_OK", output=text)


def _noted(text: str, seconds: int) -> str:
    return f"{text}\n[stopped after {seconds} s]"


def _watched(
    process: subprocess.Popen[bytes],
    job: bytes,
    most: int,
    deadline: float,
    check: Callable[[], None],
) -> tuple[bytes, bytes, str]:
    """Its output, what jail.py says of it, and what it was stopped for, if it was."""
    assert process.stdin and process.stdout and process.stderr
    output, told = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, output)
        selector.register(process.stderr, selectors.EVENT_READ, told)
        try:
            process.stdin.write(job)  # jail.py reads all of it before anything else
            process.stdin.close()
        except BrokenPipeError:
            pass
        while selector.get_map():
            check()
            if time.monotonic() > deadline:
                return bytes(output), b"", "time"
            for key, _ in selector.select(LOOK):
                piece = os.read(key.fd, 65_536)
                key.data.extend(piece)
                if not piece:
                    selector.unregister(key.fileobj)
            if len(output) > most:
                return bytes(output), b"", "output"
    return bytes(output), bytes(told), ""


@cache
def why_not() -> str:
    """Why programs cannot be run here; "" where they can. Tried once."""
    try:
        tried = run("print(6 * 7)", replace(Limits(), output=1_024))
    except (Unavailable, OSError, ValueError) as error:
        return str(error)
    return "" if tried.output == "42\n" else f"a trial failed: {tried.output[-200:]}"
