# SPDX-License-Identifier: Apache-2.0
"""Needles in haystacks of any length, after Gemini 1.5 (5.2.1.2), and families like RULER's.

A haystack is read once for many trials. A cell is a family at a length, and of the plain needle at
a depth; every trial plants names and numbers of its own, asks, and takes them out again
(evals/grid.py). Names are words kept from training. Results are kept cell by cell, as they come.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

import pollux
from pollux.config import Config
from pollux.data.facts import Vocabulary, words
from pollux.engine import reader, scan
from pollux.engine.answer import Answer, Respondent
from pollux.engine.model import Loaded
from pollux.errors import InputError, SpaceError
from pollux.evals import grid, ruler
from pollux.evals.grid import Haystack, Planted, Source
from pollux.evals.needle_report import label
from pollux.evals.needle_results import ALL, FAMILIES, Cell, Results
from pollux.evals.planting import Planting, Question, spread
from pollux.evals.text import GEMINI_QUESTION, _cities
from pollux.examples import war_and_peace
from pollux.plan.cost import Steps
from pollux.plan.machine import size
from pollux.plan.report import check_fits

NEEDLE = "The special magic {city} number is: {number}"
SEVERAL = "What is {phrases}?"  # the wording that spark knows for several facts
PHRASE = "the special magic {city} number"
LENGTHS = ("1k", "8k", "32k", "128k", "512k", "1M")
LEAST = 1_000  # tokens
DEPTHS = 11
KEYS = 10  # of multi-key: each shares a word of its name with five others
QUERIES = 4  # of multi-query, as in RULER
ANEW = 100_000  # tokens: up to here every cell has a haystack of its own, cut elsewhere
TRIES = 5  # draws of places for needles that do not fit, in a cell
ROOM = 200  # tokens of the haystack that a family needs for each needle
ANSWER = pollux.Sampling(max_tokens=160)  # enough for four numbers
AT_ONCE = 10  # questions of a control that are made together
ASK_TOKENS, ASK_SHARE = 4_500, 0.01  # a question, in tokens read: about, for the clock

Report = Callable[[str, float | int], None]  # what is done, and the tokens' worth just finished


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What is to be run. `audit`: the share of needle cells of which one trial is read in full."""

    lengths: tuple[int, ...]
    families: tuple[str, ...] = FAMILIES
    trials: int = 10  # of a needle cell; other families have as many as a column of those
    needles: int = 100
    audit: float | int = 0.05
    seed: int = 0

    def __post_init__(self):
        for tokens in self.lengths:
            if tokens < LEAST:
                raise InputError(f"a length of {tokens} tokens is too short: give {LEAST} or more")
        for name in ("trials", "needles"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} must be 1 or more, not {getattr(self, name)}")
        if not 0 <= self.audit <= 1:
            raise InputError(f"--audit must be a share from 0 to 1, not {self.audit}")
        if self.seed < 0:
            raise InputError(f"--seed must be 0 or more, not {self.seed}")

    def cells(self, tokens: int) -> list[Cell]:
        """Of one length; none of a family that has no room in it."""
        found = []
        for family in self.families:
            if ROOM * self.planted(family) > tokens:
                continue
            depths = [n / (DEPTHS - 1) for n in range(DEPTHS)] if family == "needle" else [None]
            found += [Cell(family=family, length=tokens, depth=depth) for depth in depths]
        return found

    def planted(self, family: str) -> int:
        """Needles that are in the haystack at the same time."""
        counts = {"control": 0, "needles": self.needles, "multi-key": KEYS, "multi-query": QUERIES}
        if family in ruler.TASKS:
            return ruler.TASKS[family].planted
        return counts.get(family, 1)

    def questions(self, family: str) -> int:
        """Of a cell."""
        if family in ruler.RULER:
            return 1 if ruler.RULER[family].once else self.trials
        counts = {"needle": self.trials, "needles": self.needles}
        return counts.get(family, self.trials * DEPTHS)

    def audited(self, cell: Cell) -> bool:
        """As many depths of each length as the share asks for, drawn; one at least."""
        if cell.depth is None:
            return False
        order = np.random.default_rng([self.seed, cell.length]).permutation(DEPTHS)
        return drawn(cell)[1] in order[: math.ceil(self.audit * DEPTHS)]

    def work(self, cell: Cell) -> float:
        """In tokens read, about."""
        one = ASK_TOKENS + ASK_SHARE * cell.length
        return self.questions(cell.family) * one + self.audited(cell) * cell.length


def vocabulary(model: Loaded) -> Vocabulary:
    """Words of War and Peace that training never uses in facts."""
    return Vocabulary(model.tokenizer, words(war_and_peace().text), [], evaluation=True)


def stated(cities: Sequence[str], rng: np.random.Generator) -> tuple[list[str], list[Question]]:
    """A needle for each city, with a random number, and Gemini's question about it."""
    lines, questions = [], []
    for i, city in enumerate(cities):
        number = str(rng.integers(10**6, 10**7))
        lines.append(NEEDLE.format(city=city, number=number))
        text = GEMINI_QUESTION.format(city=city)
        questions.append(Question(text=text, expected=(number,), needle=i))
    return lines, questions


def strewn(cities: Sequence[str], rng: np.random.Generator) -> Planting:
    """A needle for each city, evenly spread but for some chance, each to be asked for."""
    return spread(*stated(cities, rng), rng)


def plantings(
    run: Grid,
    known: Vocabulary,
    cell: Cell,
    rng: np.random.Generator,
    lines: Sequence[str] = (),
) -> Iterator[Planting]:
    """What is planted and asked in a cell, without end; `lines`: of its haystack."""
    for turn in range(run.questions(cell.family)):
        match cell.family:
            case "needle":
                lines, questions = stated(_cities(known, rng, 1), rng)
                needles = [(float(cell.depth or 0), lines[0])]
                yield Planting(needles=needles, questions=questions, turn=turn)
            case "control":
                texts = [GEMINI_QUESTION.format(city=c) for c in _cities(known, rng, AT_ONCE)]
                yield Planting(needles=[], questions=[Question(text=t, expected=()) for t in texts])
            case "needles":
                yield strewn(_cities(known, rng, run.needles), rng)
            case "multi-key":
                yield strewn(near_identical(known, rng), rng)
            case "multi-query":
                yield together(_cities(known, rng, QUERIES), rng)
            case task:
                yield ruler.TASKS[task].make(known, rng, lines)


def near_identical(known: Vocabulary, rng: np.random.Generator) -> list[str]:
    """KEYS names of two words: two first words, each with the same KEYS / 2 second ones."""
    names = rng.permutation(known.names).tolist()
    pairs = [f"{first} {second}" for first in names[:2] for second in names[2 : 2 + KEYS // 2]]
    return rng.permutation(pairs).tolist()


def together(cities: Sequence[str], rng: np.random.Generator) -> Planting:
    """All asked for in one question."""
    planting = strewn(cities, rng)
    phrases = " and ".join(PHRASE.format(city=city) for city in cities)
    expected = tuple(one.expected[0] for one in planting.questions)
    question = Question(text=SEVERAL.format(phrases=phrases), expected=expected)
    return Planting(needles=planting.needles, questions=[question])


def judged(question: Question, answer: Answer) -> tuple[int, bool]:
    """How many of those expected stand in the answer, as Gemini and RULER count; if it is right."""
    text = answer.text.lower()
    found = sum(one.lower() in text for one in question.expected)
    right = found == len(question.expected) if question.expected else answer.kind == "absent"
    return found, right


def trial(question: Question, answer: Answer, planted: Sequence[Planted]) -> dict:
    found, right = judged(question, answer)
    one = None if question.needle is None else planted[question.needle]
    return {
        "question": question.text,
        "expected": list(question.expected),
        "text": answer.text,
        "kind": answer.kind,
        "right": right,
        "found": found,
        "depth": one and round(one.depth, 6),
        "line": one and one.line,  # the needle's
        "place": str(answer.sources[0].place) if answer.sources else None,  # what was looked at
        "probability": round(answer.probability, 6),
        "seconds": round(answer.seconds, 4),
    }


def drawn(cell: Cell) -> tuple[int, int]:
    """What is drawn for a cell depends on it, not on which others were run before."""
    depth = 0 if cell.depth is None else round(cell.depth * (DEPTHS - 1))
    return ALL.index(cell.family), depth


def run_cell(
    run: Grid, known: Vocabulary, haystack: Haystack, cell: Cell, report: Report
) -> list[dict]:
    """The trials of a cell; InputError when the haystack has no room for its needles."""
    rng = np.random.default_rng([run.seed, cell.length, 2, *drawn(cell)])
    trials: list[dict] = []
    wanted, tries = run.questions(cell.family), TRIES
    for planting in plantings(run, known, cell, rng, haystack.lines):
        if len(trials) >= wanted:
            break
        try:
            planted = place(haystack, planting)
        except InputError:
            tries -= 1  # another draw may fit
            if not tries:
                raise
            continue
        began = time.monotonic()
        with grid.overwritten(haystack, planted):
            seconds = {"planting_seconds": round(time.monotonic() - began, 4)}
            for question in planting.questions[: wanted - len(trials)]:
                answer = haystack.respondent.ask(question.text, ANSWER)
                made = trial(question, answer, planted) | seconds
                if run.audited(cell) and not trials:
                    made["audit"] = read_in_full(haystack, planted, question, answer, report)
                trials.append(made)
                report(cell.told, ASK_TOKENS + ASK_SHARE * cell.length)
    return trials


def place(haystack: Haystack, planting: Planting) -> list[Planted]:
    """Where the needles go. One alone may be put beside the nearest place, by its turn."""
    if len(planting.needles) == 1:
        depth, line = planting.needles[0]
        return [grid.plant(haystack, depth, line, planting.turn)]
    return grid.plant_all(haystack, planting.needles)


def read_in_full(
    haystack: Haystack,
    planted: Sequence[Planted],
    question: Question,
    answer: Answer,
    report: Report,
) -> dict:
    """The same question to the text with the needles in it, read from its beginning."""
    report_reading = clock(report, f"{label(len(haystack.tokens))}, read in full")
    reading = grid.read_anew(haystack, planted, report_reading)
    same_tokens = np.array_equal(reading.tokens, haystack.reading.tokens)
    again = Respondent(haystack.model, reading).ask(question.text, ANSWER)
    return {
        "text": again.text,
        "kind": again.kind,
        "agrees": bool(same_tokens and again.text == answer.text and again.kind == answer.kind),
    }


def clock(report: Report, told: str) -> reader.Report:
    """What `reader.read` reports to."""
    before = 0

    def advance(progress: reader.Progress) -> None:
        nonlocal before
        report(told, progress.tokens - before)
        before = progress.tokens

    return advance


def check_room(config: Config, run: Grid) -> None:
    """SpaceError when the longest haystack, or a second one to audit it, does not fit the RAM."""
    longest = max(run.lengths)
    made = check_fits(config, longest, Steps(chunk=reader.CHUNK, at_once=scan.AT_ONCE))
    both = made.peak + made.reading
    if run.audit and both > made.machine.memory:
        raise SpaceError(
            f"auditing {label(longest)} needs a second reading beside, {size(both)} of RAM in all, "
            f"and {size(made.machine.memory)} are free: leave that length out or give --audit 0"
        )


def waiting(run: Grid, results: Results) -> list[Cell]:
    """Cells that have not been run, the shortest first."""
    cells = [cell for tokens in sorted(run.lengths) for cell in run.cells(tokens)]
    return [cell for cell in cells if cell not in results.cells]


def work(run: Grid, cells: Sequence[Cell]) -> float:
    """What `go` will report in all."""
    readings = [cell.length for cell in cells if cell.length <= ANEW]
    long = {(cell.length, text_of(cell)) for cell in cells if cell.length > ANEW}
    readings += [length for length, _ in long]
    return float(sum(run.work(cell) for cell in cells) + sum(readings))


def text_of(cell: Cell) -> str:
    """Which text its haystack is cut from: "source" or one of ruler.TEXTS."""
    return ruler.TASKS[cell.family].text if cell.family in ruler.TASKS else "source"


def go(model: Loaded, run: Grid, source: Source, results: Results, report: Report) -> None:
    """Runs what is waiting. A finished cell is on disk; so is a report, of a stopped run too."""
    known, left = vocabulary(model), waiting(run, results)
    try:
        for tokens in sorted({cell.length for cell in left}):
            here = [cell for cell in left if cell.length == tokens]
            _go(model, run, source, results, known, here, report)
            results.write()
    finally:
        results.write()


def _go(
    model: Loaded,
    run: Grid,
    source: Source,
    results: Results,
    known: Vocabulary,
    cells: Sequence[Cell],
    report: Report,
) -> None:
    """Cells of one length."""
    tokens = cells[0].length
    haystack, about, text = None, {}, ""
    for cell in sorted(cells, key=text_of):
        if haystack is None or tokens <= ANEW or text_of(cell) != text:
            text = text_of(cell)
            began = time.monotonic()
            rng = np.random.default_rng([run.seed, tokens, 1, *(drawn(cell) * (tokens <= ANEW))])
            told = clock(report, f"{label(tokens)}, reading")
            haystack = None  # else there are two
            words = ruler.source(text, source, known, rng, tokens)
            haystack = grid.read(model, words, tokens, rng, told)
            about = haystack.about | {"read_seconds": round(time.monotonic() - began, 2)}
        try:
            results.add(cell, run_cell(run, known, haystack, cell, report), about)
        except InputError as error:
            results.add(cell, [], about, skipped=str(error))


def settings(model: Loaded, source: Source, run: Grid) -> dict:
    """What must be the same for cells to be put in one grid."""
    return {
        "weights": model.fingerprint,
        "tokenizer": model.tokenizer.fingerprint,
        "haystack": list(source.names),
        "haystack_sha256": source.sha256,
        "needle": NEEDLE,
        "question": GEMINI_QUESTION,
        "trials": run.trials,
        "needles": run.needles,
        "audit": run.audit,
        "seed": run.seed,
    }
