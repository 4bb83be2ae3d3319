# SPDX-License-Identifier: Apache-2.0
"""What is written on pictures and films, as the speller writes it down, and questions about it.

A line for each picture, behind its name; of a film a line for each second at which other writing
appears, behind its time (engine/spotting.py). Letters are misread now and then, as they are there.
"""

from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import NamedTuple

import numpy as np

from pollux import prompt
from pollux.data import senses, skills, wording
from pollux.data.answers import Answer
from pollux.data.skills import Document, Kit, Stated
from pollux.media.piece import clock
from pollux.prompt import BREAK, ON

GENRE = "writing"
ENDS = "png", "jpg", "webp", "jpeg", "gif"
FILM_ENDS = "mp4", "mkv", "webm", "mov"
STATED = 0.3  # of the lines are facts
SEVERAL = 0.25  # of the lines are of two
MISREAD = 0.4, 0.04  # share of the documents with letters misread, and of their letters at most
LONGEST_PAUSE = 200  # seconds between writing in a film


class Line(NamedTuple):
    """What is written on a picture or at a time: tokens [start, end) are that, then `text`."""

    head: str  # the picture's name or the time
    text: str
    start: int
    after: int  # behind the head
    end: int  # the end of the line


@dataclass
class Written(Document):
    """An album of pictures, or a film."""

    film: bool = False
    lines: list[Line] = field(default_factory=list)


def document(kit: Kit, rng: np.random.Generator, size: int) -> Written:
    """At most `size` tokens."""
    film, encode = rng.random() < 0.5, kit.tokenizer.encode
    misread = rng.uniform(0, MISREAD[1]) if rng.random() < MISREAD[0] else 0.0
    out, stated, lines = [], [], []
    at, second = 0, int(rng.integers(3_000))
    used: set[str] = set()
    if film:
        out.append(prompt.part_header(kit.tokenizer, kit.vocabulary.file_name(rng, FILM_ENDS)))
        at = len(out[0])
    while True:
        head = clock(float(second))
        before = encode(head)
        if not film:
            head = kit.vocabulary.file_name(rng, ENDS)
            header = prompt.part_header(kit.tokenizer, head)
            before = np.concatenate([header, encode(ON + head)])
        text, fact = _text(kit, rng)
        text = _misread(rng, text, misread)
        body = encode((" " if film else ": ") + text + "\n")
        if at + len(before) + len(body) > size:
            break
        second += int(rng.integers(1, LONGEST_PAUSE))
        if head in used:
            continue
        used.add(head)
        out += [before, body]
        begin = at + len(before)
        at = begin + len(body)
        lines.append(Line(head, text, begin - len(before), begin, at - 1))
        if fact and (place := _stated(kit, fact, text, body, begin, film)):
            stated.append(place)
    tokens = np.concatenate(out) if out else encode("\n")
    return Written(GENRE, tokens, stated, film, lines)


def _text(kit: Kit, rng: np.random.Generator):
    """Of one picture, and the fact that it states, if it does."""
    if rng.random() < STATED:
        fact = kit.vocabulary.fact(rng)
        return fact.stated(wording.statement(rng)), fact
    several = 2 if rng.random() < SEVERAL else 1
    return BREAK.join(_words(kit, rng) for _ in range(several)), None


def _words(kit: Kit, rng: np.random.Generator) -> str:
    known = kit.vocabulary
    kind = rng.random()
    if kind < 0.15:
        return known.digits(rng, int(rng.integers(2, 9)))
    if kind < 0.25:
        return "".join(rng.choice([*ascii_lowercase], int(rng.integers(3, 12))))
    some = [known.pick(rng, known.lower) for _ in range(int(rng.integers(1, 7)))]
    text = " ".join(some)
    return text.upper() if kind < 0.4 else text.title() if kind < 0.6 else text


def _misread(rng: np.random.Generator, text: str, share: float) -> str:
    other = rng.choice([*ascii_lowercase], len(text))
    wrong = rng.random(len(text)) < share
    return "".join(
        o if w and c.isalpha() else c for c, o, w in zip(text, other, wrong, strict=True)
    )


def _stated(kit: Kit, fact, text: str, body: np.ndarray, begin: int, film: bool) -> Stated | None:
    """None where the phrase was misread."""
    stem = fact.phrase[1:]
    if stem not in text:
        return None
    said = (" " if film else ": ") + text[: text.index(stem) + len(stem)]
    after = begin + skills.tokens_of(kit, body, said)
    return Stated(fact, begin, after, begin + len(body) - 1)


def question(kit: Kit, rng: np.random.Generator, doc: Written):
    """What is written there, or when or where that is; None where the line does not lend itself."""
    line = doc.lines[int(rng.integers(len(doc.lines)))] if doc.lines else None
    if line is None:
        return None
    kind = rng.random()
    if kind < 0.5:
        return _told(kit, rng, doc, line)
    nowhere = kind > 0.9
    text = _words(kit, rng) if nowhere else line.text
    count = sum(text.lower() in one.text.lower() for one in doc.lines)
    if count != (not nowhere) or len(text) > 60:
        return None
    options = senses.WHEN_WRITTEN if doc.film else senses.WHERE["written"]
    asked = kit.vocabulary.pick(rng, options).format(t=text)
    said = kit.tokenizer.encode(" " + text)
    if nowhere:
        return skills.asked(kit, asked, skills.not_there(kit, said))
    pointer = kit.control("<time>" if doc.film else "<place>")
    answer = Answer(passage=(line.start, line.end)).add(said)
    answer.add([pointer], (line.end, line.end + 1)).add([kit.control("<end>")])
    return skills.asked(kit, asked, answer)


def _told(kit: Kit, rng: np.random.Generator, doc: Written, line: Line):
    """The name or the time again, then the line."""
    options = senses.AT["written"] if doc.film else senses.READ
    text = kit.vocabulary.pick(rng, options).format(n=line.head, t=line.head)
    answer = Answer(passage=(line.start, line.end)).add(kit.tokenizer.encode(" " + line.head))
    for at in range(line.after, line.end):
        answer.add([doc.tokens[at]], (at, at + 1))
    return skills.asked(kit, text, answer.add([kit.control("<end>")], (line.end, line.end + 1)))
