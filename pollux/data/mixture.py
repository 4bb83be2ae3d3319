# SPDX-License-Identifier: Apache-2.0
"""Rows and batches: a row is one document and questions about it, a batch one memory of many rows.

A batch is a function of the recipe's seed and its number alone, so training can stop and go on
anywhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import grain
import numpy as np

from pollux.data import corpora, facts, languages, passages, skills, translations
from pollux.data.languages import Lesson
from pollux.data.skills import Answer, Document, Kit, Stated
from pollux.data.translations import Translation
from pollux.errors import RecipeError
from pollux.tokenizer import Tokenizer

TEXT_WEIGHT = 0.5  # of running text; answers have 1 or more (train/loss.py)
RESTATED_WEIGHT = 1.0
ANSWER_WEIGHT = 2.0
LOOSE = 0.5  # of the English facts are stated in words picked from a book
SURVEYED = 32, 40  # questions a batch whose passage is sought, and the tokens of each at most
TAUGHT = 0.9  # of the questions about a lesson are translations
DEFINED = 0.4  # of those about code ask for a definition, if a stage asks for places,
UNDEFINED = 0.2  # and of these for one that is nowhere
ANSWERS = 0.9  # of the supervised positions at most: the rest is running text
STOCK = (  # questions of people, for a recipe that needs no data
    "How many of them were there?",
    "Who is it?",
    "Why did they leave so early?",
    "What time is it there now?",
    "How much does it cost for two?",
    "Could you recommend a quiet place?",
    "他们去了哪里？为什么？",
    "一共有多少个苹果？",
)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stretch of training. Shares need not sum to 1. RecipeError where nothing can come of it."""

    steps: int
    rows: int
    length: int  # tokens a row
    supervised: int  # positions a batch whose next token is trained
    genres: dict[str, float]
    skills: dict[str, float]
    questions: float = 0.4  # share of a row's tokens for questions and answers
    facts: tuple[int, int] = (3, 9)  # stated in a document
    distractors: float = 0.5  # share of them that are almost the same as another

    def __post_init__(self):
        for name, least in (("steps", 1), ("rows", 1), ("length", 2), ("supervised", 1)):
            value = getattr(self, name)
            if value < least:
                raise RecipeError(f"{name} {value} must be {least} or more")
        for name in ("genres", "skills"):
            _check_shares(name, getattr(self, name))
        for name in ("questions", "distractors"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise RecipeError(f"{name} {value} must be from 0 to 1")
        if self.rows > 1 and not any(self.genres[g] for g in self.genres if g != "languages"):
            raise RecipeError("a batch has one row of languages at most: add another genre")
        low, high = self.facts
        if not 0 <= low < high:
            raise RecipeError(
                f"facts {low}, {high} must be from 0 up, and the second above the first: "
                "there are at least the first and fewer than the second"
            )


def _check_shares(name: str, shares: dict[str, float]) -> None:
    for key, share in shares.items():
        if not 0 <= share < float("inf"):
            raise RecipeError(f"{name}.{key} {share} must be a number from 0 up")
    if not any(shares.values()):
        raise RecipeError(f"one of {name} must be above 0")


class Supervised(NamedTuple):
    """A position whose next token is trained, and the range [start, end) to recall it from."""

    at: int
    target: int
    weight: float
    start: int  # as in train.loss.Batch: end 0 is anywhere, below 0 nothing
    end: int

    def shifted(self, by: int) -> "Supervised":
        look = by * (self.end > 0)
        return self._replace(at=self.at + by, start=self.start + look, end=self.end + look)


@dataclass(frozen=True)
class Row:
    """Segment 0 is the document; each question with its answer has one, and so has what fills up.

    `answers`: the positions of each answer in turn. `text`: those of the document, shuffled.
    `surveyed`: questions that are about a passage.
    """

    tokens: np.ndarray
    segment: np.ndarray
    answers: list[list[Supervised]]
    text: list[Supervised]
    surveyed: list[tuple[range, int, int]]  # positions of a question, and its passage's [from, to)


def kit(tokenizer: Tokenizer, genres: tuple[str, ...], evaluation: bool = False) -> Kit:
    """The corpora of `genres` and the words made from them.

    Questions of people come with the books; without, they are a stock of a few. Raises RecipeError
    where data are missing: what a recipe gives does not depend on what happens to be there.
    """
    made_elsewhere = {"random", "languages", *passages.SOURCES}
    arrays = {
        g: corpora.tokens(corpora.CORPORA[g], tokenizer) for g in genres if g not in made_elsewhere
    }
    english = facts.words(
        tokenizer.decode(_spread(arrays.get("books", next(iter(arrays.values())))))
    )
    chinese = (
        facts.words(tokenizer.decode(_spread(arrays["chinese"])), True)
        if "chinese" in arrays
        else ["数字"]
    )
    vocabulary = facts.Vocabulary(tokenizer, english, chinese, evaluation)
    questions = [*STOCK]
    if "books" in genres:
        questions = tokenizer.decode(corpora.tokens(corpora.QUESTIONS, tokenizer)).splitlines()
    return Kit(tokenizer, arrays, vocabulary, [q for q in questions if 5 < len(q) < 240])


def _spread(ids: np.ndarray, pieces: int = 40, size: int = 15_000) -> np.ndarray:
    starts = np.linspace(0, max(0, len(ids) - size), pieces).astype(int)
    return np.concatenate([ids[s : s + size] for s in starts])


def choose(rng: np.random.Generator, shares: dict[str, float]) -> str:
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def row(kit: Kit, stage: Stage, rng: np.random.Generator, genre: str) -> Row:
    """One document and as many questions about it as fit, exactly `stage.length` tokens."""
    budget = int(stage.length * (1 - stage.questions * rng.uniform(0.7, 1.2)))
    doc: Document
    if genre == "languages":
        doc = languages.lesson(kit, rng, budget)
    elif genre in passages.SOURCES:
        doc = passages.collection(kit, rng, genre, budget, passages.pairs(genre))
    else:
        stated = _stated(kit, stage, rng, chinese=genre == "chinese" and rng.random() < 0.8)
        doc = skills.document(kit, rng, genre, budget, stated)
    pieces: list[tuple[np.ndarray, Answer]] = []
    room, misses = stage.length - len(doc.tokens), 0
    while room > 24 and misses < 12:
        piece = question_about(kit, stage, rng, doc)
        if piece is None or (size := len(piece[0]) + len(piece[1].tokens)) > room:
            misses += 1
            continue
        pieces.append(piece)
        room -= size
    return _lay_out(kit, stage, rng, doc, pieces)


def _stated(kit: Kit, stage: Stage, rng, chinese: bool) -> list[tuple[facts.Fact, str]]:
    options = facts.CHINESE_STATEMENTS if chinese else facts.STATEMENTS
    out: list[tuple[facts.Fact, str]] = []
    while len(out) < rng.integers(*stage.facts):
        if out and rng.random() < stage.distractors:
            fact, statement = out[int(rng.integers(len(out)))]
            out.append((kit.vocabulary.near(rng, fact), statement))
        else:
            out.append(_first_stated(kit, rng, chinese, options))
    unique = {fact.phrase: (fact, statement) for fact, statement in out}
    return list(unique.values())


def _first_stated(kit: Kit, rng, chinese: bool, options) -> tuple[facts.Fact, str]:
    fact = kit.vocabulary.fact(rng, chinese)
    if chinese or rng.random() > LOOSE or "books" not in kit.corpora:
        return fact, kit.vocabulary.pick(rng, options)
    words = kit.tokenizer.decode(skills.slice_of(kit, rng, "books", 40))
    if len(words.split()) < 12 or fact.phrase == f"the {fact.attribute}":
        return fact, kit.vocabulary.pick(rng, options)
    return fact, kit.vocabulary.loose_statement(rng, words)


def question_about(kit: Kit, stage: Stage, rng: np.random.Generator, doc: Document):
    """Tokens of a question and its answer, or None where the document does not lend itself."""
    if isinstance(doc, Lesson) and rng.random() < TAUGHT:
        return translations.translate(kit, rng, doc)
    if doc.genre == "code" and stage.skills.get("point") and rng.random() < DEFINED:
        nowhere = rng.random() < UNDEFINED
        return skills.absent_definition(kit, rng) if nowhere else skills.define(kit, rng, doc)
    match choose(rng, stage.skills):
        case "find" if doc.facts:
            several = 1 if rng.random() < 0.85 else int(rng.integers(2, 6))
            order = rng.permutation(len(doc.facts))[:several]
            return skills.find(kit, rng, doc, [_as_asked(kit, rng, doc.facts[i]) for i in order])
        case "absent" if doc.facts:
            match rng.integers(7):
                case 0 | 1 | 2 | 3 | 4:
                    near = kit.vocabulary.near(rng, kit.vocabulary.pick(rng, doc.facts).fact)
                    if near.phrase in {stated.fact.phrase for stated in doc.facts}:
                        return None  # it is stated after all
                    return skills.absent_fact(kit, rng, near)
                case 5:
                    chinese = doc.facts[0].fact.chinese
                    return skills.absent_fact(kit, rng, kit.vocabulary.fact(rng, chinese))
                case _ if doc.genre in kit.corpora:
                    return skills.absent_words(kit, rng, doc.genre)
        case "quote":
            return skills.quote(kit, rng, doc)
        case "point":
            return skills.point(kit, rng, doc)
        case "passage" if doc.genre != "random":
            return passages.passage(kit, rng, doc)
        case "other" if doc.genre != "random":
            return skills.other(kit, rng, doc)
    return None


def _as_asked(kit: Kit, rng: np.random.Generator, stated: Stated) -> Stated:
    """Sometimes the question puts it in other words than the text."""
    fact = stated.fact
    if fact.chinese or rng.random() < 0.8 or fact.owner not in fact.phrase:
        return stated
    phrase = kit.vocabulary.pick(rng, facts.PHRASES).format(a=fact.attribute, k=fact.owner)
    return stated._replace(fact=replace(fact, phrase=phrase))


def _lay_out(kit: Kit, stage: Stage, rng, doc: Document, pieces) -> Row:
    tokens, segment = [doc.tokens], [np.zeros(len(doc.tokens), np.int64)]
    answers: list[list[Supervised]] = []
    surveyed: list[tuple[range, int, int]] = []
    position = len(doc.tokens)
    for number, (asked, answer) in enumerate(pieces, 1):
        size = len(asked) + len(answer.tokens)
        first = position + len(asked) - 1  # predicts the first token of the answer
        chain = isinstance(answer, Translation)
        again = answer.again if chain else restated(asked, answer)
        supervised = []
        for i, (token, look) in enumerate(zip(answer.tokens, answer.looks, strict=True)):
            recalled = look or i == 0 or token in kit.tokenizer.control.values()
            weight = ANSWER_WEIGHT if recalled else RESTATED_WEIGHT
            asked_at = again[i]
            own = (0, 0) if asked_at is None else (position + asked_at, position + asked_at + 1)
            supervised.append(Supervised(first + i, token, weight, *(look or own)))
        answers.append([s for s in supervised if s.at + 1 < stage.length])
        if answer.passage:
            words = range(position + 1, position + len(asked) - 1)  # between control tokens
            surveyed.append((words[: SURVEYED[1]], *answer.passage))
        tokens += [asked, np.array(answer.tokens)]
        segment.append(np.full(size, number))
        position += size
    flat = np.concatenate(tokens)[: stage.length]
    owner = np.concatenate(segment)[: stage.length]
    space = stage.length - len(flat)
    flat = np.pad(flat, (0, space))
    owner = np.pad(owner, (0, space), constant_values=len(pieces) + 1)
    some = rng.permutation(max(1, min(len(doc.tokens), stage.length) - 1))
    text = [Supervised(int(i), int(flat[i + 1]), TEXT_WEIGHT, 0, 0) for i in some]
    return Row(flat, owner, answers, text, surveyed)


def restated(asked: np.ndarray, answer: Answer) -> list[int | None]:
    """Where in the question each token of the answer stands that repeats it.

    None for what is looked up in the document, and where the word before is another. What begins
    the answer is where most of it goes on.
    """
    words, said = asked.tolist(), answer.tokens
    where: list[int | None] = []
    for i, (token, look) in enumerate(zip(said, answer.looks, strict=True)):
        places = [j for j, word in enumerate(words) if j and word == token and look is None]
        if i:
            runs = [_run(words[j - 1 :: -1], said[i - 1 :: -1]) for j in places]
        else:
            runs = [_run(words[j + 1 :], said[1:]) for j in places]
        best = max(runs, default=0)
        where.append(places[runs.index(best)] if best else None)
    return where


def _run(one: list[int], other: list[int]) -> int:
    """How many tokens are the same from the beginning."""
    for length, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return length
    return min(len(one), len(other))


def batch(kit: Kit, stage: Stage, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Arrays of train.loss.Batch: whole answers as many as fit, then running text.

    Where a batch has fewer positions than `stage.supervised`, weight 0 fills up.
    """
    rows = [row(kit, stage, rng, genre) for genre in genres(stage, rng)]
    answers = [(i, a) for i, r in enumerate(rows) for a in r.answers]
    chosen: list[tuple[int, Supervised]] = []
    room = int(stage.supervised * ANSWERS)
    for n in rng.permutation(len(answers)):
        i, answer = answers[n]
        if len(answer) <= room - len(chosen):
            chosen += [(i, s) for s in answer]
    text = [(i, s) for i, r in enumerate(rows) for s in r.text]
    order = rng.permutation(len(text))[: stage.supervised - len(chosen)]
    chosen += [text[n] for n in order]
    question, passage = _surveyed(rows, stage, rng)
    table = np.zeros((stage.supervised, 5))
    table[: len(chosen)] = sorted(s.shifted(i * stage.length) for i, s in chosen)
    return {
        "tokens": np.stack([r.tokens for r in rows]).astype(np.int32),
        "segment": np.stack([r.segment for r in rows]).astype(np.int32),
        "at": table[:, 0].astype(np.int32),
        "target": table[:, 1].astype(np.int32),
        "weight": table[:, 2].astype(np.float32),
        "look": table[:, 3:].astype(np.int32),
        "question": question,
        "passage": passage,
    }


def genres(stage: Stage, rng: np.random.Generator) -> list[str]:
    """Of the rows of a batch; one lesson at most: in one memory a word has one translation."""
    drawn: list[str] = []
    while len(drawn) < stage.rows:
        genre = choose(rng, stage.genres)
        if genre != "languages" or genre not in drawn:
            drawn.append(genre)
    return drawn


def _surveyed(
    rows: list[Row], stage: Stage, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Some of the questions that are about a passage, and the passages, as the batch has them."""
    question = np.full(SURVEYED, -1, np.int32)
    passage = np.zeros((SURVEYED[0], 2), np.int32)
    found = [(i * stage.length, s) for i, r in enumerate(rows) for s in r.surveyed]
    for n, at in enumerate(rng.permutation(len(found))[: SURVEYED[0]]):
        start, (words, *where) = found[at]
        question[n, : len(words)] = start + np.array(words)
        passage[n] = start + np.array(where)
    return question, passage


@dataclass(frozen=True)
class MakeBatch(grain.transforms.RandomMap):
    kit: Kit
    stages: tuple[Stage, ...]

    def random_map(self, element: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return batch(self.kit, stage_of(self.stages, int(element)), rng)


def stage_of(stages: tuple[Stage, ...], step: int) -> Stage:
    for stage in stages:
        if step < stage.steps:
            return stage
        step -= stage.steps
    return stages[-1]


def batches(
    kit: Kit, stages: tuple[Stage, ...], seed: int, start: int
) -> Iterator[dict[str, np.ndarray]]:
    """Batches from number `start` on, prepared one thread ahead of the step."""
    steps = sum(stage.steps for stage in stages)
    source = grain.MapDataset.range(steps).seed(seed).random_map(MakeBatch(kit, stages))
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    return iter(source[start:].to_iter_dataset(options))
