# SPDX-License-Identifier: Apache-2.0
"""Questions answered one at a time, and several at once: the same questions, in the same run."""

import json
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pollux
from pollux.bench.machine import machine
from pollux.bench.read import SHORT, begins, text_of
from pollux.engine.answer import Respondent
from pollux.engine.batch import ask_many
from pollux.media.part import Part

LENGTHS = (10_000, 1_000_000)
AT_ONCE = (1, 8, 32)  # one is the plain way, without a batch
QUESTIONS = 32


@dataclass(frozen=True, kw_only=True)
class Company:
    """So many answers in the making at a time; the best of the repeats."""

    tokens: int  # of the reading
    at_once: int
    questions: int
    seconds: float
    answer_tokens: int
    same: int  # answers that have the text they have one at a time

    @property
    def questions_per_second(self) -> float:
        return self.questions / self.seconds


def bench_batch(
    lengths: tuple[int, ...] = LENGTHS,
    questions: int = QUESTIONS,
    repeats: int = 3,
    weights: Path | None = None,
) -> list[Company]:
    """Passages of a book to be quoted, every second one not in it, at each length."""
    model = pollux.load(weights)
    return [
        company for tokens in lengths for company in _measure(model, tokens, questions, repeats)
    ]


def _measure(model: pollux.Model, tokens: int, questions: int, repeats: int) -> list[Company]:
    text = text_of(tokens)
    reading = model.read(Part(name="book.txt", kind="text", text=text))
    respondent = Respondent(model.loaded, reading)
    asked = [f'Quote the passage that begins "{b}"' for b in begins(text, random.Random(0))]
    asked = (asked * (questions // len(asked) + 1))[:questions]
    ways = [_way(respondent, at_once) for at_once in AT_ONCE]
    for way in ways:
        way(asked)  # compiles
    seconds: list[list[float]] = [[] for _ in ways]
    given: list[list[pollux.Answer]] = [[] for _ in ways]
    for _ in range(repeats):  # in turn, so that a slow minute is slow for all
        for number, way in enumerate(ways):
            began = time.monotonic()
            given[number] = way(asked)
            seconds[number].append(time.monotonic() - began)
    return [
        Company(
            tokens=reading.num_valid,
            at_once=at_once,
            questions=questions,
            seconds=min(took),
            answer_tokens=sum(answer.tokens for answer in answers),
            same=sum(a.text == b.text for a, b in zip(answers, given[0], strict=True)),
        )
        for at_once, took, answers in zip(AT_ONCE, seconds, given, strict=True)
    ]


def _way(respondent: Respondent, at_once: int) -> Callable[[list[str]], list[pollux.Answer]]:
    if at_once == 1:
        return lambda asked: [respondent.ask(question, SHORT) for question in asked]
    return lambda asked: ask_many([(respondent, one) for one in asked], SHORT, at_once)


def alone(found: list[Company], company: Company) -> Company:
    """The same questions one at a time."""
    return next(one for one in found if (one.tokens, one.at_once) == (company.tokens, 1))


def save(found: list[Company], path: Path) -> None:
    rows = [
        asdict(one) | {"times_as_fast": alone(found, one).seconds / one.seconds} for one in found
    ]
    path.write_text(json.dumps({"companies": rows, "machine": asdict(machine())}, indent=1))
