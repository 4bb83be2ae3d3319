# SPDX-License-Identifier: Apache-2.0
"""What reading and answering cost at several lengths.

All in one run: ratios between the lengths, limits on bytes and memory.
"""

import json
import random
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import pollux
from pollux.engine.answer import Respondent
from pollux.engine.continuation import SETTLED
from pollux.examples import plant, war_and_peace
from pollux.media.part import Part

LENGTHS = (10_000, 64_000, 1_000_000)
QUESTION = "What is the special magic Paris number?"
ASKED = 5  # times in a row
SHORT = pollux.Sampling(max_tokens=48)
QUOTES = 40  # passages, for what is answered without scoring every key at every token


@dataclass(frozen=True, kw_only=True)
class Length:
    """Medians over the repeats; memory: the process's peak above what the loaded weights take."""

    tokens: int
    read_seconds: float
    tokens_per_second: float
    bytes_per_second: float  # of text
    bytes_per_token: float  # on disk
    peak_mebibytes: float
    open_seconds: float
    first_answer_seconds: float  # opening the keys for scanning included
    answer_seconds: float
    answer_tokens: int


def text_of(tokens: int) -> str:
    """About `tokens` tokens of War and Peace, from the beginning again where it is too short."""
    book = war_and_peace().text
    size = int(tokens * 3.39)
    return (book * (size // len(book) + 1))[:size]


def bench_read(
    lengths: tuple[int, ...] = LENGTHS,
    repeats: int = 3,
    weights: Path | None = None,
    done: Callable[[Length], None] = lambda length: None,
) -> list[Length]:
    """Reads and asks at each length, after a warm-up that compiles everything."""
    model = pollux.load(weights)
    _measure(model, min(lengths), 1)
    start = _peak()
    found = []
    for tokens in sorted(lengths):
        found.append(_measure(model, tokens, repeats, start))
        done(found[-1])
    return found


def _measure(model: pollux.Model, tokens: int, repeats: int, start: float = 0.0) -> Length:
    needle = "The special magic Paris number is: 8421907."
    part = Part(name="book.txt", kind="text", text=plant(text_of(tokens), needle, 0.5))
    times: dict[str, list[float]] = {"read": [], "open": [], "first": [], "answer": []}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "book.reading"

        def timed(what: str, call: Callable):
            began = time.monotonic()
            result = call()
            times[what].append(time.monotonic() - began)
            return result

        for _ in range(repeats):
            timed("read", lambda: model.read(part, save=path))
            reading = timed("open", lambda: model.open(path))
            timed("first", lambda r=reading: model.ask(r, QUESTION))
            for _ in range(ASKED):
                answer = timed("answer", lambda r=reading: model.ask(r, QUESTION))
        on_disk = sum(file.stat().st_size for file in path.iterdir())
    seconds = median(times["read"])
    return Length(
        tokens=reading.num_valid,
        read_seconds=seconds,
        tokens_per_second=reading.num_valid / seconds,
        bytes_per_second=len(part.text.encode()) / seconds,
        bytes_per_token=on_disk / reading.num_valid,
        peak_mebibytes=_peak() - start,
        open_seconds=median(times["open"]),
        first_answer_seconds=median(times["first"]),
        answer_seconds=median(times["answer"]),
        answer_tokens=answer.tokens,
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Answers as they are made, beside those for which every key is scored at every token."""

    tokens: int  # of the reading
    answers: int
    same: int
    seconds: float  # of an answer, mean
    scanned_seconds: float


def agreement(tokens: int, weights: Path | None = None) -> Agreement:
    """Passages of a book of that length to be quoted, and the same number that are not in it."""
    model = pollux.load(weights)
    text, rng = text_of(tokens), random.Random(0)
    reading = model.read(Part(name="book.txt", kind="text", text=text))
    questions = [f'Quote the passage that begins "{begin}"' for begin in begins(text, rng)]
    ways = [Respondent(model.loaded, reading, settled) for settled in (SETTLED, 2.0)]
    for way in ways:
        way.ask(questions[0], SHORT)
    answers, seconds = [], []
    for way in ways:
        began = time.monotonic()
        answers.append([way.ask(question, SHORT).text for question in questions])
        seconds.append((time.monotonic() - began) / len(questions))
    same = sum(one == other for one, other in zip(*answers, strict=True))
    return Agreement(
        tokens=reading.num_valid,
        answers=len(questions),
        same=same,
        seconds=seconds[0],
        scanned_seconds=seconds[1],
    )


def begins(text: str, rng: random.Random) -> list[str]:
    """Nine words from a line's beginning; of every second one a word in the middle is another."""
    lines = [line.split() for line in text.splitlines() if len(line.split()) > 20]
    begins = []
    for number, line in enumerate(rng.sample(lines, QUOTES)):
        words = line[:9]
        if number % 2:
            words[5] = rng.choice(rng.choice(lines))
        begins.append(" ".join(words))
    return begins


def summary(found: list[Length]) -> dict[str, float]:
    """The figures with a goal: reading at 1M against 64k, answering at 1M against 10k."""
    by = {length: row for length, row in zip(sorted(LENGTHS), found, strict=True)}
    small, middle, large = (by[n] for n in LENGTHS)
    return {
        "tokens_per_second_at_1m": large.tokens_per_second,
        "cost_per_token_1m_over_64k": middle.tokens_per_second / large.tokens_per_second,
        "bytes_per_token": large.bytes_per_token,
        "peak_mebibytes_at_1m": large.peak_mebibytes,
        "answer_time_1m_over_10k": large.answer_seconds / small.answer_seconds,
        "open_seconds_at_1m": large.open_seconds,
    }


def save(found: list[Length], agreed: Agreement, path: Path) -> None:
    rows = [asdict(row) for row in found]
    path.write_text(json.dumps({"lengths": rows, "agreement": asdict(agreed)}, indent=1))
