# SPDX-License-Identifier: Apache-2.0
"""Learning a language from the context: made-up ones, and Kalamang.

Made-up languages are held out from training: other words, other sounds, other orders. Each is
taught by rules, word lists and so many examples; then new sentences are translated into it, and
sentences of it word for word into English. A translation is right when every letter is.

Kalamang is translated word for word, both ways, and scored by chrF (Popović 2015), by sacreBLEU.
docs/translate.md has the protocol.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import pollux
from pollux.data import languages, translations
from pollux.data.languages import Language, Sentence
from pollux.errors import InputError
from pollux.evals import kalamang
from pollux.evals.score import Score, wilson
from pollux.media.part import Part

LANGUAGES = ("made-up", "kalamang")
SHOTS = (0, 5, 20, 50)
MOST_SHOTS = 1_000
TASKS = ("translate", "word for word")
STEMS = 40  # of a made-up language; some 80 words
PER_LANGUAGE = 5  # sentences
LONG_ENOUGH = pollux.Sampling(max_tokens=320)
DIRECTIONS = ("to kalamang", "to english")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A question about a made-up language. `shown`: an example has the sentence's pattern."""

    task: str
    shots: int
    language: str
    question: str
    expected: str
    shown: bool
    text: str
    kind: str
    probability: float

    @property
    def right(self) -> bool:
        return self.kind != "absent" and last_line(self.text) == self.expected

    @property
    def read_off(self) -> bool:
        """Whether the lines above the sentence say the same: its words, looked up in order."""
        return self.kind != "absent" and looked_up(self.text) == self.expected


@dataclass(frozen=True, kw_only=True)
class Translated:
    """A system's translations of Kalamang's sentences, one direction and context."""

    system: str
    direction: str
    context: str
    source: tuple[str, ...]
    reference: tuple[str, ...]
    text: tuple[str, ...]
    chrf: float
    interval: float  # 95%, plus or minus


def last_line(text: str) -> str:
    return text.rstrip().rsplit("\n", 1)[-1].strip()


def looked_up(text: str) -> str:
    """What stands behind "=" in an answer's lines, the pattern's left out."""
    lines = text.strip().split("\n")
    if lines[0].startswith("A "):
        lines = lines[2:]
    return " ".join(line.split(" = ", 1)[1] for line in lines if re.match("- .+ = ", line))


def made_up(model: pollux.Model, shots: Sequence[int], trials: int, seed: int) -> Iterator[Trial]:
    """Each language with each number of examples, the fewer among the more."""
    for number in range(-(-trials // PER_LANGUAGE)):
        rng = np.random.default_rng([seed, number, *map(ord, "kept for evaluation")])
        taught = languages.language(rng, STEMS, evaluation=True)
        count = min(PER_LANGUAGE, trials - number * PER_LANGUAGE)
        tests = [languages.sentence(rng, taught) for _ in range(count)]
        asked = {one.english for one in tests}
        drawn = (languages.sentence(rng, taught) for _ in range(4 * max(shots) + 4))
        examples = [one for one in drawn if one.english not in asked][: max(shots)]
        for shot in shots:
            yield from _asked(model, taught, examples[:shot], tests)


def _asked(
    model: pollux.Model, taught: Language, examples: list[Sentence], tests: list[Sentence]
) -> Iterator[Trial]:
    lesson = languages.teach(model.loaded.tokenizer, taught, examples)
    part = Part(name=f"{taught.name.lower()}.txt", kind="text", text=lesson.text)
    reading = model.read(part)
    meaning = {word: english for english, word in taught.words.items()}
    for one in tests:
        said = taught.translated(one)
        back = " ".join(meaning.get(word, word) for word in said.split(" "))
        wordings = translations.TRANSLATE_QUESTIONS[0], translations.GLOSS_QUESTIONS[0]
        questions = (
            (wordings[0].format(l=taught.name, t=one.english), said, one.shape in lesson.patterns),
            (wordings[1].format(l="English", t=said), back, True),
        )
        for task, (question, expected, shown) in zip(TASKS, questions, strict=True):
            answer = model.ask(reading, question, LONG_ENOUGH)
            yield Trial(
                task=task,
                shots=len(examples),
                language=taught.name,
                question=question,
                expected=expected,
                shown=shown,
                text=answer.text,
                kind=answer.kind,
                probability=answer.probability,
            )


def check(chosen: Sequence[str], shots: Sequence[int], trials: int, seed: int) -> None:
    """InputError before anything is loaded."""
    if trials < 1 or seed < 0 or not shots or min(shots) < 0:
        raise InputError("--trials must be 1 or more, --shots and --seed 0 or more")
    if max(shots) > MOST_SHOTS:
        raise InputError(f"--shots {max(shots)} is more than {MOST_SHOTS}")
    if "kalamang" in chosen and not find_spec("sacrebleu"):
        raise InputError("chrF needs sacreBLEU: pip install sacrebleu, or leave out kalamang")


def of_kalamang(model: pollux.Model, trials: int, seed: int) -> Iterator[Translated | None]:
    """None for every sentence done, and the results of each direction and context."""
    given = kalamang.load(trials, kalamang.SENTENCES, seed)
    for direction in DIRECTIONS:
        forth = direction == "to kalamang"
        source = [one.english if forth else one.kalamang for one in given.tests]
        reference = [one.kalamang if forth else one.english for one in given.tests]
        known = given.to_kalamang if forth else given.to_english
        program = [kalamang.looked_up(known, text) for text in source]
        yield _scored("source copied", direction, "none", source, reference, source)
        yield _scored("looked up by program", direction, "words", source, reference, program)
        for context in kalamang.CONTEXTS:
            reading = model.read(*kalamang.parts(given, context))
            texts: list[str] = []
            for text in source:
                name = kalamang.NAME if forth else "English"
                wording = translations.GLOSS_QUESTIONS[0]
                question = wording.format(l=name, t=kalamang.plain(text))
                texts.append(last_line(model.ask(reading, question, LONG_ENOUGH).text))
                yield None
            yield _scored("pollux", direction, context, source, reference, texts)


def _scored(
    system: str,
    direction: str,
    context: str,
    source: list[str],
    reference: list[str],
    text: list[str],
) -> Translated:
    score, interval = chrf(text, reference)
    return Translated(
        system=system,
        direction=direction,
        context=context,
        source=tuple(source),
        reference=tuple(reference),
        text=tuple(text),
        chrf=score,
        interval=interval,
    )


def chrf(text: Sequence[str], reference: Sequence[str]) -> tuple[float, float]:
    """chrF of all sentences together, 0 to 100.

    And half of its 95% interval, from how much the scores of single sentences differ.
    """
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    each = [metric.sentence_score(t, [r]).score for t, r in zip(text, reference, strict=True)]
    spread = 1.96 * np.std(each, ddof=1) / len(each) ** 0.5 if len(each) > 1 else 100.0
    return float(metric.corpus_score([*text], [[*reference]]).score), float(spread)


def cells(trials: Sequence[Trial]) -> list[dict]:
    """Each task with each number of examples."""
    out = []
    for task in TASKS:
        for shots in sorted({one.shots for one in trials}):
            here = [one for one in trials if (one.task, one.shots) == (task, shots)]
            shown = [one for one in here if one.shown]
            hidden = [one for one in here if not one.shown]
            scores = {
                "exact": Score(sum(one.right for one in here), len(here)),
                "shown": Score(sum(one.right for one in shown), len(shown)),
                "read off": Score(sum(one.read_off for one in shown), len(shown)),
                "refused": Score(sum(one.kind == "absent" for one in hidden), len(hidden)),
            }
            out.append({"task": task, "shots": shots, **scores})
    return out


def as_dict(trials: Sequence[Trial], results: Sequence[Translated], about: dict) -> dict:
    rows = []
    for cell in cells(trials):
        scores = {
            name: {**asdict(s), "wilson": wilson(s.right, s.trials)}
            for name, s in cell.items()
            if isinstance(s, Score)
        }
        rows.append({**cell, **scores})
    return {
        **about,
        "made-up": rows,
        "kalamang": [asdict(one) for one in results],
        "trials": [{**asdict(t), "right": t.right, "read_off": t.read_off} for t in trials],
    }


def save(made: dict, path: Path) -> None:
    """JSON with every trial, written beside and renamed."""
    beside = path.with_suffix(".partial")
    beside.write_text(json.dumps(made, ensure_ascii=False, indent=1))
    beside.replace(path)


def made_up_table(trials: Sequence[Trial]) -> list[list[str]]:
    """A header and rows: what is measured by number of examples."""
    found = cells(trials)
    shots = sorted({cell["shots"] for cell in found})
    rows = [["made-up languages", *(f"{n} examples" for n in shots)]]
    measures = (
        ("translate", "exact", "into the language, exact"),
        ("translate", "shown", "of those whose pattern an example shows"),
        ("translate", "read off", "the same, read off the lines above"),
        ("translate", "refused", "refused, of those whose pattern none shows"),
        ("word for word", "exact", "word for word into English, exact"),
    )
    for task, measure, told in measures:
        scores = [cell[measure] for cell in found if cell["task"] == task]
        rows.append([told, *(f"{s} of {s.trials}" if s.trials else "–" for s in scores)])
    return rows


def kalamang_table(results: Sequence[Translated]) -> list[list[str]]:
    rows = [["Kalamang, chrF", *kalamang.CONTEXTS]]
    for system, direction in dict.fromkeys((one.system, one.direction) for one in results):
        scores = {
            one.context: f"{one.chrf:.1f} ± {one.interval:.1f}"
            for one in results
            if (one.system, one.direction) == (system, direction)
        }
        rows.append([f"{direction}, {system}", *(scores.get(c, "") for c in kalamang.CONTEXTS)])
    return rows


def tables(trials: Sequence[Trial], results: Sequence[Translated]) -> dict[str, list[list[str]]]:
    """Of what was measured."""
    made = {"made-up": made_up_table(trials)} if trials else {}
    return made | ({"kalamang": kalamang_table(results)} if results else {})


def fill(path: Path, name: str, rows: list[list[str]]) -> None:
    """Puts a table in a Markdown file between `<!-- name -->` and `<!-- end -->`. InputError."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path} ({error}); name a copy of translate.md") from None
    begin = text.find(f"<!-- {name} -->\n")
    end = text.find("<!-- end -->", begin)
    if begin < 0 or end < 0:
        raise InputError(f"{path} has no lines <!-- {name} --> and <!-- end --> to fill")
    header, *rest = rows
    lines = [header, ["---"] * len(header), *rest]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    beside = path.with_suffix(".partial")
    beside.write_text(text[:begin] + f"<!-- {name} -->\n" + table + text[end:], "utf-8")
    beside.replace(path)
