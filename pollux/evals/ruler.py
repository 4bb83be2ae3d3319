# SPDX-License-Identifier: Apache-2.0
"""RULER's tasks (Hsieh et al. 2024, 2404.06654) in its own wording, but for question answering.

What RULER puts before the text is left out: a text is read before anything is asked. Names are
words kept from training. Two tasks have a text of needles alone, two count words: their haystacks
are made, the others' are overwritten (evals/grid.py).
"""

import hashlib
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pollux.data.facts import Vocabulary
from pollux.evals.grid import Source
from pollux.evals.planting import Planting, Question, spread

NEEDLE = "One of the special magic {kind} for {key} is: {value}."
ONE = "What is the special magic {kind} for {key} mentioned in the provided text?"
ALL = "What are all the special magic {kind} for {key} mentioned in the provided text?"
ASSIGNED = "VAR {name} = {value}"
VARIABLES = "Find all variables that are assigned the value {value} in the text above."
BACK = "What is the value of VAR {name}?"  # the direction that spark knows
COMMON = "What are the 10 most common words in the above list?"
FREQUENT = (
    "Do not provide any explanation. Please ignore the dots '....'. What are the three most "
    "frequently appeared words in the above coded text?"
)
NOISE = (
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.",
)
KEYS = VALUES = QUERIES = 4
HOPS = 4  # of a chain: one more variables
COMMON_WORDS, COMMON_TIMES, OTHER_TIMES = 10, 30, 3
FREQUENT_WORDS, ZETA = 3, 2.0
A_LINE = 5  # words, where the text is words
PIECES = 4  # of one kind and subject, of which one is asked for by its number
ORDINALS = "first", "second", "third", "fourth"
KINDS = "poem", "riddle", "letter", "speech", "song", "recipe"
PIECE_WORDS = 10

Made = Callable[[Vocabulary, np.random.Generator, Sequence[str]], Planting]


@dataclass(frozen=True, kw_only=True)
class Task:
    """`make`: what is planted and asked, of the lines of a haystack; `text`: which one it is."""

    make: Made
    planted: int
    text: str = "source"  # or one of TEXTS
    trained: bool = True  # whether spark was trained for its kind of question
    once: bool = False  # one question a haystack: there is nothing else to ask


def key(known: Vocabulary, rng: np.random.Generator) -> str:
    return f"{known.pick(rng, known.lower)}-{known.pick(rng, known.lower)}"


def keys(known: Vocabulary, rng: np.random.Generator, count: int) -> list[str]:
    """All different."""
    found: dict[str, None] = {}
    while len(found) < count:
        found[key(known, rng)] = None
    return list(found)


def number(rng: np.random.Generator) -> str:
    return str(rng.integers(10**6, 10**7))


def identifier(rng: np.random.Generator) -> str:
    return str(uuid.UUID(bytes=rng.bytes(16), version=4))


def single(known: Vocabulary, rng: np.random.Generator, lines: Sequence[str]) -> Planting:
    return _one_of(known, rng, 1, "numbers")


def single_uuid(known: Vocabulary, rng: np.random.Generator, lines: Sequence[str]) -> Planting:
    return _one_of(known, rng, 1, "uuids")


def multi_key(known: Vocabulary, rng: np.random.Generator, lines: Sequence[str]) -> Planting:
    return _one_of(known, rng, KEYS, "numbers")


def _one_of(known: Vocabulary, rng: np.random.Generator, count: int, kind: str) -> Planting:
    """One of the keys is asked for."""
    values = [number(rng) if kind == "numbers" else identifier(rng) for _ in range(count)]
    pairs = list(zip(keys(known, rng, count), values, strict=True))
    asked = int(rng.integers(count))
    text = ONE.format(kind=kind[:-1], key=pairs[asked][0])
    question = Question(text=text, expected=(pairs[asked][1],), needle=asked)
    return spread([NEEDLE.format(kind=kind, key=k, value=v) for k, v in pairs], [question], rng)


def among_needles(known: Vocabulary, rng: np.random.Generator, lines: Sequence[str]) -> Planting:
    """Nothing is planted: the text is needles, and one of them is asked for."""
    line = lines[int(rng.integers(len(lines)))]
    head, value = line.removesuffix(".").split(" is: ")
    kind, name = head.removeprefix("One of the special magic ").split(" for ")
    question = Question(text=ONE.format(kind=kind[:-1], key=name), expected=(value,))
    return Planting(needles=[], questions=[question])


def multi_value(known: Vocabulary, rng: np.random.Generator, lines: Sequence[str]) -> Planting:
    name, values = key(known, rng), tuple(number(rng) for _ in range(VALUES))
    question = Question(text=ALL.format(kind="numbers", key=name), expected=values)
    return spread(
        [NEEDLE.format(kind="numbers", key=name, value=v) for v in values], [question], rng
    )


def multi_query(known: Vocabulary, rng: np.random.Generator, lines: Sequence[str]) -> Planting:
    names, values = keys(known, rng, QUERIES), tuple(number(rng) for _ in range(QUERIES))
    listed = ", ".join(names[:-1]) + ", and " + names[-1]
    question = Question(text=ALL.format(kind="numbers", key=listed), expected=values)
    needles = [
        NEEDLE.format(kind="numbers", key=n, value=v) for n, v in zip(names, values, strict=True)
    ]
    return spread(needles, [question], rng)


def chain(rng: np.random.Generator) -> tuple[list[str], str, list[str]]:
    """Variables, the first one's number, and the assignments in order."""
    names: list[str] = []
    while len(names) <= HOPS:
        name = "".join(rng.choice(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), 5))
        names += [name] if name not in names else []
    value = str(rng.integers(10**4, 10**5))
    values = [value, *(f"VAR {name}" for name in names[:-1])]
    return (
        names,
        value,
        [ASSIGNED.format(name=n, value=v) for n, v in zip(names, values, strict=True)],
    )


def variables(known: Vocabulary, rng: np.random.Generator, lines: Sequence[str]) -> Planting:
    names, value, needles = chain(rng)
    question = Question(text=VARIABLES.format(value=value), expected=tuple(names))
    return spread(needles, [question], rng)


def tracking(known: Vocabulary, rng: np.random.Generator, lines: Sequence[str]) -> Planting:
    """From the last variable back: the others of the chain and the number must be said."""
    names, value, needles = chain(rng)
    question = Question(text=BACK.format(name=names[-1]), expected=(*names[:-1], value))
    return spread(needles, [question], rng)


def co_reference(known: Vocabulary, rng: np.random.Generator, lines: Sequence[str]) -> Planting:
    """After Gemini's and OpenAI's MRCR: of pieces of one kind one is asked for by its number."""
    kind, subject = known.pick(rng, KINDS), known.pick(rng, known.lower)
    pieces = [
        " ".join(known.pick(rng, known.lower) for _ in range(PIECE_WORDS)) for _ in range(PIECES)
    ]
    asked = int(rng.integers(PIECES))
    said = [f"User: Write a {kind} about {subject}. Assistant: {piece}." for piece in pieces]
    text = f"Repeat the {ORDINALS[asked]} {kind} about {subject}."
    return spread(said, [Question(text=text, expected=(pieces[asked],), needle=asked)], rng)


def common_words(known: Vocabulary, rng: np.random.Generator, lines: Sequence[str]) -> Planting:
    counted = Counter(word for line in lines for word in line.split(" ")[1::2])
    expected = tuple(word for word, _ in counted.most_common(COMMON_WORDS))
    return Planting(needles=[], questions=[Question(text=COMMON, expected=expected)])


def frequent_words(known: Vocabulary, rng: np.random.Generator, lines: Sequence[str]) -> Planting:
    counted = Counter(word for line in lines for word in line.split(" ") if word != "....")
    expected = tuple(word for word, _ in counted.most_common(FREQUENT_WORDS))
    return Planting(needles=[], questions=[Question(text=FREQUENT, expected=expected)])


def _needles(known: Vocabulary, rng: np.random.Generator, tokens: int) -> list[str]:
    names = keys(known, rng, max(50, tokens // 20))
    return [NEEDLE.format(kind="numbers", key=name, value=number(rng)) for name in names]


def _identifiers(known: Vocabulary, rng: np.random.Generator, tokens: int) -> list[str]:
    count = max(50, tokens // 60)
    return [
        NEEDLE.format(kind="uuids", key=identifier(rng), value=identifier(rng))
        for _ in range(count)
    ]


def _listed(known: Vocabulary, rng: np.random.Generator, tokens: int) -> list[str]:
    """A numbered list of about as many words as there is room for, ten of them more often."""
    others = max(20, (tokens // 6 - COMMON_WORDS * COMMON_TIMES) // OTHER_TIMES)
    common, *rest = np.split(np.array(keys(known, rng, COMMON_WORDS + others)), [COMMON_WORDS])
    words = np.concatenate([np.repeat(common, COMMON_TIMES), np.repeat(rest[0], OTHER_TIMES)])
    words = [f"{i}. {word}" for i, word in enumerate(rng.permutation(words).tolist(), 1)]
    return [" ".join(words[at : at + A_LINE]) for at in range(0, len(words), A_LINE)]


def _coded(known: Vocabulary, rng: np.random.Generator, tokens: int) -> list[str]:
    """Made-up words, the k-th as often as 1 / k^2; the first is dots."""
    letters = list("abcdefghijklmnopqrstuvwxyz")
    ranks = np.minimum(rng.zipf(ZETA, max(200, tokens // 3)), 500)
    coded = ["....", *("".join(rng.choice(letters, 6)) for _ in range(500))]
    words = [coded[rank - 1] for rank in ranks]
    return [" ".join(words[at : at + A_LINE]) for at in range(0, len(words), A_LINE)]


TEXTS: dict[str, Callable[[Vocabulary, np.random.Generator, int], Sequence[str]]] = {
    "noise": lambda known, rng, tokens: NOISE,
    "needles": _needles,
    "uuids": _identifiers,
    "words": _listed,
    "codes": _coded,
}
RULER: dict[str, Task] = {  # by RULER's names; qa_1 and qa_2 are not run
    "niah_single_1": Task(make=single, planted=1, text="noise"),
    "niah_single_2": Task(make=single, planted=1),
    "niah_single_3": Task(make=single_uuid, planted=1),
    "niah_multikey_1": Task(make=multi_key, planted=KEYS),
    "niah_multikey_2": Task(make=among_needles, planted=0, text="needles"),
    "niah_multikey_3": Task(make=among_needles, planted=0, text="uuids"),
    "niah_multivalue": Task(make=multi_value, planted=VALUES),
    "niah_multiquery": Task(make=multi_query, planted=QUERIES),
    "vt": Task(make=variables, planted=HOPS + 1, text="noise", trained=False),
    "cwe": Task(make=common_words, planted=0, text="words", trained=False, once=True),
    "fwe": Task(make=frequent_words, planted=0, text="codes", trained=False, once=True),
}
TASKS = {
    **RULER,
    "variable-tracking": Task(make=tracking, planted=HOPS + 1),
    "mrcr": Task(make=co_reference, planted=PIECES, trained=False),
}


def source(
    text: str, given: Source, known: Vocabulary, rng: np.random.Generator, tokens: int
) -> Source:
    """What the haystack of a task is cut from; `given` if it needs no text of its own."""
    if text == "source":
        return given
    lines = tuple(TEXTS[text](known, rng, tokens))
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return Source(names=(text,), lines=lines, sha256=digest)


def averages(scores: dict[str, float]) -> dict[str, float | int | None]:
    """RULER's average of tasks' scores (0 to 1): of all that were run, and of those trained for."""
    run = {name: scores[name] for name in RULER if name in scores}
    trained = [score for name, score in run.items() if RULER[name].trained]
    return {
        "tasks": len(run),
        "average": sum(run.values()) / len(run) if run else None,
        "trained_tasks": len(trained),
        "trained_average": sum(trained) / len(trained) if trained else None,
    }
