# SPDX-License-Identifier: Apache-2.0
"""Gemini 1.5's needles in sound and in film (5.2.1.3, 5.2.1.4), with a random word each time.

Said in held-out speech, or written on one frame of a film. As with text (evals/needle.py) a
haystack is read once for all trials of a length, and results are kept cell by cell.
"""

import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

import pollux
from pollux.data import sheets
from pollux.data.facts import ADJECTIVES, NOUNS
from pollux.data.material import Material
from pollux.engine.answer import Answer, Respondent
from pollux.engine.model import Loaded
from pollux.errors import InputError
from pollux.evals import media_haystack as grid
from pollux.evals import media_sources as sources
from pollux.evals.media_haystack import Haystack, Planted, Source
from pollux.evals.needle import ASK_SHARE, ASK_TOKENS, DEPTHS, Report, clock, drawn
from pollux.evals.needle_report import hours
from pollux.evals.needle_results import Cell, Results, replace
from pollux.media.limits import LIMITS
from pollux.media.part import Kind
from pollux.media.piece import clock as time_of

FAMILIES = ("needle", "control")
LENGTHS = ("0.05", "0.25", "1")  # hours
LEAST = 60  # seconds
TOKENS = {"audio": 25.0, "video": 69.0}  # a second, about
NEAR = 1.0  # seconds that a place may be off
ANSWER = pollux.Sampling(max_tokens=48)
PICTURES = 2  # of a cell's trials, the first right one and the first wrong one
PHRASE = "the {adjective} {noun}"
WHAT = "What is {fact}?"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What is to be run; `lengths` in seconds. `audit` as for text."""

    kind: Kind
    lengths: tuple[int, ...]
    families: tuple[str, ...] = FAMILIES
    trials: int = 10  # of a needle cell; the control has as many as a column of those
    audit: float | int = 0.05
    seed: int = 0

    def __post_init__(self):
        for seconds in self.lengths:
            if not LEAST <= seconds <= LIMITS.max_seconds:
                most = LIMITS.max_seconds // 3600
                raise InputError(f"a length of {hours(seconds)} cannot be: give 1 min to {most} h")
        if self.trials < 1:
            raise InputError(f"--trials must be 1 or more, not {self.trials}")
        if not 0 <= self.audit <= 1:
            raise InputError(f"--audit must be a share from 0 to 1, not {self.audit}")
        if self.seed < 0:
            raise InputError(f"--seed must be 0 or more, not {self.seed}")

    def cells(self, seconds: int) -> list[Cell]:
        depths = [n / (DEPTHS - 1) for n in range(DEPTHS)]
        found = []
        for family in self.families:
            found += [
                Cell(family=family, length=seconds, depth=depth)
                for depth in (depths if family == "needle" else [None])
            ]
        return found

    def questions(self, family: str) -> int:
        return self.trials if family == "needle" else self.trials * DEPTHS

    def audited(self, cell: Cell) -> bool:
        """As many depths of each length as the share asks for, drawn; one at least."""
        if cell.depth is None:
            return False
        order = np.random.default_rng([self.seed, cell.length]).permutation(DEPTHS)
        return drawn(cell)[1] in order[: math.ceil(self.audit * DEPTHS)]

    def tokens(self, seconds: int) -> int:
        return int(seconds * TOKENS[self.kind])

    def work(self, cell: Cell) -> float:
        """In tokens read, about."""
        tokens = self.tokens(cell.length)
        return self.questions(cell.family) * (ASK_TOKENS + ASK_SHARE * tokens) + (
            self.audited(cell) * tokens
        )


@dataclass(frozen=True, kw_only=True)
class Needles:
    """What needles are made of: words, voices to say them, and what is drawn with."""

    kind: Kind
    words: Sequence[str]
    voices: Sequence[str]
    material: Material
    say: Callable[[str, str, np.random.Generator], np.ndarray] = sources.voices.say

    def plant(
        self, haystack: Haystack, rng: np.random.Generator, depth: float, turn: int
    ) -> tuple[Planted, str, str]:
        """The needle in its place, its word, and whose voice or which font it has."""
        word = str(rng.choice(self.words))
        if self.kind == "video":
            first, _ = grid.place(haystack, depth, 1, turn)
            frame, font = sources.overlaid(self.material, rng, haystack.shown(first), word)
            planted = _planted(haystack, {first: frame}, float(first), first + 1.0)
            return planted, word, font
        voice = str(rng.choice(self.voices))
        samples, begins, ends = sources.spoken(rng, word, voice, self.say)
        size = len(sources.mel_seconds(samples))
        first, last = grid.place(haystack, depth, size, turn)
        seconds = sources.mel_seconds(samples, last - first)
        exchanged = dict(zip(range(first, last), seconds, strict=True))
        return _planted(haystack, exchanged, first + begins, first + ends), word, voice


def _planted(haystack: Haystack, seconds: dict, begins: float, ends: float) -> Planted:
    return Planted(seconds=seconds, begins=begins, ends=ends, depth=begins / len(haystack))


def needles(model: Loaded, kind: Kind) -> Needles:
    """InputError or RecipeError where what they are made of is missing."""
    given = sources.material(model.tokenizer)
    return Needles(
        kind=kind,
        words=sources.to_say(given.kit.vocabulary),
        voices=sources.speakers() if kind == "audio" else (),
        material=given,
    )


def judged(word: str, planted: Planted, answer: Answer) -> tuple[bool, bool]:
    """Whether the word is in the answer, and whether its first source is within NEAR of it."""
    said = answer.text.lower().replace('"', " ").replace(".", " ").split()
    place = answer.sources[0].place if answer.sources else None
    at = None if place is None or place.milliseconds is None else place.milliseconds / 1000
    placed = at is not None and planted.begins - NEAR <= at <= planted.ends + NEAR
    return word in said and answer.kind != "absent", placed


def trial(question: str, answer: Answer) -> dict:
    return {
        "question": question,
        "expected": [],
        "text": answer.text,
        "kind": answer.kind,
        "right": answer.kind == "absent",
        "found": 0,
        "depth": None,
        "place": str(answer.sources[0].place) if answer.sources else None,
        "probability": round(answer.probability, 6),
        "seconds": round(answer.seconds, 4),
    }


def run_cell(
    run: Grid, given: Needles, haystack: Haystack, cell: Cell, directory: Path, report: Report
) -> list[dict]:
    """The trials of a cell; pictures of some of them go into `directory`."""
    rng = np.random.default_rng([run.seed, cell.length, 3, *drawn(cell)])
    trials: list[dict] = []
    for turn in range(run.questions(cell.family)):
        if cell.family == "control":
            question = WHAT.format(fact=_unstated(haystack.source, rng))
            trials.append(trial(question, haystack.respondent.ask(question, ANSWER)))
        else:
            made = _needle(run, given, haystack, cell, rng, turn, report)
            if sum(one["right"] == made["right"] for one in trials) < PICTURES // 2:
                made["picture"] = _keep(directory, cell, turn, made["planted"])
            del made["planted"]
            trials.append(made)
        report(told(cell), ASK_TOKENS + ASK_SHARE * len(haystack.tokens))
    return trials


def _needle(
    run: Grid,
    given: Needles,
    haystack: Haystack,
    cell: Cell,
    rng: np.random.Generator,
    turn: int,
    report: Report,
) -> dict:
    planted, word, by = given.plant(haystack, rng, float(cell.depth or 0), turn)
    question, began = WHAT.format(fact=sources.FACT[run.kind]), time.monotonic()
    with grid.overwritten(haystack, planted) as respondent:
        planting = round(time.monotonic() - began, 4)
        answer = respondent.ask(question, ANSWER)
        right, placed = judged(word, planted, answer)
        made = trial(question, answer) | {
            "expected": [word],
            "right": right,
            "found": int(right),
            "placed": placed,
            "depth": round(planted.depth, 6),
            "at": round(planted.begins, 2),
            "time": time_of(planted.begins),
            "by": by,
            "planting_seconds": planting,
            "planted": planted,
        }
        if run.audited(cell) and turn == 0:
            made["audit"] = read_in_full(haystack, planted, question, answer, report)
    return made


def read_in_full(
    haystack: Haystack, planted: Planted, question: str, answer: Answer, report: Report
) -> dict:
    """The same question to all of it with the needle in it, read from its beginning."""
    told_reading = clock(report, f"{hours(len(haystack))}, read in full")
    reading = grid.read_anew(haystack, planted, told_reading)
    again = Respondent(haystack.model, reading).ask(question, ANSWER)
    same = again.text == answer.text and again.kind == answer.kind
    return {"text": again.text, "kind": again.kind, "agrees": same}


def _unstated(source: Source, rng: np.random.Generator) -> str:
    """A fact that the haystack does not state."""
    while True:
        adjective, noun = str(rng.choice(ADJECTIVES)), str(rng.choice(NOUNS))
        fact = PHRASE.format(adjective=adjective, noun=noun)
        if fact not in source.said:
            return fact


def _keep(directory: Path, cell: Cell, turn: int, planted: Planted) -> str:
    """The frame, or the spectrogram of what was exchanged, as a JPEG; its name."""
    shown = [planted.seconds[at] for at in sorted(planted.seconds)]
    if shown[0].ndim == 3:
        image = Image.fromarray(shown[0]).resize((320, 192), Image.Resampling.NEAREST)
    else:
        image = sheets.spectrogram(np.concatenate(shown)).convert("L")
        image = image.resize((image.width // 2, image.height))
    name = f"{cell.length}-{round(100 * (cell.depth or 0))}-{turn}.jpg"
    file = io.BytesIO()
    image.save(file, "JPEG", quality=70)
    (directory / "pictures").mkdir(exist_ok=True)
    replace(directory / "pictures" / name, file.getvalue())
    return f"pictures/{name}"


def told(cell: Cell) -> str:
    depth = "" if cell.depth is None else f", depth {cell.depth:.0%}"
    return f"{hours(cell.length)}, {cell.family}{depth}"


def waiting(run: Grid, results: Results) -> list[Cell]:
    """Cells that have not been run, the shortest first."""
    cells = [cell for seconds in sorted(run.lengths) for cell in run.cells(seconds)]
    return [cell for cell in cells if cell not in results.cells]


def work(run: Grid, cells: Sequence[Cell]) -> float:
    """What `go` will report in all."""
    readings = {cell.length for cell in cells}
    return float(sum(map(run.work, cells)) + sum(map(run.tokens, readings)))


def go(
    model: Loaded, run: Grid, source: Source, given: Needles, results: Results, report: Report
) -> None:
    """Runs what is waiting. A finished cell is on disk; so is a report, of a stopped run too."""
    left = waiting(run, results)
    try:
        for seconds in sorted({cell.length for cell in left}):
            began = time.monotonic()
            rng = np.random.default_rng([run.seed, seconds, 1])
            told_reading = clock(report, f"{hours(seconds)}, reading")
            haystack = grid.read(model, source, seconds, rng, told_reading)
            about = haystack.about | {"read_seconds": round(time.monotonic() - began, 2)}
            for cell in (cell for cell in left if cell.length == seconds):
                try:
                    trials = run_cell(run, given, haystack, cell, results.directory, report)
                    results.add(cell, trials, about)
                except InputError as error:
                    results.add(cell, [], about, skipped=str(error))
            results.write()
            del haystack  # else there are two
    finally:
        results.write()


def settings(model: Loaded, source: Source, run: Grid) -> dict:
    """What must be the same for cells to be put in one grid."""
    return {
        "modality": run.kind,
        "weights": model.fingerprint,
        "tokenizer": model.tokenizer.fingerprint,
        "haystack": list(source.names),
        "haystack_seconds": source.seconds,
        "haystack_sha256": source.sha256,
        "needle": sources.NEEDLE[run.kind],
        "question": WHAT.format(fact=sources.FACT[run.kind]),
        "trials": run.trials,
        "audit": run.audit,
        "seed": run.seed,
    }


def lengths_of(lengths: Sequence[str]) -> tuple[int, ...]:
    """Seconds of lengths in hours; InputError for what is no number."""
    return tuple(sorted({*_seconds(lengths)}))


def _seconds(lengths: Sequence[str]) -> Iterator[int]:
    for text in lengths:
        try:
            yield round(3600 * float(text.removesuffix("h")))
        except (ValueError, OverflowError):
            raise InputError(f"--length {text[:40]} is no number of hours, as in 0.25") from None
