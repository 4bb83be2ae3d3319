# SPDX-License-Identifier: Apache-2.0
"""The skills as training examples: a document with things to ask about, questions and answers.

An answer restates what was asked and goes on from there: the restated words are what recall looks
up, so the same reading of words makes keys and queries. `<place>` and `<time>` are pointers: where
recall looks as they are written is the place.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pollux import prompt
from pollux.data import facts, typesetting, wording
from pollux.data.answers import NOWHERE, Answer
from pollux.data.drawn import Drawings
from pollux.data.facts import Fact, Vocabulary
from pollux.tokenizer import Tokenizer

QUOTE_TOKENS = 48  # at most
REST_TOKENS = 24  # of a sentence behind a fact's value, at most
USES = (
    "    return {n}(x)",
    "    result = {n}(x, y)",
    "{n}(args)",
    "from module import {n}",
    "    assert {n}(1) == {n}(2)",
    "  for item in {n}(values):",
    "    self.{n}(x)",
    "__all__ = ['{n}']",
    "# see {n}",
    "  out = jit({n})(x)",
)
PARAMETERS = "()", "()", "(self)", "(self, x)", "(x, y)", "(*args)"


class Stated(NamedTuple):
    """Where a document states a fact: tokens [start, end); what is said of it begins at `after`."""

    fact: Fact
    start: int
    after: int
    end: int


@dataclass
class Document:
    """Tokens of a part, header included, and what may be asked about it."""

    genre: str
    tokens: np.ndarray
    facts: list[Stated] = field(default_factory=list)


@dataclass(frozen=True)
class Kit:
    """What examples are made from."""

    tokenizer: Tokenizer
    corpora: dict[str, np.ndarray]
    vocabulary: Vocabulary
    questions: list[str]  # of people, none of the skills
    drawings: Drawings | None = None

    def control(self, name: str) -> int:
        return self.tokenizer.control[name]


def slice_of(kit: Kit, rng: np.random.Generator, genre: str, size: int) -> np.ndarray:
    """`size` tokens of a corpus, from the start of a line."""
    ids = kit.corpora[genre]
    start = int(rng.integers(0, len(ids) - 2 * size - 2))
    breaks = np.flatnonzero(ids[start : start + size] == kit.tokenizer.newline)
    start += int(breaks[0]) + 1 if len(breaks) else 0
    return np.asarray(ids[start : start + size], np.int64)


def _encoded(kit: Kit, text: str, size: int) -> np.ndarray:
    return kit.tokenizer.encode(text)[:size].astype(np.int64)


def called(kit: Kit, rng: np.random.Generator, code: str) -> str:
    """`code` with lines that use what it defines: a definition must be told from those.

    And with definitions of its own, of long names of which some end alike.
    """
    lines = code.split("\n")
    for name in invented(kit, rng):
        at = int(rng.integers(len(lines)))
        lines[at:at] = [name, f"    {kit.vocabulary.pick(rng, kit.vocabulary.lower)} = None"]
    names = re.findall(r"^[ ]*(?:def|class) (\w{3,})\b", "\n".join(lines), re.M)
    for name in rng.permutation(names)[: len(names) * 2 // 3]:
        for _ in range(int(rng.integers(1, 4))):
            use = kit.vocabulary.pick(rng, USES).format(n=name)
            lines.insert(int(rng.integers(len(lines))), use)
    return "\n".join(lines)


def invented(kit: Kit, rng: np.random.Generator) -> list[str]:
    """First lines of definitions; some names begin or end like others."""
    found = []
    for _ in range(int(rng.integers(4))):
        words = [kit.vocabulary.pick(rng, kit.vocabulary.lower) for _ in range(rng.integers(2, 7))]
        alike = [kit.vocabulary.pick(rng, kit.vocabulary.lower), *words[1:]]
        for parts in (words, alike, words[1:], words[:-1])[: int(rng.integers(1, 5))]:
            if rng.random() < 0.2:
                found.append(f"class {''.join(map(facts.capital, parts))}:")
            else:
                name = "_" * int(rng.integers(2)) + "_".join(parts)
                found.append(f"def {name}{kit.vocabulary.pick(rng, PARAMETERS)}:")
    return found


def random_tokens(kit: Kit, rng: np.random.Generator, size: int) -> np.ndarray:
    """Text of random pieces: nothing in it can be guessed, only copied."""
    text = kit.tokenizer.decode(rng.integers(300, kit.tokenizer.vocab_size, size))
    return kit.tokenizer.encode(text.replace("\ufffd", " ").replace("\n", " "))[:size]


def document(
    kit: Kit, rng: np.random.Generator, genre: str, size: int, stated: list[tuple[Fact, str]]
) -> Document:
    """About `size` tokens of `genre` with the statements strewn in, some on lines of their own."""
    newline = [kit.tokenizer.newline]
    name = f"{kit.vocabulary.pick(rng, kit.vocabulary.lower)}.{'py' if genre == 'code' else 'txt'}"
    pieces, lengths = [], 0
    for fact, statement in stated:
        own_line = rng.random() < 0.5 or genre == "code" or fact.kind == "step"
        text = ("" if own_line or fact.chinese else " ") + fact.stated(statement)
        body = kit.tokenizer.encode(text)
        said = text[: text.index(fact.phrase[1:]) + len(fact.phrase) - 1]
        place = Stated(fact, own_line, own_line + tokens_of(kit, body, said), own_line + len(body))
        pieces.append((place, np.concatenate([newline, body, newline]) if own_line else body))
        lengths += len(pieces[-1][1])
    filler = max(16, size - lengths)
    if genre == "random":
        body = random_tokens(kit, rng, filler)
    else:
        body = slice_of(kit, rng, genre, filler)
        if genre == "books" and rng.random() < 0.6:
            body = _encoded(kit, typesetting.accented(rng, kit.tokenizer.decode(body)), filler)
        if genre == "books" and rng.random() < 0.5:
            body = _encoded(kit, typesetting.typeset(kit.tokenizer.decode(body)), filler)
        if genre == "code":
            body = _encoded(kit, called(kit, rng, kit.tokenizer.decode(body)), filler)
    ends = _sentence_ends(kit, body)
    cuts = sorted(int(ends[rng.integers(len(ends))]) for _ in pieces)
    out = [prompt.part_header(kit.tokenizer, name)]
    position, last, placed = len(out[0]), 0, []
    for cut, ((fact, *range_), tokens) in zip(cuts, pieces, strict=True):
        out += [body[last:cut], tokens]
        position += cut - last
        placed.append(Stated(fact, *(position + at for at in range_)))
        position, last = position + len(tokens), cut
    return Document(genre, np.concatenate([*out, body[last:]]), placed)


def tokens_of(kit: Kit, tokens: np.ndarray, text: str) -> int:
    """How many of the first tokens make up `text`."""
    ends = np.cumsum(kit.tokenizer.byte_lengths[tokens])
    return int(np.searchsorted(ends, len(text.encode()))) + 1


def _sentence_marks(kit: Kit) -> list[int]:
    return [int(kit.tokenizer.encode(mark)[-1]) for mark in (".", "。", "!", "?")]


def _sentence_ends(kit: Kit, body: np.ndarray) -> np.ndarray:
    found = np.flatnonzero(np.isin(body, [kit.tokenizer.newline, *_sentence_marks(kit)])) + 1
    return found if len(found) else np.array([0, len(body)])


def asked(kit: Kit, text: str, answer: Answer) -> tuple[np.ndarray, Answer]:
    answer.tokens = [int(t) for t in answer.tokens]
    return prompt.question(kit.tokenizer, text), answer


def find(
    kit: Kit,
    rng: np.random.Generator,
    doc: Document,
    chosen: Sequence[Stated],
    owners: bool = False,
):
    """One fact, or several in one question: each phrase again, then the text's own words on it.

    `owners`: the question names those alone, "the code for A and B"; else each by its phrase.
    """
    chinese, several = chosen[0].fact.chinese, len(chosen) > 1
    if owners:
        phrase = chosen[0].fact.phrase.removesuffix(chosen[0].fact.owner)
        phrase += listed(kit, rng, [stated.fact.owner for stated in chosen], chinese)
    else:
        phrase = listed(kit, rng, [stated.fact.phrase for stated in chosen], chinese)
    text = fact_question(kit, rng, phrase, chinese, several)
    answer = told(kit, doc, chosen, owners)
    if not several:
        answer.passage = chosen[0].start, chosen[0].end
    return asked(kit, text, answer)


def listed(kit: Kit, rng: np.random.Generator, words: Sequence[str], chinese: bool) -> str:
    """In one phrase."""
    between, last = kit.vocabulary.pick(rng, facts.CHINESE_JOINED if chinese else facts.JOINED)
    return last.join([between.join(words[:-1]), words[-1]] if words[1:] else words)


def told(kit: Kit, doc: Document, chosen: Sequence[Stated], owners: bool = False) -> Answer:
    """A line for each; of all values of one thing a last line that finds no more of them.

    `owners`: these alone stand one after another in the question.
    """
    answer, end = Answer(), None
    for stated in chosen:
        if answer.tokens:
            answer.add([kit.tokenizer.newline], end)
            answer.begins.add(len(answer.tokens))
        answer.add(phrase_tokens(kit, stated.fact))
        if owners:
            owner = kit.tokenizer.encode(" " + stated.fact.owner)
            answer.begins.add(len(answer.tokens) - len(owner))
        until = _sentence_end(kit, doc.tokens, stated.end)
        for at in range(stated.after, until):
            answer.add([doc.tokens[at]], (at, at + 1))
        ended = doc.tokens[until : until + 1] == kit.tokenizer.newline
        end = (until, until + 1) if ended else None
    if chosen[0].fact.kind == "values":
        answer.add([kit.tokenizer.newline], end)
        answer.begins.add(len(answer.tokens))
        answer.add(phrase_tokens(kit, chosen[0].fact)).add([kit.control("<absent>")], NOWHERE)
        end = None
    return answer.add([kit.control("<end>")], end)


def fact_question(
    kit: Kit, rng: np.random.Generator, phrase: str, chinese: bool, several: bool = False
) -> str:
    text = sentence(wording.question(rng, chinese, several), phrase)
    if not chinese and rng.random() < 0.2:
        text += " " + kit.vocabulary.pick(rng, facts.AFTERWARDS)
    return text


def phrase_tokens(kit: Kit, fact: Fact) -> np.ndarray:
    """With a space as in the question, else a word has other pieces."""
    return kit.tokenizer.encode(("" if fact.chinese else " ") + fact.phrase)


def _sentence_end(kit: Kit, tokens: np.ndarray, start: int) -> int:
    """Where the sentence that has something up to `start` ends, or its line; or the limit."""
    marks = _sentence_marks(kit)
    last = min(start + REST_TOKENS, len(tokens) - 1)
    for at in range(start, last):
        if tokens[at - 1] in marks or tokens[at] == kit.tokenizer.newline:
            return at
    return last


def absent_fact(kit: Kit, rng: np.random.Generator, fact: Fact):
    """The same question about what no document says."""
    text = fact_question(kit, rng, fact.phrase, fact.chinese)
    return asked(kit, text, not_there(kit, phrase_tokens(kit, fact)))


def not_there(kit: Kit, said: np.ndarray) -> Answer:
    answer = Answer().add(said).add([kit.control("<absent>")], NOWHERE)
    return answer.add([kit.control("<end>")])


def sentence(question: str, phrase: str) -> str:
    """The question about `phrase`, with a capital where that is not somebody's own word."""
    text = question.format(p=phrase)
    own = question.startswith("{p}") and not phrase.startswith("the ")
    return text if own or question[0].islower() else facts.capital(text)


QUOTE_QUESTIONS = (
    "Continue: {t}",
    'Continue the passage: "{t}"',
    'Quote the passage that begins "{t}"',
    'Quote the passage that begins with "{t}".',
    'What comes after "{t}"?',
    'How does this go on: "{t}"',
    "Go on from “{t}”.",
    'Complete "{t}"',
    "Please quote what follows: {t}",
    "请引用以“{t}”开头的段落。",
    "“{t}”后面是什么？",
    "继续：{t}",
)
PLACE_QUESTIONS = (
    'Where does it say "{t}"?',
    'Where is "{t}" written?',
    "Where is this: {t}",
    'On which line is "{t}"?',
    'Which file contains "{t}"?',
    "“{t}”在哪里？",
    "哪一行有“{t}”？",
)
TIME_QUESTIONS = (
    'When did they say "{t}"?',
    'When was "{t}" said?',
    'At what time was "{t}" said?',
    "When does somebody say: {t}",
    'When do we hear "{t}"?',
    "什么时候说了“{t}”？",
    "“{t}”是几点说的？",
)


def words_at(
    kit: Kit, rng: np.random.Generator, doc: Document, low: int, high: int
) -> tuple[int, int] | None:
    """A range of `low` to `high` tokens in one line, from a word on; None after some tries."""
    for _ in range(20):
        size = int(rng.integers(low, high + 1))
        if len(doc.tokens) < size + 12:
            return None
        start = int(rng.integers(4, len(doc.tokens) - size - 1))
        span = doc.tokens[start : start + size]
        text = kit.tokenizer.decode(span)
        if (
            kit.tokenizer.newline in span
            or "\ufffd" in text
            or len(text.strip()) < 8
            or '"' in text
        ):
            continue
        if any(start < end and start + size > begin for _, begin, _, end in doc.facts):
            continue
        if text[0] == " " or text[0] > "\u3000" or doc.tokens[start - 1] == kit.tokenizer.newline:
            return start, start + size
    return None


def _restate(kit: Kit, doc: Document, start: int, end: int) -> tuple[str, np.ndarray] | None:
    """The text of a range and its tokens as a question has them.

    None if they do not end like the document's.
    """
    text = kit.tokenizer.decode(doc.tokens[start:end]).strip()
    said = kit.tokenizer.encode(text)
    keep = min(4, end - start - 1)
    if len(said) < keep or not np.array_equal(said[-keep:], doc.tokens[end - keep : end]):
        return None
    return text, said


def quote(kit: Kit, rng: np.random.Generator, doc: Document):
    """The rest of a passage from its beginning, to the end of the line."""
    where = words_at(kit, rng, doc, 6, 14)
    if where is None or (restated := _restate(kit, doc, *where)) is None:
        return None
    text, said = restated
    answer = Answer(passage=where).add(said)
    for at in range(where[1], min(where[1] + QUOTE_TOKENS, len(doc.tokens))):
        if doc.tokens[at] == kit.tokenizer.newline:
            answer.add([kit.control("<end>")], (at, at + 1))
            break
        answer.add([doc.tokens[at]], (at, at + 1))
    return asked(kit, kit.vocabulary.pick(rng, QUOTE_QUESTIONS).format(t=text), answer)


def point(kit: Kit, rng: np.random.Generator, doc: Document):
    """Where or when something is said: the words again, then a pointer."""
    where = words_at(kit, rng, doc, 5, 16)
    if where is None or (restated := _restate(kit, doc, *where)) is None:
        return None
    timed = doc.genre == "transcripts" and rng.random() < 0.7
    options, pointer = (TIME_QUESTIONS, "<time>") if timed else (PLACE_QUESTIONS, "<place>")
    text, said = restated
    answer = Answer(passage=where).add(said).add([kit.control(pointer)], (where[1], where[1] + 1))
    answer.add([kit.control("<end>")])
    return asked(kit, kit.vocabulary.pick(rng, options).format(t=text), answer)


def absent_words(kit: Kit, rng: np.random.Generator, genre: str):
    """A quotation or a place of words that no document has: from elsewhere in the corpus."""
    elsewhere = Document(genre, slice_of(kit, rng, genre, 80))
    where = words_at(kit, rng, elsewhere, 6, 14)
    if where is None or (words := _restate(kit, elsewhere, *where)) is None:
        return None
    text, said = words
    options = kit.vocabulary.pick(rng, (QUOTE_QUESTIONS, PLACE_QUESTIONS, TIME_QUESTIONS))
    answer = not_there(kit, said)
    return asked(kit, kit.vocabulary.pick(rng, options).format(t=text), answer)


DEFINE_QUESTIONS = (
    "Where is the {kind} {n} defined?",
    "Where is {n} defined?",
    "In which file is the {kind} {n}?",
    "Which file defines {n}?",
    "Find the definition of {n}.",
    "Where do I find the {kind} {n}?",
    "On which line does {n} begin?",
    "{kind} {n} 在哪里定义？",
    "哪个文件定义了 {n}？",
)


def define(kit: Kit, rng: np.random.Generator, doc: Document):
    """File and line of a function or class: its name, what the text has behind it, a pointer.

    What is behind it tells a name from one that begins alike.
    """
    text = kit.tokenizer.decode(doc.tokens)
    found = list(re.finditer(r"^[ ]*(def|class) (\w{3,})\b", text, re.M))
    if not found:
        return None
    match = found[int(rng.integers(len(found)))]
    kind, name = match[1], match[2]
    if len([m for m in found if m[2] == name]) > 1:
        return None
    said, end = definition(kit.tokenizer, kind, name), len(text[: match.end()].encode())
    ends = np.cumsum(kit.tokenizer.byte_lengths[doc.tokens])
    after = int(np.searchsorted(ends, end)) + 1
    if after + 1 >= len(doc.tokens) or doc.tokens[after - 1] != said[-1] or ends[after - 1] > end:
        return None
    answer = Answer(passage=(after - len(said), after)).add(said)
    answer.add([doc.tokens[after]], (after, after + 1))
    answer.add([kit.control("<place>")], (after + 1, after + 2))
    answer.add([kit.control("<end>")])
    return asked(kit, _define_question(kit, rng, kind, name), answer)


def definition(tokenizer: Tokenizer, kind: str, name: str) -> np.ndarray:
    return tokenizer.encode(f"{kind} {name}")


def _define_question(kit: Kit, rng: np.random.Generator, kind: str, name: str) -> str:
    text = kit.vocabulary.pick(rng, DEFINE_QUESTIONS)
    if kind == "class" and "{kind}" not in text:
        text = DEFINE_QUESTIONS[0]
    return text.format(kind="function" if kind == "def" else "class", n=name)


def absent_definition(kit: Kit, rng: np.random.Generator):
    vocabulary = kit.vocabulary
    name = "_".join(vocabulary.pick(rng, vocabulary.lower) for _ in range(int(rng.integers(1, 4))))
    kind = "def" if rng.random() < 0.7 else "class"
    name = name if kind == "def" else name.title().replace("_", "")
    said = definition(kit.tokenizer, kind, name)
    answer = not_there(kit, said)
    return asked(kit, _define_question(kit, rng, kind, name), answer)


REMEMBERED = (
    "What about {t}?",
    "What happens with {t}?",
    "Who talks about {t}?",
    "Why {t}?",
    "Tell me more about {t}",
    "{t}",
    "Summarise what is said of {t}",
    "How do {t} belong together?",
    "{t}是怎么回事？",
)


def other(kit: Kit, rng: np.random.Generator, doc: Document):
    """No skill's question; where it is made of a sentence's words, it is about that sentence."""
    stop = [kit.control("<other>"), kit.control("<end>")]
    if rng.random() < 0.4:
        return asked(kit, kit.vocabulary.pick(rng, kit.questions), Answer().add(stop))
    where = words_at(kit, rng, doc, 12, 40)
    if where is None:
        return None
    text = kit.tokenizer.decode(doc.tokens[where[0] : where[1]])
    content = re.findall(r"[A-Za-z]{4,}|[\u4e00-\u9fff]{2}", text)
    if len(content) < 4:
        return None
    chosen = rng.permutation(content)[: int(rng.integers(3, 7))]
    if rng.random() < 0.5:
        chosen = [w for w in content if w in set(chosen)]
    text = kit.vocabulary.pick(rng, REMEMBERED).format(t=", ".join(chosen))
    return asked(kit, text, Answer(passage=where).add(stop))
