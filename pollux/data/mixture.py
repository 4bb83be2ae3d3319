# SPDX-License-Identifier: Apache-2.0
"""Rows and batches: a row is one document and questions about it, a batch one memory of many rows.

A batch is a function of the recipe's seed and its number alone, so training can stop and go on
anywhere.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import grain
import numpy as np

from pollux import interleaved, prompt
from pollux.data import (
    corpora,
    drawing,
    facts,
    languages,
    passages,
    senses,
    several,
    skills,
    speech,
    translations,
    voices,
    wording,
    writing,
)
from pollux.data.answers import Chain
from pollux.data.languages import Lesson
from pollux.data.material import Material, material
from pollux.data.senses import Sensed
from pollux.data.skills import Answer, Document, Kit
from pollux.data.stage import Stage, needs, stage_of
from pollux.data.writing import Written
from pollux.errors import RecipeError
from pollux.interleaved import Interleaved
from pollux.tokenizer import Tokenizer

TEXT_WEIGHT = 0.5  # of running text; answers have 1 or more (train/loss.py)
RESTATED_WEIGHT = 1.0
ANSWER_WEIGHT = 2.0
LINE_WEIGHT = 6.0  # of whether an answer has another line: these are few
LOOSE = 0.5  # of the English facts are stated in words picked from a book
SURVEYED = 32, 40  # questions a batch whose passage is sought, and the tokens of each at most
TAUGHT = 0.9  # of the questions about a lesson are translations
WRITTEN = 0.6  # of those about writing ask what is written where; the rest are as of any text
DEFINED = 0.4  # of those about code ask for a definition, if a stage asks for places,
UNDEFINED = 0.2  # and of these for one that is nowhere
ANSWERS = 0.9  # of the supervised positions at most: the rest is running text
ALOUD = 1 / 3  # of them at most are read aloud: words just seen or heard
ALOUD_WEIGHT = 4.0  # there are few
TOLD = 6  # earlier lines that begin alike, at most
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


class Supervised(NamedTuple):
    """A position whose next token is trained, and the range [start, end) to recall it from.

    `told`: not to be recalled, what earlier lines of the answer went on with.
    """

    at: int
    target: int
    weight: float
    start: int  # as in train.loss.Batch: end 0 is anywhere, below 0 nothing
    end: int
    told: tuple[int, ...] = ()

    def shifted(self, by: int) -> "Supervised":
        look = by * (self.end > 0)
        return self._replace(
            at=self.at + by,
            start=self.start + look,
            end=self.end + look,
            told=tuple(by + at for at in self.told),
        )


@dataclass(frozen=True)
class Row:
    """Segment 0 is the document; each question with its answer has one, and so has what fills up.

    `answers`: the positions of each answer in turn. `text`: those of the document, shuffled.
    `aloud`: those at which a word has just been seen or heard. `surveyed`: questions that are about
    a passage.
    """

    tokens: np.ndarray
    segment: np.ndarray
    answers: list[list[Supervised]]
    text: list[Supervised]
    surveyed: list[tuple[range, int, int]]  # positions of a question, and its passage's [from, to)
    aloud: list[Supervised]
    media: Interleaved


def kit(tokenizer: Tokenizer, genres: tuple[str, ...], evaluation: bool = False) -> Kit:
    """The corpora of `genres` and the words made from them.

    Questions of people come with the books; without, they are a stock of a few. Raises RecipeError
    where data are missing: what a recipe gives does not depend on what happens to be there.
    """
    by_rule = {"random", "languages", drawing.GENRE, writing.GENRE}
    made_elsewhere = {*by_rule, *passages.SOURCES, *senses.GENRES}
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


def material_for(kit: Kit, genres: tuple[str, ...], evaluation: bool = False) -> Material | None:
    """What pictures, recordings and films of `genres` are made of; None if there are none.

    Raises RecipeError where something was not prepared: what there is would do, but not the same.
    """
    if not any(genre in senses.GENRES for genre in genres):
        return None
    voices.spoken(evaluation)
    made = material(kit, None, evaluation, speech.UNSEEN if evaluation else speech.ENGLISH)
    if not (made.art.icons and made.art.photos):
        raise RecipeError("no pictures were prepared: pollux data prepare")
    return made


def _spread(ids: np.ndarray, pieces: int = 40, size: int = 15_000) -> np.ndarray:
    starts = np.linspace(0, max(0, len(ids) - size), pieces).astype(int)
    return np.concatenate([ids[s : s + size] for s in starts])


def choose(rng: np.random.Generator, shares: dict[str, float]) -> str:
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def row(
    kit: Kit, stage: Stage, rng: np.random.Generator, genre: str, material: Material | None = None
) -> Row:
    """One document and as many questions about it as fit, exactly `stage.length` tokens."""
    doc = document(kit, stage, rng, genre, material, rooms(stage, [genre])[0])
    return asked_about(kit, stage, rng, doc, material)


def document(
    kit: Kit,
    stage: Stage,
    rng: np.random.Generator,
    genre: str,
    material: Material | None,
    room: int,
) -> Document:
    """`room`: tokens that one of pictures or sound may have; it is never cut."""
    budget = int(stage.length * (1 - stage.questions * rng.uniform(0.7, 1.2)))
    if genre in senses.GENRES:
        if material is None:
            raise RecipeError(f"{genre} must be made of something: give a material")
        return senses.document(material, rng, genre, min(budget, room))
    if genre == "languages":
        return languages.lesson(kit, rng, budget)
    if genre in passages.SOURCES:
        return passages.collection(kit, rng, genre, budget, passages.pairs(genre))
    if genre == drawing.GENRE:
        return drawing.document(kit, rng)
    if genre == writing.GENRE:
        return writing.document(kit, rng, budget)
    stated = _stated(kit, stage, rng, chinese=genre == "chinese" and rng.random() < 0.8)
    return skills.document(kit, rng, genre, budget, stated)


def rooms(stage: Stage, drawn: list[str]) -> list[int]:
    """Tokens that the document of each row may have: rows of pictures share the room, of sound too.

    So all of them together fit the tables, whatever they turn out to have.
    """
    count = Counter(need for genre in drawn for need in needs(genre))
    shares = {need: getattr(stage, need) // n for need, n in count.items()}
    return [min((shares[n] for n in needs(g)), default=stage.length) for g in drawn]


def asked_about(
    kit: Kit, stage: Stage, rng: np.random.Generator, doc: Document, material: Material | None
) -> Row:
    pieces: list[tuple[np.ndarray, Answer]] = []
    room, misses = stage.length - len(doc.tokens), 0
    while room > 24 and misses < 12:
        piece = question_about(kit, stage, rng, doc, material)
        if piece is None or (size := len(piece[0]) + len(piece[1].tokens)) > room:
            misses += 1
            continue
        pieces.append(piece)
        room -= size
    return _lay_out(kit, stage, rng, doc, pieces)


def _stated(kit: Kit, stage: Stage, rng, chinese: bool) -> list[tuple[facts.Fact, str]]:
    out: list[tuple[facts.Fact, str]] = []
    while len(out) < rng.integers(*stage.facts):
        if out and rng.random() < stage.distractors:
            fact, statement = out[int(rng.integers(len(out)))]
            out.append((kit.vocabulary.near(rng, fact), statement))
        else:
            out.append(_first_stated(kit, rng, chinese))
    unique = {fact.phrase: (fact, statement) for fact, statement in out}
    return several.with_more(kit, rng, list(unique.values()), chinese)


def _first_stated(kit: Kit, rng, chinese: bool) -> tuple[facts.Fact, str]:
    fact = kit.vocabulary.fact(rng, chinese)
    if chinese or rng.random() > LOOSE or "books" not in kit.corpora:
        return fact, wording.statement(rng, chinese)
    words = kit.tokenizer.decode(skills.slice_of(kit, rng, "books", 40))
    if len(words.split()) < 12 or fact.phrase == f"the {fact.attribute}":
        return fact, wording.statement(rng, chinese)
    return fact, kit.vocabulary.loose_statement(rng, words)


def question_about(
    kit: Kit,
    stage: Stage,
    rng: np.random.Generator,
    doc: Document,
    material: Material | None = None,
):
    """Tokens of a question and its answer, or None where the document does not lend itself."""
    if isinstance(doc, Sensed) and material is not None:
        return senses.question(material, rng, doc)
    if isinstance(doc, Lesson) and rng.random() < TAUGHT:
        return translations.translate(kit, rng, doc)
    if doc.genre == drawing.GENRE:
        return drawing.question(kit, rng)
    if isinstance(doc, Written) and rng.random() < WRITTEN:
        return writing.question(kit, rng, doc)
    if doc.genre == "code" and stage.skills.get("point") and rng.random() < DEFINED:
        nowhere = rng.random() < UNDEFINED
        return skills.absent_definition(kit, rng) if nowhere else skills.define(kit, rng, doc)
    match choose(rng, stage.skills):
        case "find" if doc.facts:
            return several.find(kit, rng, doc)
        case "absent" if doc.facts:
            match rng.integers(7):
                case 0 | 1 | 2 | 3 | 4:
                    near = kit.vocabulary.near(rng, kit.vocabulary.pick(rng, doc.facts).fact)
                    if any(s.fact.phrase.startswith(near.phrase) for s in doc.facts):
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


def _lay_out(kit: Kit, stage: Stage, rng, doc: Document, pieces) -> Row:
    tokens, segment = [doc.tokens], [np.zeros(len(doc.tokens), np.int64)]
    answers: list[list[Supervised]] = []
    surveyed: list[tuple[range, int, int]] = []
    position = len(doc.tokens)
    line_ends = kit.tokenizer.newline, kit.control("<end>")
    for number, (asked, answer) in enumerate(pieces, 1):
        size = len(asked) + len(answer.tokens)
        first = position + len(asked) - 1  # predicts the first token of the answer
        chain = isinstance(answer, Chain)
        again = answer.again if chain else restated(asked, answer)
        told = _told(kit, answer, first + 1)
        supervised = []
        for i, (token, look) in enumerate(zip(answer.tokens, answer.looks, strict=True)):
            recalled = look or i in answer.begins or token in kit.tokenizer.control.values()
            weight = ANSWER_WEIGHT if recalled else RESTATED_WEIGHT
            if token in line_ends:
                weight = LINE_WEIGHT
            asked_at = again[i]
            own = (0, 0) if asked_at is None else (position + asked_at, position + asked_at + 1)
            supervised.append(Supervised(first + i, token, weight, *(look or own), told[i]))
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
    silent = interleaved.is_media(kit.tokenizer, flat)  # what they show is no token
    text = [
        Supervised(int(i), int(flat[i + 1]), TEXT_WEIGHT, 0, 0)
        for i in some
        if not (silent[i] or silent[i + 1])
    ]
    media, aloud = interleaved.text(flat), []
    if isinstance(doc, Sensed):
        media = interleaved.fitted(doc.media, stage.length)
        aloud = [Supervised(at, token, ALOUD_WEIGHT, 0, 0) for at, token in doc.aloud]
    return Row(flat, owner, answers, text, surveyed, aloud, media)


def _told(kit: Kit, answer: Answer, begin: int) -> list[tuple[int, ...]]:
    """Of each token of an answer that begins there, what is not to be recalled any more."""
    places = [look[0] if look else -1 for look in answer.looks]
    newline, item = kit.tokenizer.newline, int(kit.tokenizer.encode("-")[0])
    told = [
        prompt.told(answer.tokens[:i], places, newline, item)[-TOLD:]
        for i in range(len(answer.tokens))
    ]
    return [(*(places[i] for i in said), *(begin + i for i in said)) for said in told]


def restated(asked: np.ndarray, answer: Answer) -> list[int | None]:
    """Where in the question each token of the answer stands that repeats it.

    None for what is looked up in the document, and where the word before is another. What begins
    the answer, or a line of it, is where most of it goes on.
    """
    words, said = asked.tolist(), answer.tokens
    where: list[int | None] = []
    for i, (token, look) in enumerate(zip(said, answer.looks, strict=True)):
        places = [j for j, word in enumerate(words) if j and word == token and look is None]
        if i in answer.begins:
            runs = [(i > 0) + _run(words[j + 1 :], said[i + 1 :]) for j in places]
        else:
            runs = [_run(words[j - 1 :: -1], said[i - 1 :: -1]) for j in places]
        best = max(runs, default=0)
        longest = [j for j, run in zip(places, runs, strict=True) if run == best]
        on = [j for j in longest if where and j - 1 == where[-1]]  # rather than somewhere else
        where.append((on or longest)[0] if best else None)
    return where


def _run(one: list[int], other: list[int]) -> int:
    """How many tokens are the same from the beginning."""
    for length, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return length
    return min(len(one), len(other))


def rows(
    kit: Kit, stage: Stage, rng: np.random.Generator, material: Material | None = None
) -> list[Row]:
    """Of a batch. Scenes know of one another: a question must not be about two of them."""
    drawn = genres(stage, rng)
    docs = [
        document(kit, stage, rng, genre, material, room)
        for genre, room in zip(drawn, rooms(stage, drawn), strict=True)
    ]
    scenes = [doc for doc in docs if isinstance(doc, Sensed)]
    for one in scenes:
        one.elsewhere = [other.scene for other in scenes if other is not one]
    return [asked_about(kit, stage, rng, doc, material) for doc in docs]


def batch(
    kit: Kit, stage: Stage, rng: np.random.Generator, material: Material | None = None
) -> dict[str, np.ndarray]:
    """Arrays of train.loss.Batch: words aloud, whole answers as many as fit, then running text.

    Where a batch has fewer positions than `stage.supervised`, weight 0 fills up.
    """
    made = rows(kit, stage, rng, material)
    chosen = _supervised(made, stage, rng)
    question, passage = _surveyed(made, stage, rng)
    supervised = sorted(s.shifted(i * stage.length) for i, s in chosen)
    table = np.zeros((stage.supervised, 5))
    table[: len(chosen)] = [s[:5] for s in supervised]
    told = np.full((stage.supervised, 2 * TOLD), stage.rows * stage.length, np.int32)
    for one, s in zip(told, supervised, strict=False):
        one[: len(s.told)] = s.told
    return {
        "tokens": np.stack([r.tokens for r in made]).astype(np.int32),
        "segment": np.stack([r.segment for r in made]).astype(np.int32),
        "at": table[:, 0].astype(np.int32),
        "target": table[:, 1].astype(np.int32),
        "weight": table[:, 2].astype(np.float32),
        "look": table[:, 3:].astype(np.int32),
        "told": told,
        "question": question,
        "passage": passage,
        **interleaved.tables([r.media for r in made], stage.patches, stage.sounds),
    }


def _supervised(
    rows: list[Row], stage: Stage, rng: np.random.Generator
) -> list[tuple[int, Supervised]]:
    """Positions of a batch, with the row that each is in."""
    aloud = [(i, s) for i, r in enumerate(rows) for s in r.aloud]
    heard = rng.permutation(len(aloud))[: int(stage.supervised * ALOUD)]
    chosen = [aloud[n] for n in heard]
    answers = [(i, a) for i, r in enumerate(rows) for a in r.answers]
    room = int(stage.supervised * ANSWERS)
    for n in rng.permutation(len(answers)):
        i, answer = answers[n]
        if len(answer) <= room - len(chosen):
            chosen += [(i, s) for s in answer]
    text = [(i, s) for i, r in enumerate(rows) for s in r.text]
    order = rng.permutation(len(text))[: stage.supervised - len(chosen)]
    return chosen + [text[n] for n in order]


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
    material: Material | None

    def random_map(self, element: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return batch(self.kit, stage_of(self.stages, int(element)), rng, self.material)


def batches(
    kit: Kit,
    stages: tuple[Stage, ...],
    seed: int,
    start: int,
    material: Material | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Batches from number `start` on, prepared one thread ahead of the step."""
    steps = sum(stage.steps for stage in stages)
    source = grain.MapDataset.range(steps).seed(seed).random_map(MakeBatch(kit, stages, material))
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    return iter(source[start:].to_iter_dataset(options))
