# SPDX-License-Identifier: Apache-2.0
"""Pollux at one length, its controls and the machine's limit: `python -m pollux.bench.peer_own`.

Takes JOB.json RESULT.json, as bench/peer.py does for the others, and runs by its clock.
"""

import time
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import pollux
from pollux.bench import control, peer
from pollux.bench.limit import limits
from pollux.bench.peer import Clock
from pollux.bench.read import SHORT
from pollux.config import SPARK
from pollux.engine.answer import Answer, Respondent
from pollux.engine.reader import CHUNK, Progress
from pollux.media.part import Part
from pollux.model import read

ASKED = 5  # times in a row
WARM = 40_000  # characters that are read and asked about before anything is timed


def own(job: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """Reads to a file, opens it, asks."""
    model = pollux.load(job["weights"])
    text = Path(job["text"]).read_text("utf-8")
    part = Part(name="book.txt", kind="text", text=text)
    first = model.read(Part(name="book.txt", kind="text", text=text[:WARM]))
    model.ask(first, job["question"], SHORT)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "book.reading"

        def report(progress: Progress) -> None:
            clock.done = progress.characters / len(text)

        def read_all() -> None:
            model.read(part, save=path, report=report)

        seconds = clock.times(read_all)
        clock.about["tokens"] = model.open(path).num_valid
        _ask(Respondent(model.loaded, model.open(path)), job["question"])  # compiles this size
        began = time.monotonic()
        reading = model.open(path)
        respondent = Respondent(model.loaded, reading)
        opened = time.monotonic() - began
        made = [_ask(respondent, job["question"]) for _ in range(1 + ASKED)]
        disk = sum(file.stat().st_size for file in path.iterdir())
    first_seconds, speeds, answers = zip(*made, strict=True)
    return {
        "read_seconds": seconds,
        "disk_bytes": disk,
        "reopened_seconds": opened + first_seconds[0],  # from a file on disk to the first token
        "first_token_seconds": median(first_seconds[1:]),
        "decode_tokens_per_second": median(speeds[1:]),
        "answer": answers[-1].text,
        "right": job["expected"] in answers[-1].text,
    }


def _ask(respondent: Respondent, question: str) -> tuple[float, float, Answer]:
    """Seconds to the first piece of text, tokens a second from there on, the answer."""
    began, came = time.monotonic(), []
    for piece in respondent.stream(question, SHORT):
        came.append((time.monotonic() - began, piece))
    (first, _), (last, answer) = came[0], came[-1]
    assert isinstance(answer, Answer)
    return first, max(0, len(came) - 2) / max(1e-9, last - first), answer


def full(job: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """Full attention with a cache, QUERIES tokens a step."""
    cfg = control.stack(SPARK)
    p, tokens = control.weights(cfg), np.load(job["tokens"]).astype(np.int32)
    size = control.QUERIES
    padded = np.pad(tokens, (0, -len(tokens) % size))
    clock.about |= {"tokens": len(tokens), "cache_bytes": control.cache_bytes(cfg, len(padded))}
    clock.check_room(clock.about["cache_bytes"])
    caches = control.empty_caches(cfg, len(padded))
    x, caches = control.full_chunk(p, cfg, padded[:size], caches, 0)  # compiles

    def read_all() -> None:
        nonlocal x, caches
        for at in range(0, len(padded), size):
            x, caches = control.full_chunk(p, cfg, padded[at : at + size], caches, at)
            jax.block_until_ready(x)
            clock.done = min(1.0, (at + size) / len(tokens))

    return {"read_seconds": clock.times(read_all)}


def window(job: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """Sliding windows alone, in chunks of what reading takes at a time."""
    cfg = control.stack(SPARK)
    p, tokens = control.weights(cfg), np.load(job["tokens"]).astype(np.int32)
    padded = np.pad(tokens, (0, -len(tokens) % CHUNK))
    clock.about["tokens"] = len(tokens)
    step = jax.jit(partial(control.window_chunk, p, cfg), donate_argnums=1)
    step(jnp.asarray(padded[:CHUNK]), read.empty_state(cfg, 1))  # compiles

    def read_all() -> None:
        state = read.empty_state(cfg, 1)
        for at in range(0, len(padded), CHUNK):
            x, state = step(jnp.asarray(padded[at : at + CHUNK]), state)
            jax.block_until_ready(x)
            clock.done = min(1.0, (at + CHUNK) / len(tokens))

    return {"read_seconds": clock.times(read_all)}


def limit(job: dict[str, Any], clock: Clock) -> dict[str, Any]:
    return {"flops": limits()}


PEERS = {"pollux": own, "full": full, "window": window, "limit": limit}

if __name__ == "__main__":
    peer.run(PEERS)
