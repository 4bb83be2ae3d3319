# SPDX-License-Identifier: Apache-2.0
"""Held-out documents cut to a number of tokens.

War and Peace, the Apollo 11 transcript, JAX 0.4.23's source.
"""

import json
import lzma
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from pollux.cache import cache_directory
from pollux.data.corpora import data_directory
from pollux.errors import InputError
from pollux.examples import war_and_peace
from pollux.media.inputs import open_parts
from pollux.media.part import Part
from pollux.tokenizer import Tokenizer

JAX_WHEEL = "jax-0.4.23-py3-none-any.whl"
APOLLO = "text/spacelog-apollo11-eval.jsonl.xz"


@dataclass(frozen=True)
class Line:
    """An utterance of the transcript."""

    seconds: int
    text: str


def book(tokenizer: Tokenizer, tokens: int, rng: np.random.Generator) -> str:
    """A stretch of War and Peace of about `tokens` tokens; the whole where that is less."""
    text = war_and_peace().text
    size = int(tokens * 3.39)  # characters a token, measured on the book
    start = int(rng.integers(0, max(1, len(text) - size)))
    return text[text.find("\n", start) + 1 : start + size] if size < len(text) else text


def rows(file: str, source: str, without: str) -> list[dict]:
    """Lines of an evaluation file in POLLUX_DATA; `without`: what can be left out instead."""
    directory = data_directory()
    if directory is None or not (path := directory / file).is_file():
        raise InputError(
            f"{file} (from {source}) is not here; set POLLUX_DATA to the directory that holds it, "
            f"or leave out {without}"
        )
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@cache
def transcript() -> tuple[Line, ...]:
    found = rows(APOLLO, "github.com/Spacelog/Spacelog", "--skill when")
    return tuple(Line(r["seconds"], f"[{r['t']}] {r['speaker']}: {r['text']}") for r in found)


def code(wheel: Path | None) -> list[Part]:
    """The source of JAX 0.4.23, from `wheel`, the cache, or the package index."""
    path = wheel or cache_directory() / "wheels" / JAX_WHEEL
    if not path.is_file() and wheel is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pips = ([sys.executable, "-m", "pip"], ["pip3"])  # an environment made by uv has no pip
        wanted = ["download", "--no-deps", "-q", "-d", str(path.parent), "jax==0.4.23"]
        if not any(_succeeds([*pip, *wanted]) for pip in pips):
            raise InputError("the wheel of jax 0.4.23 cannot be had; name a copy with --wheel")
    return [part for part in open_parts([path]) if part.kind == "code"]


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


def first_parts(tokenizer: Tokenizer, parts: Sequence[Part], tokens: int) -> list[Part]:
    """As many whole parts as make up about `tokens` tokens, at least one."""
    chosen, total = [], 0
    for part in parts:
        size = int(len(part.text) / 2.9)
        if chosen and total + size > tokens:
            continue
        chosen.append(part)
        total += size
    return chosen
