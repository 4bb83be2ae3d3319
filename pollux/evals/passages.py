# SPDX-License-Identifier: Apache-2.0
"""Natural questions: is the passage that a person means among those shown?

Three systems are given the same passages and the same questions: Pollux (the passages recalled
where the answer would begin), BM25, and MiniLM sentence embeddings. Sets, each filled up to about
as many tokens as wanted with paragraphs of War and Peace, all of it held out from training:

debian: a package's title finds its description; the half of the packages kept for evaluation.
cmrc: questions of CMRC 2018's development part find their paragraph. Chinese.
apollo: who said something about this and that, in other words, finds the exchange of Apollo 11.

Every system runs in a process of its own, so that its memory can be told.
"""

import json
import multiprocessing
import re
import resource
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pollux.data import passages as training
from pollux.data.descriptions import descriptions
from pollux.evals import haystack
from pollux.evals.index import SHOWN, PolluxIndex, builder
from pollux.evals.score import Score, wilson
from pollux.examples import war_and_peace
from pollux.tokenizer import Tokenizer

CMRC = "evals/cmrc2018-dev.jsonl.xz"
SPEAKERS = {
    "CC": "Houston",
    "CDR": "the commander",
    "CMP": "the command module pilot",
    "LMP": "the lunar module pilot",
}
APOLLO_QUESTIONS = (  # evaluation only: data/passages.py has others
    "In what connection did {who} mention {a}, {b} and {c}?",
    "Did {who} ever bring up {a} together with {b}, and what of the {c}?",
    "I remember {who} going on about {a} and {b}, {c} came into it too",
    "{who} had a remark on {c}: something to do with {a} and with {b}",
    "What was that exchange where {a} and {c} came up and {who} spoke of {b}?",
)


@dataclass(frozen=True, kw_only=True)
class Question:
    text: str
    right: int  # the number of its passage


@dataclass(frozen=True, kw_only=True)
class Case:
    """The passages, in reading order, and what is asked."""

    name: str
    passages: tuple[str, ...]
    questions: tuple[Question, ...]
    tokens: int  # of all passages


@dataclass(frozen=True, kw_only=True)
class Found:
    """One system on one case. Memory: the process's peak above what it had with its weights."""

    system: str
    case: str
    shown: list[list[int]]  # for each question the numbers of up to SHOWN passages, best first
    other: list[bool]  # of pollux: whether passages are what it would answer with
    build_seconds: float
    question_seconds: float  # mean
    index_bytes: int
    weights_bytes: int
    peak_bytes: int


def debian(tokenizer: Tokenizer, tokens: int, count: int, rng: np.random.Generator) -> Case:
    kept = descriptions(evaluation=True)
    chosen, size = [], 0
    for at in rng.permutation(len(kept)):
        if size >= tokens:
            break
        chosen.append(kept[at])
        size += len(tokenizer.encode(kept[at].body)) + 2
    asked = [
        Question(text=one.title, right=i)
        for i, one in enumerate(chosen)
        if one.title.casefold() not in one.body.casefold()  # else it is a quotation
    ]
    return _case("debian", tokenizer, [one.body for one in chosen], asked, tokens, count, rng)


def cmrc(tokenizer: Tokenizer, tokens: int, count: int, rng: np.random.Generator) -> Case:
    kept = haystack.rows(CMRC, "github.com/ymcui/cmrc2018", "--set cmrc")
    texts = [re.sub(r"\s*\n\s*", "\n", row["context"]).strip() for row in kept]
    asked = [
        Question(text=qa["question"], right=i) for i, row in enumerate(kept) for qa in row["qas"]
    ]
    return _case("cmrc", tokenizer, texts, asked, tokens, count, rng)


def apollo(tokenizer: Tokenizer, tokens: int, count: int, rng: np.random.Generator) -> Case:
    texts = list(training.together(line.text for line in haystack.transcript()))
    stems = [{_stem(w) for w in training.content(text)} for text in texts]
    asked: list[Question] = []
    for at in rng.permutation(len(texts)):
        lines = [line for line in texts[at].split("\n") if len(training.content(line)) > 8]
        if not lines:
            continue
        line = lines[int(rng.integers(len(lines)))]
        code = line.split("] ", 1)[1].split(":")[0].split(" ")[0]
        said = training.content(line.split(": ", 1)[1])
        words = [said[i] for i in sorted(rng.permutation(len(said))[:3])]
        wanted = {_stem(w) for w in words}
        if len(wanted) == 3 and code in SPEAKERS and sum(wanted <= of for of in stems) == 1:
            asked.append(Question(text=_apollo_question(rng, SPEAKERS[code], words), right=int(at)))
    return _case("apollo", tokenizer, texts, asked, tokens, count, rng)


def _stem(word: str) -> str:
    """Enough of a word to know it in other forms."""
    return word.casefold()[:5]


def _apollo_question(rng: np.random.Generator, who: str, words: list[str]) -> str:
    a, b, c = (training.inflected(w) if rng.random() < 0.5 else w for w in words)
    text = APOLLO_QUESTIONS[int(rng.integers(len(APOLLO_QUESTIONS)))]
    asked = text.format(who=who, a=a, b=b, c=c)
    return asked[0].upper() + asked[1:]


CASES: dict[str, Callable[[Tokenizer, int, int, np.random.Generator], Case]] = {
    "debian": debian,
    "cmrc": cmrc,
    "apollo": apollo,
}


def make(name: str, tokenizer: Tokenizer, tokens: int, count: int, seed: int) -> Case:
    """A case of about `tokens` tokens with up to `count` questions."""
    return CASES[name](tokenizer, tokens, count, np.random.default_rng([seed, *map(ord, name)]))


def _case(
    name: str,
    tokenizer: Tokenizer,
    texts: list[str],
    asked: Sequence[Question],
    tokens: int,
    count: int,
    rng: np.random.Generator,
) -> Case:
    """War and Peace fills up; nothing is asked of passages that are there more than once."""
    times = Counter(texts)
    asked = [q for q in asked if times[texts[q.right]] == 1]
    chosen = [asked[i] for i in sorted(rng.permutation(len(asked))[:count])]
    filler = training.together(p for p in war_and_peace().text.split("\n\n") if p.strip())
    size = sum(len(tokenizer.encode(text)) + 2 for text in texts)
    texts = list(texts)
    for text in filler:
        if size >= tokens:
            break
        texts.append(text)
        size += len(tokenizer.encode(text)) + 2
    passages = tuple(re.sub(r"\n{2,}", "\n", text) for text in texts)
    return Case(name=name, passages=passages, questions=tuple(chosen), tokens=size)


def measure(system: str, case: Case, weights: Path | None, wheel: Path | None) -> Found:
    """Builds the index and asks every question."""
    build, size = builder(system, weights, wheel)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    before = _memory("VmRSS")
    began = time.monotonic()
    index = build(case.passages)
    build_seconds = time.monotonic() - began
    index.best(case.questions[0].text)  # opens it
    began = time.monotonic()
    shown = [index.best(question.text) for question in case.questions]
    question_seconds = (time.monotonic() - began) / len(shown)
    other = []
    if isinstance(index, PolluxIndex):
        other = [index.answers_with_passages(question.text) for question in case.questions]
    return Found(
        system=system,
        case=case.name,
        shown=shown,
        other=other,
        build_seconds=build_seconds,
        question_seconds=question_seconds,
        index_bytes=index.nbytes,
        weights_bytes=size,
        peak_bytes=max(0, _memory("VmHWM") - before),
    )


def _memory(what: str) -> int:
    """VmRSS, resident now, or VmHWM, the most so far, in bytes.

    Not ru_maxrss, which a process inherits from the one that starts it.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split(f"{what}:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def apart(system: str, case: Case, weights: Path | None, wheel: Path | None) -> Found:
    """`measure` in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure, system, case, weights, wheel).result()


def hits(case: Case, found: Found, most: int) -> Score:
    """How many questions have their passage among the first `most` shown."""
    pairs = zip(case.questions, found.shown, strict=True)
    return Score(sum(q.right in shown[:most] for q, shown in pairs), len(case.questions))


def save(results: list[tuple[Case, Found]], path: Path, about: dict) -> None:
    """JSON with every question behind every share."""
    cells = []
    for case, found in results:
        scores = {f"hit@{most}": hits(case, found, most) for most in (1, SHOWN)}
        cells.append(
            {
                "set": case.name,
                "system": found.system,
                "tokens": case.tokens,
                "passages": len(case.passages),
                **{name: _as_dict(score) for name, score in scores.items()},
                "answered_with_passages": sum(found.other) if found.other else None,
                **{k: v for k, v in asdict(found).items() if k not in ("shown", "other", "case")},
                "questions": [
                    {"text": q.text, "right": q.right, "shown": shown}
                    for q, shown in zip(case.questions, found.shown, strict=True)
                ],
            }
        )
    beside = path.with_suffix(".partial")
    beside.write_text(json.dumps({**about, "cells": cells}, ensure_ascii=False, indent=1))
    beside.replace(path)


def _as_dict(score: Score) -> dict:
    interval = wilson(score.right, score.trials)
    return {**asdict(score), "share": score.share, "wilson": interval}
