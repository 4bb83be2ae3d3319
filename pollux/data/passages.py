# SPDX-License-Identifier: Apache-2.0
"""Natural questions as training examples: what a person asks finds the passage it is about.

A sentence finds its own paragraph, a title its body, a definition its term, a Chinese question its
passage. As with `skills.other` the answer is `<other>`, and the survey must find the passage.
Questions share as little with it as they would in life: words are dropped, put in another order,
inflected; and of some passages the very sentence asked about is taken away (inverse cloze, Lee et
al. 2019).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import groupby
from typing import NamedTuple

import numpy as np

from pollux import prompt
from pollux.data import corpora
from pollux.data.descriptions import descriptions, sentences
from pollux.data.skills import Answer, Document, Kit, asked

LONG = 280  # characters of a passage that is cut from a longer text, 140 Han ones
LEAST_WORDS = 4  # that say something, in a sentence to ask about
WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*|\d[\d.,:]*")
HAN = "\u4e00-\u9fff"
CONTEXTS = replace(
    corpora.QUESTIONS,
    name="contexts",
    files=("text/cmrc2018-trial-train.jsonl.xz",),
    source="github.com/ymcui/cmrc2018",
    licence="CC-BY-SA-4.0",
)
FUNCTION_WORDS = frozenset(
    "a about after again all also am an and any are as at be because been before being but by can "
    "could did do does doing down each even every few first for from get go had has have having "
    "he her here him his how i if in into is it its just let like may me might more most much must "
    "my no nor not now of off on one only or other our out over own said same say says shall she "
    "should so some such than that the their them then there these they this those through to too "
    "two under up upon us very was way we well were what when where which while who whom whose why "
    "will with would yes yet you your".split()
)
FRAMES = (
    "{t}",
    "{t}?",
    "What is there about {t}?",
    "Show me the part about {t}.",
    "Which passage is about {t}?",
    "Is there anything on {t}?",
    "I am looking for {t}",
    "Something with {t}",
    "What do they say of {t}?",
    "Can you find me {t}?",
    "How was it with {t}?",
)
CHINESE_FRAMES = (
    "{t}？",
    "{t}",
    "关于{t}，怎么说？",
    "请问{t}？",
    "找一下{t}",
    "哪一段讲了{t}？",
)
CHINESE_ASKING = ("什么", "哪里", "谁", "哪些", "怎么", "何时", "哪个", "为什么")


class Pair(NamedTuple):
    """A passage and what people ask that it answers; nothing: its own sentences are asked about."""

    passage: str
    questions: tuple[str, ...] = ()


@dataclass
class Collection(Document):
    """A document of passages with a blank line between, and what may be asked about each.

    `asked`: question and the passage's token range.
    """

    asked: list[tuple[str, int, int]] = field(default_factory=list)


def titles() -> Iterator[Pair]:
    """Debian's descriptions, the half for training: a title finds its body."""
    for one in descriptions(evaluation=False):
        yield Pair(one.body, (one.title,))


def contexts() -> Iterator[Pair]:
    """Chinese paragraphs, cut at sentences, with the questions whose answers are in each piece."""
    for row in corpora.rows(CONTEXTS):
        left = list(row["qas"])
        for piece in cut(row["context"]):
            here = [qa for qa in left if any(said in piece for said in qa["answers"])]
            left = [qa for qa in left if qa not in here]
            yield Pair(piece, tuple(qa["question"] for qa in here))


def definitions() -> Iterator[Pair]:
    """Functions of the standard library; what its first sentence says of one is taken away."""
    form = re.compile(r'^ *def (\w{4,}\([^()\n]*\)):\n +r?"""([^"\\]{40,600})"""', re.M)
    for row in corpora.rows(corpora.CORPORA["code"]):
        for said in form.finditer(row["text"]):
            lines = re.sub(r"(?<!\n)\n *(?!\n)", " ", said[2]).strip()
            first, *rest = sentences(lines)
            if len(content(first)) >= LEAST_WORDS:
                yield Pair("\n".join([said[1], " ".join(rest).strip()]).strip(), (first,))


def talk() -> Iterator[Pair]:
    """Exchanges of the transcripts for training, a few utterances each."""
    rows = corpora.rows(corpora.CORPORA["transcripts"])
    for _, spoken in groupby(rows, lambda row: row["mission"]):
        yield from map(Pair, together(corpora.CORPORA["transcripts"].texts(r) for r in spoken))


SOURCES: dict[str, Callable[[], Iterable[Pair]]] = {
    "titles": titles,
    "contexts": contexts,
    "definitions": definitions,
    "talk": talk,
}


@cache
def pairs(source: str) -> tuple[Pair, ...]:
    """All of a source of SOURCES; RecipeError when its file is not here."""
    return tuple(SOURCES[source]())


def together(lines: Iterable[str]) -> Iterator[str]:
    """Lines put together until they are LONG characters or more."""
    held: list[str] = []
    for line in lines:
        held.append(line.rstrip("\n"))
        if sum(map(len, held)) >= LONG:
            yield "\n".join(held)
            held = []
    if held:
        yield "\n".join(held)


def cut(text: str) -> Iterator[str]:
    """A Chinese text in pieces of whole sentences, LONG / 2 characters or more each."""
    held = ""
    for sentence in re.findall(r"[^。！？\n]*[。！？\n]|[^。！？\n]+", text):
        held += sentence
        if len(held) >= LONG // 2:
            yield held.strip()
            held = ""
    if held.strip():
        yield held.strip()


def collection(
    kit: Kit, rng: np.random.Generator, source: str, size: int, known: Sequence[Pair]
) -> Collection:
    """About `size` tokens of different passages of `known`, each with a question if it has one."""
    newline = [kit.tokenizer.newline]
    out = [
        prompt.part_header(kit.tokenizer, f"{kit.vocabulary.pick(rng, kit.vocabulary.lower)}.txt")
    ]
    position, made = len(out[0]), []
    for at in rng.permutation(len(known))[: size // 8]:
        passage, question = asked_about(rng, known[at])
        tokens = kit.tokenizer.encode(passage)
        if position + len(tokens) + 2 > size:
            if made or len(out) > 1:
                break
            tokens = tokens[: max(16, size - position - 2)]  # one that is too long by itself
        if question is not None:
            made.append((question, position, position + len(tokens)))
        out += [tokens, np.array(newline * 2)]
        position += len(tokens) + 2
    return Collection(source, np.concatenate(out).astype(np.int64), [], made)


def asked_about(rng: np.random.Generator, pair: Pair) -> tuple[str, str | None]:
    """The passage, perhaps without the sentence asked about, and a question, or None."""
    if pair.questions:
        question = pair.questions[int(rng.integers(len(pair.questions)))]
        asking = len(content(question)) >= LEAST_WORDS and rng.random() < 0.5
        return pair.passage, reworded(rng, question) if asking else question
    said = [s for s in parts_of(pair.passage) if len(content(s)) >= LEAST_WORDS]
    if not said:
        return pair.passage, None
    sentence = said[int(rng.integers(len(said)))]
    passage = pair.passage
    if len(said) > 2 and rng.random() < 0.5:
        passage = passage.replace(sentence, "", 1).strip()
    return passage, reworded(rng, sentence)


def passage(kit: Kit, rng: np.random.Generator, doc: Document):
    """A question whose passage is in the document, or None where there is none to ask."""
    if isinstance(doc, Collection) and doc.asked and rng.random() < 0.9:
        question, start, end = doc.asked[int(rng.integers(len(doc.asked)))]
        return shown(kit, question, (start, end))
    return own_paragraph(kit, rng, doc)


def own_paragraph(kit: Kit, rng: np.random.Generator, doc: Document):
    """A sentence of the document finds the paragraph it is in."""
    breaks = np.flatnonzero(doc.tokens == kit.tokenizer.newline)
    ranges = [(int(a) + 1, int(b)) for a, b in zip(breaks, breaks[1:], strict=False) if b - a > 16]
    for at in rng.permutation(len(ranges))[:8]:
        start, end = ranges[at]
        text = kit.tokenizer.decode(doc.tokens[start:end])
        facts = [fact.phrase for fact, begin, _, stop in doc.facts if begin < end and stop > start]
        said = [
            s
            for s in parts_of(text)
            if len(content(s)) >= LEAST_WORDS
            and "\ufffd" not in s
            and not any(phrase.casefold() in s.casefold() for phrase in facts)
        ]
        if said:
            sentence = said[int(rng.integers(len(said)))]
            return shown(kit, reworded(rng, sentence), (start, end))
    return None


def shown(kit: Kit, question: str, look: tuple[int, int]) -> tuple[np.ndarray, Answer]:
    """None of the other skills' questions: the passage is the answer."""
    answer = Answer(passage=look).add([kit.control("<other>"), kit.control("<end>")])
    return asked(kit, question, answer)


def parts_of(text: str) -> list[str]:
    """Its sentences, Chinese ones too, without what stands before them in a transcript."""
    out = []
    for sentence in sentences(text):
        spoken = re.sub(r"^\[[\d:-]+\] [\w ()-]+: ", "", sentence)
        out += re.findall(r"[^。！？]+[。！？]?", spoken)
    return [s.strip() for s in out]


def chinese(text: str) -> bool:
    return len(re.findall(f"[{HAN}]", text)) * 3 > len(text)


def content(text: str) -> list[str]:
    """Words that say something; of Chinese, pairs of characters."""
    if chinese(text):
        return re.findall(f"[{HAN}]{{2}}|[A-Za-z0-9]{{2,}}", text)
    return [w for w in WORD.findall(text) if _telling(w)]


def _telling(word: str) -> bool:
    short = len(word) < 3 or "'" in word or "’" in word
    return not short and word.casefold() not in FUNCTION_WORDS


def reworded(rng: np.random.Generator, sentence: str) -> str:
    """What a person who half remembers the sentence might ask."""
    frames = CHINESE_FRAMES if chinese(sentence) else FRAMES
    told = _chinese_told(rng, sentence) if chinese(sentence) else _told(rng, sentence)
    return frames[int(rng.integers(len(frames)))].format(t=told)


def _told(rng: np.random.Generator, sentence: str) -> str:
    """Some of its words, as they stand or in any order, some in another form."""
    words = WORD.findall(sentence)
    telling = [i for i, w in enumerate(words) if _telling(w)]
    most = int(rng.integers(3, 9))
    if rng.random() < 0.4:  # a stretch, with the small words in it
        first = int(rng.integers(max(1, len(telling) - most + 1)))
        stretch = telling[first : first + most]
        chosen = [i for i in range(stretch[0], stretch[-1] + 1) if rng.random() < 0.85]
    else:
        some = rng.permutation(telling)[: max(3, min(most, len(telling) - 1))]
        chosen = sorted(some.tolist()) if rng.random() < 0.5 else some.tolist()
    kept = [inflected(words[i]) if rng.random() < 0.25 else words[i] for i in chosen or telling]
    if rng.random() < 0.4:
        kept = [w.lower() for w in kept]
    return " ".join(kept)


def _chinese_told(rng: np.random.Generator, sentence: str) -> str:
    """A clause or two, with a question word in the place of a number or of a few characters."""
    clauses = [c for c in re.split(r"[，。；：！？、“”《》（）,;:\s]+", sentence) if len(c) > 3]
    if not clauses:
        return sentence
    first = int(rng.integers(len(clauses)))
    told = "".join(clauses[first : first + int(rng.integers(1, 3))])[:40]
    if rng.random() < 0.7:
        if number := re.search(r"\d+|[一二三四五六七八九十百千万]{2,}", told):
            told = told[: number.start()] + "多少" + told[number.end() :]
        else:
            at, size = int(rng.integers(len(told))), int(rng.integers(2, 5))
            asking = CHINESE_ASKING[int(rng.integers(len(CHINESE_ASKING)))]
            told = told[:at] + asking + told[at + size :]
    return told


def inflected(word: str) -> str:
    """The word in another form: singular for plural, present for past, and the other way."""
    low = word.lower()
    if not re.fullmatch(r"[A-Za-z]{4,}", word) or word.isupper() or low in FUNCTION_WORDS:
        return word
    for ending, other in (("ies", "y"), ("ied", "y"), ("sses", "ss"), ("ss", "sses")):
        if low.endswith(ending):
            return word[: -len(ending)] + other
    if low.endswith("s") and low[-2] not in "iu":
        return word[:-1]
    if low.endswith("ing") and len(word) > 6:
        return word[:-3] + "ed"
    if low.endswith("ed") and len(word) > 5:
        return word[:-2] + "ing"
    if low.endswith("y") and low[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if low.endswith(("ch", "sh", "x", "z")) else "s")
