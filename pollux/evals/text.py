# SPDX-License-Identifier: Apache-2.0
"""Every text skill of spark at several lengths, on held-out documents.

Keys and values are random and fresh. A trial is one question. Several needles lie in one haystack,
so that each is a near-identical distractor of the others; haystacks are cut anew at random places
until there are enough trials.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

import pollux
from pollux.data import facts, skills
from pollux.data.facts import Fact, Vocabulary
from pollux.engine.answer import Answer
from pollux.evals import haystack
from pollux.evals.score import Score, wilson
from pollux.examples import plant
from pollux.media.part import Part

LENGTHS = {"8k": 8_000, "32k": 32_000, "128k": 128_000, "800k+": 1_000_000}
MOST_NEEDLES = {"find": 20}  # in one haystack; each is a near-identical distractor of the others
LONG_ENOUGH = pollux.Sampling(max_tokens=64)  # what is judged stands within it
GEMINI_NEEDLE = "The special magic {city} number is: {number}."
GEMINI_QUESTION = (
    "What is the special magic {city} number? Don't give information outside the document or "
    "repeat your findings\n\nHere is the magic number from the context:"
)


@dataclass(frozen=True)
class Trial:
    """A question and how to judge the answer."""

    question: str
    right: Callable[[Answer], bool]


@dataclass
class Cell:
    """Results of one skill at one length."""

    skill: str
    length: str
    tokens: int = 0
    trials: list[dict] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def score(self) -> Score:
        return Score(sum(t["right"] for t in self.trials), len(self.trials))


Case = tuple[list[Part], list[Trial]]
Skill = Callable[["Bench", int, np.random.Generator, int], Case]


@dataclass(frozen=True)
class Bench:
    """What cases are made from."""

    model: pollux.Model
    words: Vocabulary
    code: list[Part]


def planted(text: str, lines: list[str], rng: np.random.Generator) -> str:
    """`text` with the lines at random depths."""
    pieces = np.sort(rng.random(len(lines)))
    for depth, line in zip(pieces[::-1], lines, strict=True):
        text = plant(text, line, float(depth))
    return text


def _book(bench: Bench, tokens: int, rng: np.random.Generator) -> str:
    return haystack.book(bench.model.loaded.tokenizer, tokens, rng)


def _case(bench: Bench, tokens, rng, lines: list[str], trials: list[Trial]) -> Case:
    text = planted(_book(bench, tokens, rng), lines, rng)
    return [Part(name="war-and-peace.txt", kind="text", text=text)], trials


def _contains(value: str) -> Callable[[Answer], bool]:
    return lambda answer: answer.kind != "absent" and value in answer.text


def _says(value: str, others: Iterable[str]) -> Callable[[Answer], bool]:
    """The value, and none of the others that are stated of something else."""
    wrong = {*others} - {value}

    def right(answer: Answer) -> bool:
        said = {*re.findall(r"\d+", answer.text)}
        return answer.kind != "absent" and value in answer.text and not wrong & said

    return right


def _cities(words: Vocabulary, rng: np.random.Generator, count: int) -> list[str]:
    """Names never used in training, all different."""
    chosen = rng.permutation(words.names)[:count].tolist()
    while len(chosen) < count:
        pair = f"{words.pick(rng, words.names)} {words.pick(rng, words.names)}"
        chosen += [pair] if pair not in chosen else []
    return chosen


def find(bench: Bench, tokens: int, rng: np.random.Generator, count: int) -> Case:
    """Gemini's needle, word for word."""
    cities = _cities(bench.words, rng, count)
    numbers = [bench.words.digits(rng, 7) for _ in cities]
    lines = [GEMINI_NEEDLE.format(city=c, number=n) for c, n in zip(cities, numbers, strict=True)]
    trials = [
        Trial(GEMINI_QUESTION.format(city=c), _contains(n))
        for c, n in zip(cities, numbers, strict=True)
    ]
    return _case(bench, tokens, rng, lines, trials)


def _facts(
    bench: Bench, rng: np.random.Generator, count: int, like: Fact | None = None
) -> list[Fact]:
    """Facts with held-out words and different phrases; with `like`, near-identical to it."""
    found: dict[str, Fact] = {}
    while len(found) < count:
        fact = bench.words.near(rng, like) if like else bench.words.fact(rng)
        value = bench.words.digits(rng, int(rng.integers(4, 9)))
        if fact.owner in fact.phrase and (like is None or fact.phrase != like.phrase):
            found[fact.phrase] = facts.replace(fact, value=value)
    return list(found.values())


def _question(bench: Bench, rng: np.random.Generator, fact: Fact) -> str:
    return skills.sentence(bench.words.pick(rng, facts.QUESTIONS), fact.phrase)


def distractors(bench: Bench, tokens: int, rng: np.random.Generator, count: int) -> Case:
    """Each fact among ten that differ from it by the owner or the attribute only."""
    lines, trials = [], []
    for fact in _facts(bench, rng, max(1, count // 5)):
        statement = bench.words.pick(rng, facts.STATEMENTS)
        near = _facts(bench, rng, 10, like=fact)
        lines += [f.stated(statement) for f in [fact, *near]]
        right = _says(fact.value, (f.value for f in near))
        trials.append(Trial(_question(bench, rng, fact), right))
    return _case(bench, tokens, rng, lines, trials)


def unseen(bench: Bench, tokens: int, rng: np.random.Generator, count: int) -> Case:
    """Facts stated in wordings that training never saw."""
    chosen = _facts(bench, rng, count)
    lines = [f.stated(bench.words.pick(rng, facts.UNSEEN_STATEMENTS)) for f in chosen]
    values = [f.value for f in chosen]
    trials = [Trial(_question(bench, rng, f), _says(f.value, values)) for f in chosen]
    return _case(bench, tokens, rng, lines, trials)


def absent(bench: Bench, tokens: int, rng: np.random.Generator, count: int) -> Case:
    """Half the questions ask for what is not there, but almost; the other half for what is."""
    chosen = _facts(bench, rng, count)
    statements = [bench.words.pick(rng, facts.STATEMENTS) for _ in chosen]
    lines = [f.stated(s) for f, s in zip(chosen, statements, strict=True)]
    there = {f.phrase for f in chosen}
    trials = []
    for i, fact in enumerate(chosen):
        if i % 2:
            near = next(f for f in _facts(bench, rng, 5, like=fact) if f.phrase not in there)
            trials.append(Trial(_question(bench, rng, near), lambda a: a.kind == "absent"))
        else:
            trials.append(Trial(_question(bench, rng, fact), lambda a: a.kind != "absent"))
    return _case(bench, tokens, rng, lines, trials)


def quote(bench: Bench, tokens: int, rng: np.random.Generator, count: int) -> Case:
    """Twenty tokens after a beginning of 8 to 12 words that occurs once; the line is longer."""
    text = _book(bench, tokens, rng)
    tokenizer = bench.model.loaded.tokenizer
    lines = [line for line in text.split("\n") if len(line.split()) > 60]
    trials: list[Trial] = []
    while len(trials) < count:
        words = bench.words.pick(rng, lines).split(" ")
        start, size = int(rng.integers(0, len(words) - 50)), int(rng.integers(8, 13))
        beginning = " ".join(words[start : start + size])
        if text.count(beginning) != 1 or '"' in beginning:
            continue
        rest = " " + " ".join(words[start + size :])
        expected = tokenizer.decode(tokenizer.encode(rest)[:20])
        question = f'Quote the passage that begins "{beginning}"'
        trials.append(Trial(question, _contains(beginning + expected)))
    return [Part(name="war-and-peace.txt", kind="text", text=text)], trials


def when(bench: Bench, tokens: int, rng: np.random.Generator, count: int) -> Case:
    """The time of an utterance, within 10 s; past the transcript's length the book is read too."""
    lines = haystack.transcript()
    size = int(tokens / 42)  # lines; a line has about 42 tokens
    start = int(rng.integers(0, max(1, len(lines) - size)))
    part = lines[start : start + size]
    text = "\n".join(line.text for line in part)
    trials: list[Trial] = []
    while len(trials) < count:
        line = part[int(rng.integers(len(part)))]
        said = line.text.split(": ", 1)[1].split(" ")
        phrase = " ".join(said[: int(rng.integers(6, 13))]).rstrip(".")
        if len(said) < 6 or text.count(phrase) != 1 or '"' in phrase:
            continue
        trials.append(Trial(f'When was "{phrase}" said?', _within(line.seconds, 10)))
    parts = [Part(name="apollo-11.txt", kind="text", text=text)]
    if (missing := tokens - 380_000) > 0:
        book = _book(bench, missing, rng)
        parts.insert(0, Part(name="war-and-peace.txt", kind="text", text=book))
    return parts, trials


def _within(seconds: int, margin: int) -> Callable[[Answer], bool]:
    def right(answer: Answer) -> bool:
        time_said = answer.places[0].time if answer.places else None
        if not time_said:
            return False
        numbers = [int(n) for n in re.findall(r"-?\d+", time_said)]
        total = sum(n * f for n, f in zip(numbers[::-1], (1, 60, 3600, 86400), strict=False))
        return abs(total - seconds) <= margin

    return right


def define(bench: Bench, tokens: int, rng: np.random.Generator, count: int) -> Case:
    """File and line of a function or class of JAX that is defined once."""
    order = [bench.code[i] for i in rng.permutation(len(bench.code))]
    parts = haystack.first_parts(bench.model.loaded.tokenizer, order, tokens)
    found: list[tuple[str, str, str, int]] = []
    for part in parts:
        for number, line in enumerate(part.text.split("\n"), 1):
            if match := re.match(r"\s*(def|class) (\w{3,})\b", line):
                found.append((match[1], match[2], part.name, number))
    times = Counter(name for _, name, _, _ in found)
    once = [f for f in found if times[f[1]] == 1]
    trials = []
    for i in rng.permutation(len(once))[:count]:
        kind, name, file, line = once[i]
        noun = "function" if kind == "def" else "class"
        trials.append(Trial(f"Where is the {noun} {name} defined?", _at(file, line)))
    return parts, trials


def _at(file: str, line: int) -> Callable[[Answer], bool]:
    return lambda a: bool(a.places) and (a.places[0].part, a.places[0].line) == (file, line)


SKILLS: dict[str, Skill] = {
    "find": find,
    "distractors": distractors,
    "unseen wording": unseen,
    "absent": absent,
    "quote": quote,
    "when": when,
    "define": define,
}


def run(
    bench: Bench, skill: str, length: str, trials: int, seed: int
) -> Iterator[tuple[Cell, dict]]:
    """Trials of one cell as they are judged."""
    cell, rng = Cell(skill, length), np.random.default_rng([seed, *map(ord, skill + length)])
    tokens = LENGTHS[length]
    per_reading = max(5, min(MOST_NEEDLES.get(skill, 100), tokens // 800))
    while len(cell.trials) < trials:
        parts, made = SKILLS[skill](bench, tokens, rng, per_reading)
        reading = bench.model.read(*parts)
        cell.tokens = max(cell.tokens, reading.num_valid)
        for trial in made[: trials - len(cell.trials)]:
            began = time.monotonic()
            answer = bench.model.ask(reading, trial.question, LONG_ENOUGH)
            cell.seconds += time.monotonic() - began
            result = {
                "question": trial.question,
                "text": answer.text,
                "kind": answer.kind,
                "probability": answer.probability,
                "right": bool(trial.right(answer)),
            }
            cell.trials.append(result)
            yield cell, result


def save(cells: list[Cell], model: pollux.Model, path: Path, about: dict) -> None:
    """JSON with every trial behind every cell."""
    rows = [
        {
            **asdict(c),
            "right": c.score.right,
            "share": c.score.share,
            "wilson": wilson(c.score.right, c.score.trials),
        }
        for c in cells
    ]
    out = {"weights": model.loaded.fingerprint, **about, "cells": rows}
    beside = path.with_suffix(".partial")
    beside.write_text(json.dumps(out, ensure_ascii=False, indent=1))
    beside.replace(path)
