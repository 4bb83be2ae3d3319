# SPDX-License-Identifier: Apache-2.0
"""A server killed at random moments, again and again: what it acknowledged has to be there after.

Meanwhile files are uploaded in pieces, contents are cached, and answers are streamed.
"""

import hashlib
import http.client
import json
import random
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from pollux.bench.load import Refused
from pollux.bench.serve_process import Served, model_of, send, serving, stream
from pollux.errors import PolluxError

SOONEST, LATEST = 0.5, 6.0  # seconds until it is killed
ASKED = 3  # caches asked a question after each kill
FACT = "The access code for Lima is 90817.\n"
QUESTION = {"parts": [{"text": "What is the access code for Lima?"}]}
STREAMS = 2
GONE = (OSError, http.client.HTTPException, PolluxError, Refused, KeyError, ValueError)


@dataclass
class Kept:
    """What the server acknowledged, over all kills."""

    files: dict[str, str] = field(default_factory=dict)  # name, SHA-256 of its bytes
    caches: dict[str, int] = field(default_factory=dict)  # name, tokens
    answers: int = 0
    kills: int = 0
    lost: list[str] = field(default_factory=list)  # what was not there, or not whole, and when


def campaign(
    kills: int, weights: Path | None = None, report: Callable[[Kept], None] = lambda kept: None
) -> Kept:
    """Kills it that many times; the seed is fixed, the moments are not the same twice all the same.

    PolluxError where it does not start again.
    """
    kept, rng = Kept(), random.Random(0)
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory) / "state"
        for _ in range(kills):
            with serving(state, weights) as served:
                _check(served, kept, rng)
                _work(served, kept, rng)
                kept.kills += 1
            report(kept)
        with serving(state, weights) as served:
            _check(served, kept, rng)
    return kept


def _work(served: Served, kept: Kept, rng: random.Random) -> None:
    """Uploads, caches and streams until the server is killed under them."""
    model, seeds = model_of(served), random.Random(rng.random())
    jobs = [_upload, _cache, *[_stream] * STREAMS]
    threads = [
        threading.Thread(target=_until_gone, args=(job, served, model, kept, seeds)) for job in jobs
    ]
    for thread in threads:
        thread.start()
    time.sleep(rng.uniform(SOONEST, LATEST))
    served.kill()
    for thread in threads:
        thread.join()


Job = Callable[[http.client.HTTPConnection, str, Kept, random.Random], None]


def _until_gone(job: Job, served: Served, model: str, kept: Kept, rng: random.Random) -> None:
    while served.process.poll() is None:
        connection = served.connect()
        try:
            while True:
                job(connection, model, kept, rng)
        except GONE:  # the server was killed, or is busy
            connection.close()


def _upload(
    connection: http.client.HTTPConnection, model: str, kept: Kept, rng: random.Random
) -> None:
    """In two pieces; acknowledged when the last one is answered."""
    data = (f"{rng.random()}\n{FACT}" * rng.randrange(1, 400)).encode()
    half = len(data) // 2
    path = "/upload/v1beta/files"
    started, _ = send(
        connection,
        "POST",
        path,
        x_goog_upload_protocol="resumable",
        x_goog_upload_command="start",
        x_goog_upload_header_content_type="text/plain",
    )
    url = started.headers["x-goog-upload-url"]
    path += "?" + url.partition("?")[2]
    for command, at, piece in (("upload", 0, data[:half]), ("upload, finalize", half, data[half:])):
        done, told = send(
            connection,
            "POST",
            path,
            piece,
            x_goog_upload_command=command,
            x_goog_upload_offset=str(at),
        )
    if done.status == 200:
        kept.files[json.loads(told)["file"]["name"]] = hashlib.sha256(data).hexdigest()


def _cache(
    connection: http.client.HTTPConnection, model: str, kept: Kept, rng: random.Random
) -> None:
    text = f"{rng.random()} {FACT}" * rng.randrange(1, 400)
    body = {"model": model, "ttl": "86400s", "contents": [{"parts": [{"text": text}]}]}
    done, told = send(connection, "POST", "/v1beta/cachedContents", body)
    if done.status == 200:
        made = json.loads(told)
        kept.caches[made["name"]] = made["usageMetadata"]["totalTokenCount"]


def _stream(
    connection: http.client.HTTPConnection, model: str, kept: Kept, rng: random.Random
) -> None:
    text = {"parts": [{"text": f"{rng.random()}\n{FACT}"}]}
    for _ in stream(connection, model, {"contents": [text, QUESTION]}):
        pass
    kept.answers += 1


def _check(served: Served, kept: Kept, rng: random.Random) -> None:
    """Every file by its bytes, every cache by its tokens, some by asking them."""
    model = model_of(served)

    def lost(name: str, why: str) -> None:
        kept.lost.append(f"{name} after {kept.kills} kills: {why}")

    with closing(served.connect()) as connection:
        for name, digest in kept.files.items():
            got, data = send(connection, "GET", f"/v1beta/{name}:download?alt=media")
            if got.status != 200 or hashlib.sha256(data).hexdigest() != digest:
                lost(name, f"{got.status}, {len(data):,} bytes")
            state = json.loads(send(connection, "GET", f"/v1beta/{name}")[1]).get("state")
            if state == "FAILED":
                lost(name, "its reading failed")
        for name, tokens in kept.caches.items():
            got, told = send(connection, "GET", f"/v1beta/{name}")
            if got.status != 200 or json.loads(told)["usageMetadata"]["totalTokenCount"] != tokens:
                lost(name, f"{got.status}")
        for name in rng.sample(sorted(kept.caches), min(ASKED, len(kept.caches))):
            body = {"cachedContent": name, "contents": [QUESTION]}
            got, told = send(connection, "POST", f"/v1beta/{model}:generateContent", body)
            count = json.loads(told).get("usageMetadata", {}).get("cachedContentTokenCount")
            if got.status != 200 or count != kept.caches[name]:
                lost(name, f"{got.status} {told[:200]!r}")
