# SPDX-License-Identifier: Apache-2.0
"""Facts to hide in a text and the questions about them: who has what, in English and Chinese.

Names and words are split once, by hash, into those of training and those kept for evaluation;
wordings are split by list. A fact's value is random, so no model can know it.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from pollux.tokenizer import Tokenizer

Picked = TypeVar("Picked")

ADJECTIVES = (
    "special secret hidden favourite old new official lucky private last first magic true main "
    "spare sacred"
).split()
NOUNS = (
    "number code password word name colour address price date animal fruit key token phrase city "
    "answer room score nickname title symbol weight height tool motto rank size signal dish song "
    "badge locker prize street seed"
).split()
PHRASES = (
    "the {a} for {k}",
    "the {a} of {k}",
    "{k}'s {a}",
    "the {a} in {k}",
    "the {a} at {k}",
    "the {a} that belongs to {k}",
    "the {k} {a}",
)
STATEMENTS = (
    "{p} is {v}.",
    "{p} is: {v}.",
    "{p}: {v}.",
    "{p} was {v}.",
    "{p} = {v}",
    "Note that {p} is {v}.",
    "Remember: {p} is {v}.",
    "It is well known that {p} is {v}.",
    "In fact {p} happens to be {v}.",
    "{p} has been set to {v}.",
    "They agreed that {p} would be {v}.",
    "As for {p}, it is {v}.",
    "They say {p} is now {v}, and nobody minds.",
    "{p} remains {v} to this day.",
    "He wrote down {p}: {v}.",
    "I can tell you that {p} is “{v}”.",
    '{p} is "{v}".',
    "{p} -> {v}",
    "{p} equals {v}.",
    "For {p} we chose {v}.",
    "If anybody wants {p}, it is {v}.",
    "{p} turned out to be {v} after all.",
    "She gave {p} as {v}, and went out.",
    "Until last year {p} had always been {v}.",
    "{p}, they told me, is {v}.",
    "Ask for {p} and you will hear {v}.",
    "When I looked for {p} I found {v}.",
    "{p} ({v})",
    "The list has {p} down as {v}.",
    "Nobody doubted that {p} must be {v}.",
    "| {p} | {v} |",
    "{p} can only be {v}.",
    "Everybody here knows {p} by heart: {v}.",
    "Please keep {p} to yourself; it is {v}.",
)
UNSEEN_STATEMENTS = (  # evaluation only
    "Whoever asks about {p} should be told {v}.",
    "You will be asked for {p}; reply with {v}.",
    "On the card, under {p}, somebody had printed {v}.",
    "If memory serves, {p} ought to be {v}.",
    "We finally settled on {p} being {v}.",
    "According to the register, {p} reads {v}.",
)
QUESTIONS = (
    "What is {p}?",
    "What was {p}?",
    "Tell me {p}.",
    "{p}?",
    "Please give me {p}.",
    "Do you know {p}?",
    "Find {p}.",
    "I need {p}.",
    "Look up {p}.",
    "According to the text, what is {p}?",
    "Can you find {p} in the document?",
    "What does it say about {p}?",
    "what is {p}",
    "Which is {p}?",
)
AFTERWARDS = (
    "Answer briefly.",
    "Use only the text.",
    "Do not make anything up.",
    "Don't give information outside the document or repeat your findings",
    "Don't give information outside the document or repeat your findings\n\n"
    "Here is the magic number from the context:",
    "Just the answer, please.",
    "Think carefully.",
)
CHINESE_NOUNS = (
    "密码 数字 暗号 名字 颜色 地址 价格 编号 口令 代码 绰号 房间 答案 电话 座右铭".split()
)
CHINESE_ADJECTIVES = ["", "秘密", "神奇", "特别", "新", "旧", "最后的", "隐藏的"]
CHINESE_STATEMENTS = (
    "{p}是{v}。",
    "{p}为{v}。",
    "{p}：{v}。",
    "请记住，{p}是{v}。",
    "据说{p}就是{v}。",
    "{p}定为{v}。",
)
CHINESE_QUESTIONS = (
    "{p}是什么？",
    "{p}是多少？",
    "请问{p}是什么？",
    "告诉我{p}。",
    "文中{p}是什么？",
    "{p}？",
    "查一下{p}。",
)
JOINED = (
    (" and ", " and "),
    (", ", " and "),
    (", ", ", and "),
    ("; ", "; "),
    (", ", " as well as "),
)
CHINESE_JOINED = (("和", "和"), ("、", "和"), ("，", "，"), ("、", "以及"), ("、", "、"))
HEX = "0123456789abcdef"
IDENTIFIERS = 0.2  # of owners and of values
ABBREVIATIONS = 0.3  # of what things have
SIGNS = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789-"


@dataclass(frozen=True)
class Fact:
    """Phrase p names what is asked for; the answer restates it.

    `kind`: "one"; "values", of a phrase stated more than once; "step", an assignment of a chain.
    """

    owner: str
    attribute: str
    phrase: str
    value: str
    chinese: bool = False
    kind: str = "one"

    def stated(self, statement: str) -> str:
        text = statement.format(p=self.phrase, v=self.value)
        return text if statement.startswith("{p}") and not self.general else capital(text)

    @property
    def general(self) -> bool:
        """Begins with an article, not with a word that must be found as it is written."""
        return self.phrase.startswith("the ")

    @property
    def restated(self) -> str:
        """The phrase as an answer begins with it."""
        return capital(self.phrase) if self.general else self.phrase


def capital(text: str) -> str:
    return text[0].upper() + text[1:]


def kept_for_evaluation(word: str) -> bool:
    return zlib.crc32(word.lower().encode()) % 6 == 0


def words(text: str, chinese: bool = False) -> list[str]:
    """The different words of a text, sorted: Latin ones of 4 to 10 letters, or Han pairs."""
    found = set(re.findall(r"[\u4e00-\u9fff]{2}" if chinese else r"\b[A-Za-z]{4,10}\b", text))
    return sorted(found)


class Vocabulary:
    """Words to make facts from, either those for training or those kept for evaluation."""

    def __init__(
        self, tokenizer: Tokenizer, english: list[str], chinese: list[str], evaluation: bool
    ):
        english = [w for w in english if kept_for_evaluation(w) == evaluation]
        self.tokenizer, self.evaluation = tokenizer, evaluation
        self.lower = [w for w in english if w.islower()]
        self.names = [w for w in english if w[0].isupper() and w[1:].islower()]
        self.chinese = [w for w in chinese if kept_for_evaluation(w) == evaluation]

    def pick(self, rng: np.random.Generator, options: Sequence[Picked]) -> Picked:
        return options[int(rng.integers(len(options)))]

    def digits(self, rng: np.random.Generator, count: int) -> str:
        return "".join(map(str, rng.integers(0, 10, count)))

    def owner(self, rng: np.random.Generator, chinese: bool = False) -> str:
        if chinese:
            first = self.pick(rng, self.chinese)
            return first + (self.pick(rng, self.chinese) if rng.random() < 0.4 else "")
        if not self.evaluation and rng.random() < IDENTIFIERS:
            return self.identifier(rng)
        match rng.integers(8):
            case 0 | 1 | 2:
                return self.pick(rng, self.names)
            case 3:
                return f"{self.pick(rng, self.names)} {self.pick(rng, self.names)}"
            case 4 | 5:
                return self.pick(rng, self.lower)
            case 6:
                return f"{self.pick(rng, self.lower)} {self.digits(rng, int(rng.integers(1, 5)))}"
            case _:
                return f"{self.pick(rng, self.lower)}-{self.pick(rng, self.lower)}"

    def value(self, rng: np.random.Generator, chinese: bool = False) -> str:
        if not self.evaluation and rng.random() < IDENTIFIERS:
            return self.identifier(rng)
        match rng.integers(10):
            case 0 | 1 | 2 | 3 | 4:
                return self.digits(rng, int(rng.integers(3, 10)))
            case 5:
                return self.pick(rng, self.chinese if chinese else self.lower)
            case 6:
                pool = self.chinese if chinese else self.lower + self.names
                several = [self.pick(rng, pool) for _ in range(int(rng.integers(2, 4)))]
                return ("" if chinese else " ").join(several)
            case 7:
                signs = rng.choice(list(SIGNS), int(rng.integers(4, 9)))
                return "".join(signs).strip("-") + "7"
            case _:
                ids = rng.integers(300, self.tokenizer.vocab_size, int(rng.integers(2, 6)))
                text = self.tokenizer.decode(ids).replace("\ufffd", "").replace("\n", " ")
                return text.strip(" .。,") or self.digits(rng, 5)

    def identifier(self, rng: np.random.Generator) -> str:
        """Long ones as machines give: groups of digits and letters."""
        sizes = rng.integers(3, 13, int(rng.integers(2, 6)))
        return "-".join("".join(rng.choice(list(HEX), size)) for size in sizes)

    def abbreviation(self, rng: np.random.Generator) -> str:
        """A few letters: no word, so a plural of it is other pieces from the first on."""
        letters = "".join(rng.choice([*"abcdefghijklmnopqrtuvwz"], int(rng.integers(2, 6))))
        return letters.upper() if rng.random() < 0.4 else letters

    def file_name(self, rng: np.random.Generator, endings: Sequence[str]) -> str:
        if rng.random() < 0.3:
            stem = f"{self.pick(rng, ('IMG', 'clip', 'scan', 'file'))}_"
            stem += self.digits(rng, int(rng.integers(2, 5)))
        else:
            stem = self.pick(rng, self.lower)
        return f"{stem}.{self.pick(rng, endings)}"

    def attribute(self, rng: np.random.Generator, chinese: bool = False) -> str:
        if chinese:
            return self.pick(rng, CHINESE_ADJECTIVES) + self.pick(rng, CHINESE_NOUNS)
        noun = self.pick(rng, NOUNS if rng.random() < 0.7 else self.lower)
        if not self.evaluation and rng.random() < ABBREVIATIONS:
            noun = self.abbreviation(rng)
        if rng.random() < 0.3:
            return noun
        return f"{self.pick(rng, ADJECTIVES if rng.random() < 0.7 else self.lower)} {noun}"

    def fact(self, rng: np.random.Generator, chinese: bool = False) -> Fact:
        owner, attribute = self.owner(rng, chinese), self.attribute(rng, chinese)
        phrase = self.phrase(rng, owner, attribute, chinese)
        return Fact(owner, attribute, phrase, self.value(rng, chinese), chinese)

    def loose_statement(self, rng: np.random.Generator, text: str) -> str:
        """A wording of words picked from `text`: the phrase, a few words, the value."""
        found = re.findall(r"[A-Za-z]+,?", text)

        def some(low: int, high: int) -> str:
            start = int(rng.integers(max(1, len(found) - high)))
            size = int(rng.integers(low, high + 1))
            return " ".join(found[start : start + size])

        return f"{some(0, 5)} {{p}} {some(1, 6)} {{v}} {some(0, 4)}".strip() + "."

    def phrase(self, rng: np.random.Generator, owner: str, attribute: str, chinese: bool) -> str:
        if chinese:
            return f"{owner}的{attribute}"
        if rng.random() < 0.2 and " " in attribute:  # "the special magic Paris number"
            first, last = attribute.split(" ", 1)
            return f"the {first} {self.pick(rng, ADJECTIVES)} {owner} {last}"
        if rng.random() < 0.06:
            return f"the {attribute}"
        return self.pick(rng, PHRASES).format(a=attribute, k=owner)

    def near(self, rng: np.random.Generator, fact: Fact) -> Fact:
        """Almost the same: another owner in the phrase, or another attribute; another value."""
        near = fact
        while near.phrase == fact.phrase:
            near = self._varied(rng, fact)
        return near

    def _varied(self, rng: np.random.Generator, fact: Fact) -> Fact:
        owner, attribute = fact.owner, fact.attribute
        if fact.owner not in fact.phrase or rng.random() < 0.25:
            attribute = self.attribute(rng, fact.chinese)
            phrase = fact.phrase.replace(fact.attribute, attribute)
            if phrase == fact.phrase:
                phrase = self.phrase(rng, owner, attribute, fact.chinese)
        else:
            owner = self._similar(rng, owner, fact.chinese)
            phrase = fact.phrase.replace(fact.owner, owner)
        value = self.value(rng, fact.chinese)
        return replace(
            fact, owner=owner, attribute=attribute, phrase=phrase, value=value, kind="one"
        )

    def _similar(self, rng: np.random.Generator, owner: str, chinese: bool) -> str:
        pieces = owner.split(" ")
        if len(pieces) > 1 and rng.random() < 0.7:
            at = int(rng.integers(len(pieces)))
            digits = len(pieces[at]) if pieces[at].isdigit() else 0
            pieces[at] = self.digits(rng, digits) if digits else self.pick(rng, self.names)
            return " ".join(pieces)
        return self.owner(rng, chinese)
