# SPDX-License-Identifier: Apache-2.0
"""Translations as training examples: a chain of look-ups, each the exact recall of what follows.

Into a language, with its order (`translate`):

    A red B farmer C watched D lamp              the words with a meaning, by letter
    - the A B C the D = B A D C                  the pattern, recalled from an example
    - B farmer = mavi                            in that order, a line of the word list for each
    - A red = sani
    ...
    mavi sani pomu tekuta                        the sentence, copied from the lines above

Word for word, in either direction (`gloss`): the lines, in the order of the question, without
letters, then the words. What is not in the word list stays as it is, like a name.
"""

from dataclasses import dataclass

import numpy as np

from pollux import prompt
from pollux.data.answers import NOWHERE, Chain
from pollux.data.languages import LETTERS, Lesson, Sentence, sentence
from pollux.data.skills import Document, Kit
from pollux.tokenizer import Tokenizer

TRANSLATE_QUESTIONS = (
    "Translate into {l}: {t}",
    "Translate to {l}: {t}",
    "Please translate this into {l}: {t}",
    "How do you say this in {l}: {t}",
    "Say in {l}: {t}",
    "Put into {l}: {t}",
)
GLOSS_QUESTIONS = (
    "Translate word for word into {l}: {t}",
    "Translate word by word into {l}: {t}",
    "Word for word in {l}: {t}",
    "Gloss in {l}: {t}",
)
UNSHOWN = 0.12  # of the sentences to translate have a pattern that no example shows
UNLISTED = 0.25  # of the sentences to gloss have a word that is not in the list
FULL_STOP = 0.3  # of the questions end with one


@dataclass(frozen=True)
class Asked:
    """A question's tokens, and where each word of its sentence stands among them."""

    tokens: np.ndarray
    words: list[tuple[int, int]]

    def word(self, number: int) -> np.ndarray:
        start, end = self.words[number]
        return self.tokens[start:end]


def ask(tokenizer: Tokenizer, wording: str, name: str, said: str, full_stop: bool = False) -> Asked:
    """The question in `wording`, which has the sentence `said` last."""
    before = wording.format(l=name, t="").rstrip()
    tokens = prompt.question(tokenizer, f"{before} {said}" + "." * full_stop)
    at, words = 1 + len(tokenizer.encode(before)), []
    for word in said.split(" "):
        size = len(tokenizer.encode(" " + word))
        words.append((at, at + size))
        at += size
    return Asked(tokens, words)


def translate(kit: Kit, rng: np.random.Generator, doc: Document):
    """A sentence to translate from or into what `doc` teaches; None where it is no lesson."""
    if not isinstance(doc, Lesson):
        return None
    full_stop = rng.random() < FULL_STOP
    if doc.examples and rng.random() < 0.75:
        one = _sentence(rng, doc)
        wording = kit.vocabulary.pick(rng, TRANSLATE_QUESTIONS)
        asked = ask(kit.tokenizer, wording, doc.language.name, one.english, full_stop)
        return asked.tokens, into(kit.tokenizer, doc, one, asked)
    one = sentence(rng, doc.language)
    backward = bool(doc.meanings) and (not doc.words or rng.random() < 0.6)
    said = (doc.language.translated(one) if backward else one.english).split(" ")
    if rng.random() < UNLISTED:
        said[int(rng.integers(len(said)))] = kit.vocabulary.pick(rng, kit.vocabulary.lower)
    wording = kit.vocabulary.pick(rng, GLOSS_QUESTIONS)
    name = "English" if backward else doc.language.name
    asked = ask(kit.tokenizer, wording, name, " ".join(said), full_stop)
    known = doc.meanings if backward else doc.words
    return asked.tokens, gloss(kit.tokenizer, doc, known, said, asked)


def _sentence(rng: np.random.Generator, doc: Lesson) -> Sentence:
    """Mostly in a pattern that is shown."""
    shown, tries = rng.random() > UNSHOWN, 400
    while True:
        one, tries = sentence(rng, doc.language), tries - 1
        if (one.shape in doc.patterns) == shown or not tries:
            return one


def into(tokenizer: Tokenizer, doc: Lesson, one: Sentence, asked: Asked) -> Chain:
    """The chain of look-ups; `<absent>` where no example has the pattern."""
    begin, answer = len(asked.tokens), Chain()

    def here() -> int:
        return begin + len(answer.tokens)

    places: dict[int, int] = {}  # of each word with a meaning, behind its letter
    for i, label in enumerate(one.labels):
        if label in LETTERS:
            answer.add(tokenizer.encode(" " + label))
            places[i] = here()
            answer.repeat(asked.word(i), asked.words[i][0])
    answer.add([tokenizer.newline]).add(tokenizer.encode("-"))
    for i, label in enumerate(one.labels):
        if label in LETTERS:
            answer.add(tokenizer.encode(" " + label))
        else:
            answer.repeat(asked.word(i), asked.words[i][0])
    answer.add(tokenizer.encode(" ="))
    if one.shape not in doc.patterns:
        answer.add([tokenizer.control["<absent>"]], NOWHERE)
        return answer.add([tokenizer.control["<end>"]])
    at = here()  # of the labels in the order of the translation
    answer.recall(doc.tokens, *doc.patterns[one.shape])
    values: list[tuple[int, int]] = []
    for i in one.order:
        label = tokenizer.encode(" " + one.labels[i])
        head = asked.word(i)
        answer.add(tokenizer.encode("-"))
        answer.repeat(label, at)
        at += len(label)
        if i in places:
            answer.repeat(head, places[i])
        values.append(_look_up(tokenizer, answer, begin, doc, doc.words, one.words[i], head))
    return _finish(tokenizer, answer, begin, values)


def gloss(
    tokenizer: Tokenizer,
    doc: Lesson,
    known: dict[str, tuple[int, int]],
    said: list[str],
    asked: Asked,
) -> Chain:
    """A line for each word in turn; `known` has the places of what can be looked up."""
    begin, answer = len(asked.tokens), Chain()
    values: list[tuple[int, int]] = []
    for i, word in enumerate(said):
        answer.add(tokenizer.encode("-")).repeat(asked.word(i), asked.words[i][0])
        values.append(_look_up(tokenizer, answer, begin, doc, known, word, asked.word(i)))
    return _finish(tokenizer, answer, begin, values)


def _look_up(
    tokenizer: Tokenizer,
    answer: Chain,
    begin: int,
    doc: Lesson,
    known: dict[str, tuple[int, int]],
    word: str,
    head: np.ndarray,
) -> tuple[int, int]:
    """Ends the line that `head` begins; where its translation stands. Unknown words stay."""
    beside = begin + len(answer.tokens) - len(head)
    answer.add(tokenizer.encode(" ="))
    start = begin + len(answer.tokens)
    if word in known:
        answer.recall(doc.tokens, *known[word])
    else:
        answer.repeat(head, beside).add([tokenizer.newline])
    return start, begin + len(answer.tokens) - 1


def _finish(
    tokenizer: Tokenizer, answer: Chain, begin: int, values: list[tuple[int, int]]
) -> Chain:
    for start, end in values:
        answer.repeat(answer.tokens[start - begin : end - begin], start)
    return answer.add([tokenizer.control["<end>"]])
