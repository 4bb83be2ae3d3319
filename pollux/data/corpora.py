# SPDX-License-Identifier: Apache-2.0
"""Public text as token arrays, tokenized once and kept in a cache.

Each corpus names its public source; a local copy is taken from the directory in the environment
variable POLLUX_DATA. Files made for evaluation are refused by name (`HELD_OUT`), whoever asks for
them.
"""

import json
import lzma
import os
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pollux.cache import cache_directory
from pollux.errors import RecipeError, SpaceError
from pollux.tokenizer import Tokenizer

HELD_OUT = (
    "-dev",
    "-test",
    "-eval",
    "war-and-peace",
    "apollo11",
    "kalamang",
    "humaneval",
    "svamp",
    "bfcl",
)


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """`files` lie under POLLUX_DATA; none: the standard library of the running Python."""

    name: str
    files: tuple[str, ...]
    source: str
    licence: str
    texts: Callable[[dict], str]


def _transcript(row: dict) -> str:
    return f"[{row['t']}] {row['speaker']}: {row['text']}\n"


CORPORA = {
    c.name: c
    for c in (
        Corpus(
            name="books",
            files=tuple(f"text/books-train-0{i}.jsonl.xz" for i in range(5)),
            source="github.com/mlschmitt/classic-books-markdown",
            licence="public domain",
            texts=lambda row: row["text"] + "\n",
        ),
        Corpus(
            name="chinese",
            files=("text/zh-novels-train.jsonl.xz", "text/zh-modern-train.jsonl.xz"),
            source=(
                "github.com/NiuTrans/Classical-Modern, reactjs/zh-hans.react.dev, "
                "KaiserY/trpl-zh-cn, d2l-ai/d2l-zh"
            ),
            licence="public domain works (collection MIT), CC-BY-4.0, MIT, Apache-2.0",
            texts=lambda row: row["text"] + "\n",
        ),
        Corpus(
            name="documentation",
            files=("text/python-docs-en-zh-train.jsonl.xz",),
            source="github.com/python/python-docs-zh-cn",
            licence="PSF, CC0",
            texts=lambda row: row["en"] + "\n" + row["zh"] + "\n",
        ),
        Corpus(
            name="transcripts",
            files=("text/spacelog-train.jsonl.xz",),
            source="github.com/Spacelog/Spacelog",
            licence="public domain (NASA)",
            texts=_transcript,
        ),
        Corpus(
            name="code",
            files=(),
            source="the standard library of the running Python",
            licence="PSF",
            texts=lambda row: row["text"],
        ),
    )
}
QUESTIONS = Corpus(
    name="questions",
    files=(
        "evals/gsm8k-train.jsonl.xz",
        "text/cmrc2018-trial-train.jsonl.xz",
        "text/sgd-train.jsonl.xz",
    ),
    source=(
        "github.com/openai/grade-school-math, ymcui/cmrc2018, "
        "google-research-datasets/dstc8-schema-guided-dialogue"
    ),
    licence="MIT, CC-BY-SA-4.0",
    texts=lambda row: "\n".join(_questions(row)),
)


def _questions(row: dict) -> list[str]:
    """What people ask, from rows of any of the question files; the first few of a dialogue."""
    if "question" in row:
        return [row["question"].replace("\n", " ")]
    if "qas" in row:
        return [qa["question"] for qa in row["qas"]]
    asked = [turn["text"] for turn in row["turns"] if turn["role"] == "user"]
    return [text for text in asked if text.endswith("?")][:2]


def data_directory() -> Path | None:
    """Where the local copies lie, if anybody said so."""
    return Path(os.environ["POLLUX_DATA"]) if os.environ.get("POLLUX_DATA") else None


def refuse_held_out(file: str) -> None:
    name = Path(file).name
    if any(mark in name for mark in HELD_OUT):
        raise RecipeError(f"{name} is held out for evaluation and must not be trained on")


def rows(corpus: Corpus) -> Iterator[dict]:
    """The corpus's rows, one dictionary each."""
    if not corpus.files:
        yield from _standard_library()
    for file in corpus.files:
        refuse_held_out(file)
        directory = data_directory()
        if directory is None or not (path := directory / file).is_file():
            raise RecipeError(
                f"{file} is not here: get it from {corpus.source} ({corpus.licence}) "
                "and set POLLUX_DATA to its directory"
            )
        try:
            with lzma.open(path, "rt", encoding="utf-8") as lines:
                yield from map(json.loads, lines)
        except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
            raise RecipeError(
                f"cannot read {path} ({error}): get it again from {corpus.source}"
            ) from None


def _standard_library() -> Iterator[dict]:
    root = Path(sysconfig.get_paths()["stdlib"])
    paths: list[Path] = []
    for directory, folders, files in os.walk(root):
        folders[:] = set(folders) - {"site-packages", "test", "tests"}
        paths += [Path(directory, file) for file in files if file.endswith(".py")]
    for path in sorted(paths):
        text = path.read_text("utf-8", "replace")
        yield {"text": f"# {path.relative_to(root)}\n{text}"}


def tokens(corpus: Corpus, tokenizer: Tokenizer) -> np.ndarray:
    """The whole corpus as uint16, memory mapped from the cache; made there on first use."""
    path = cache_directory() / "corpora" / tokenizer.fingerprint / f"{corpus.name}.npy"
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, EOFError, ValueError):  # not there, or torn
        ids = [tokenizer.encode(corpus.texts(row)).astype(np.uint16) for row in rows(corpus)]
        _write(path, np.concatenate(ids))
    return np.load(path, mmap_mode="r")


def _write(path: Path, ids: np.ndarray) -> None:
    """Beside `path`, then renamed: a file there is whole. Raises SpaceError."""
    beside = path.with_suffix(f".{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "wb") as file:
            np.save(file, ids)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise SpaceError(
            f"cannot write {path} ({error.strerror}); free space or set POLLUX_CACHE elsewhere"
        ) from None
    finally:
        with suppress(OSError):
            beside.unlink()


TOKENIZER_BYTES = {
    "books": 9_000_000,
    "chinese": 5_000_000,
    "documentation": 2_000_000,
    "transcripts": 1_000_000,
    "code": 6_000_000,
}


def tokenizer_lines(shares: dict[str, int] = TOKENIZER_BYTES) -> Iterator[str]:
    """Lines to train a tokenizer on: of each corpus about `shares` bytes, spread evenly."""
    for name, budget in shares.items():
        texts = [CORPORA[name].texts(row) for row in rows(CORPORA[name])]
        lines = [line[:4000] for text in texts for line in text.split("\n") if line.strip()]
        size = sum(len(line.encode()) for line in lines)
        rng = np.random.default_rng(0)
        yield from (line for line in lines if rng.random() * size < budget)
