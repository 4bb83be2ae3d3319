# SPDX-License-Identifier: Apache-2.0
"""Made-up languages: their sounds, words and order, and texts that teach them.

A language is drawn: which sounds make words, what stands first, how plural, past, future and
possession are marked. A lesson says it in plain English, lists words and gives examples, each
with its pattern (`the A B the C = B A C`). Every word of a translation can be looked up in it.

Languages kept for evaluation have word orders and syllables that training never sees, and other
words.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from pollux import prompt
from pollux.data.skills import Document, Kit
from pollux.tokenizer import Tokenizer

CLAUSES = ("SVO", "SOV", "VSO", "OVS")
HELD_OUT_CLAUSES = ("VOS", "OSV")  # evaluation only
SYLLABLES = ("CV", "CVC", "V", "VC")
HELD_OUT_SYLLABLES = ("CLV", "CVV", "CLVC")  # evaluation only
SOUNDS = {"C": "bdfghjkmnpstvxz", "L": "lrwy", "V": "aeiou"}
MARKERS = ("the", "of", "will")  # words of English that only mark; all others have a meaning
LETTERS = "ABCDEFGHIJ"  # stand for the words with a meaning, in the order of the English sentence
NOUNS = (
    "farmer teacher lamp dog house river garden window letter market stone bird tree boat king "
    "queen sailor hunter baker singer goat horse cow bear lion hen basket bottle hammer ladder "
    "bucket candle blanket mirror drum flute bell kettle spoon needle ribbon carpet pillow pencil "
    "ticket lantern lemon melon carrot onion tent wagon tower temple castle barn fence gate "
    "mountain hill cloud island forest lake soldier doctor painter poet nurse cousin uncle rabbit "
    "turtle spider tiger camel eagle parrot sparrow apple rope coin crown sword shield helmet"
).split()
VERBS = (
    "watch help paint call follow visit clean lift push pull kick touch guard wash cook want fear "
    "miss greet warn scold obey trust fetch count load mend ask pick fold boil warm answer collect "
    "attack defend discover remember repair pass point reach turn join open wait walk jump shout"
).split()
ADJECTIVES = (
    "red green blue old small big tall short young happy sad quiet heavy strong weak rich poor "
    "cold dry sweet bitter proud kind angry gentle black white yellow brown grey round soft long "
    "thin thick hungry wet clever brave lazy"
).split()
NAMES = "Anna Bruno Clara David Edith Felix Greta Henry Irene Jonas Laura Martin Nora Oskar".split()
SUBJECTS = {"noun": 4.0, "quality": 3.0, "owned": 1.5, "name": 2.0}
OBJECTS = {"noun": 4.0, "none": 2.5, "quality": 3.0, "owned": 1.5}
ANY_WORDS = 0.3  # of the lessons teach words of the books, whatever their kind
LEAST_STEMS = 10
EXAMPLE = 50  # tokens, about


@dataclass(frozen=True, kw_only=True)
class Language:
    """How it orders words, and what each English word is in it: `words`, the markers included.

    `nouns`, `qualities`, `past` and `future` are English forms: what a sentence is made from.
    """

    name: str
    clause: str  # subject, verb and object, as in "SOV"
    quality_first: bool
    owner_first: bool
    future_first: bool
    article: str  # "before" or "after" the noun, or "none"
    plural: str  # an affix: "-lo" or "lo-"
    tense: str  # an affix, of the past
    words: dict[str, str]
    nouns: tuple[str, ...]
    qualities: tuple[str, ...]
    past: tuple[str, ...]
    future: tuple[str, ...]

    def translated(self, sentence: "Sentence") -> str:
        """What has no word, a name, stays as it is."""
        said = (sentence.words[i] for i in sentence.order)
        return " ".join(self.words.get(word, word) for word in said)


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """English words, and in which order their translations are said."""

    words: tuple[str, ...]
    order: tuple[int, ...]

    @property
    def english(self) -> str:
        return " ".join(self.words)

    @property
    def labels(self) -> tuple[str, ...]:
        """A letter for each word with a meaning; markers as they are."""
        letters = iter(LETTERS)
        return tuple(word if word in MARKERS else next(letters) for word in self.words)

    @property
    def shape(self) -> str:
        return " ".join(self.labels)

    @property
    def pattern(self) -> str:
        return f"{self.shape} = {' '.join(self.labels[i] for i in self.order)}"


@dataclass(kw_only=True)
class Lesson(Document):
    """A text that teaches a language, and where the lines are that a translation needs.

    `words`, `meanings`, `patterns`: from an English word, a word, a shape to the token range of
    what stands behind its "=", the end of the line included.
    """

    text: str
    language: Language
    examples: tuple[Sentence, ...]
    words: dict[str, tuple[int, int]] = field(default_factory=dict)
    meanings: dict[str, tuple[int, int]] = field(default_factory=dict)
    patterns: dict[str, tuple[int, int]] = field(default_factory=dict)


def language(
    rng: np.random.Generator,
    stems: int,
    *,
    evaluation: bool = False,
    english: Sequence[str] = (),
) -> Language:
    """A language with so many stems, for nouns, verbs and qualities in all.

    Their meanings are everyday words, or any of `english`.
    """
    coin = _mint(rng, evaluation)
    plural, tense = _affix(rng, coin), _affix(rng, coin)
    nouns, verbs, qualities = _stems(rng, max(stems, LEAST_STEMS), english)
    words = {word: coin(2, str)[0] for word in MARKERS}
    article = _pick(rng, ("none", "before", "after"))
    if article == "none":
        del words["the"]
    for stem in nouns:
        words[stem], words[stem + "s"] = coin(3, _with(plural))
    for stem in verbs:
        words[stem], words[past(stem)] = coin(3, _with(tense))
    words |= {stem: coin(3, str)[0] for stem in qualities}
    return Language(
        name=coin(4, str)[0].capitalize(),
        clause=_pick(rng, HELD_OUT_CLAUSES if evaluation else CLAUSES),
        quality_first=rng.random() < 0.5,
        owner_first=rng.random() < 0.5,
        future_first=rng.random() < 0.5,
        article=article,
        plural=plural,
        tense=tense,
        words=words,
        nouns=tuple(form for stem in nouns for form in (stem, stem + "s")),
        qualities=tuple(qualities),
        past=tuple(map(past, verbs)),
        future=tuple(verbs),
    )


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def past(verb: str) -> str:
    return verb + "ed"


def _stems(
    rng: np.random.Generator, count: int, english: Sequence[str]
) -> tuple[list[str], list[str], list[str]]:
    """Nouns, verbs and qualities, 5 to 3 to 2."""
    if not english:
        nouns, verbs, qualities = (
            rng.permutation(pool)[: count * share // 10].tolist()
            for pool, share in zip((NOUNS, VERBS, ADJECTIVES), (5, 3, 2), strict=True)
        )
        return nouns, verbs, qualities
    some = rng.choice(len(english), min(4 * count, len(english)), replace=False)
    stems: list[str] = []
    forms = {*MARKERS}
    for stem in (english[i].lower() for i in some):
        mine = {stem, stem + "s", past(stem)}
        if not mine & forms:
            stems, forms = [*stems, stem], forms | mine
    stems = stems[:count]
    first, second = len(stems) // 2, len(stems) * 8 // 10
    return stems[:first], stems[first:second], stems[second:]


def kept_for_evaluation(word: str) -> bool:
    """Not by CRC as for words of English: it would split a stem and its forms alike or never."""
    return hashlib.sha256(word.encode()).digest()[0] % 6 == 0


Forms = Callable[[str], str]
Coin = Callable[[int, Forms], tuple[str, str]]


def _mint(rng: np.random.Generator, evaluation: bool) -> Coin:
    """(letters at least, a form of the word) -> a new word and that form of it.

    All of a language's words are made of its few sounds, are different, and are on one side of
    the split.
    """
    sounds = {k: rng.permutation(list(of))[: len(of) * 2 // 3].tolist() for k, of in SOUNDS.items()}
    shapes = rng.permutation(HELD_OUT_SYLLABLES if evaluation else SYLLABLES)[:2]
    kinds = [["".join(s) for s in product(*(sounds[k] for k in shape))] for shape in shapes]
    taken = {*NOUNS, *VERBS, *ADJECTIVES, *MARKERS}

    def coin(letters: int, form: Forms) -> tuple[str, str]:
        while True:
            drawn = rng.random((letters + 2, 2)).tolist()
            size, word = letters + int(rng.integers(0, 3)), ""
            for kind, which in drawn:
                if len(word) < size:
                    syllables = kinds[int(2 * kind)]
                    word += syllables[int(which * len(syllables))]
            both = {word, form(word)}
            mine = all(kept_for_evaluation(one) == evaluation for one in both)
            if mine and not both & taken:
                taken.update(both)
                return word, form(word)

    return coin


def _affix(rng: np.random.Generator, coin: Coin) -> str:
    made, _ = coin(1, str)
    return f"{made}-" if rng.random() < 0.4 else f"-{made}"


def _with(affix: str) -> Forms:
    def form(stem: str) -> str:
        return affix[:-1] + stem if affix.endswith("-") else stem + affix[1:]

    return form


def sentence(rng: np.random.Generator, taught: Language, names: Sequence[str] = NAMES) -> Sentence:
    """Somebody does, did or will do something, mostly to somebody."""
    subject = _phrase(rng, taught, SUBJECTS, names)
    will = rng.random() < 0.4
    verb = ("will", _pick(rng, taught.future)) if will else (_pick(rng, taught.past),)
    future = (0, 1) if taught.future_first else (1, 0)
    parts = {
        "S": subject,
        "V": (verb, future if will else (0,)),
        "O": _phrase(rng, taught, OBJECTS, names),
    }
    start = {"S": 0, "V": len(subject[0]), "O": len(subject[0]) + len(verb)}
    words = tuple(word for part in "SVO" for word in parts[part][0])
    order = tuple(start[part] + i for part in taught.clause for i in parts[part][1])
    return Sentence(words=words, order=order)


def _phrase(
    rng: np.random.Generator, taught: Language, kinds: dict[str, float], names: Sequence[str]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """English words, and the order of their translations."""
    shares = np.array([*kinds.values()])
    kind = [*kinds][int(rng.choice(len(shares), p=shares / shares.sum()))]
    if kind == "none":
        return (), ()
    if kind == "name":
        return (_pick(rng, names),), (0,)
    noun = _pick(rng, taught.nouns)
    if kind == "quality":
        core = (1, 2) if taught.quality_first else (2, 1)
        return ("the", _pick(rng, taught.qualities), noun), _with_article(taught, 0, core)
    if kind == "owned":
        owner = _with_article(taught, 3, (4,))
        thing = _with_article(taught, 0, (1,))
        order = (*owner, 2, *thing) if taught.owner_first else (*thing, 2, *owner)
        return ("the", noun, "of", "the", _pick(rng, taught.nouns)), order
    return ("the", noun), _with_article(taught, 0, (1,))


def _with_article(taught: Language, at: int, core: tuple[int, ...]) -> tuple[int, ...]:
    ways = {"none": core, "before": (at, *core), "after": (*core, at)}
    return ways[taught.article]


PARTS = {"S": "the subject", "V": "the verb", "O": "the object"}


def rules(taught: Language) -> list[str]:
    """The grammar in plain English."""
    name, place = taught.name, ("before", "after")
    first, second, third = (PARTS[part] for part in taught.clause)
    article = (
        f"{name} has no word for the."
        if taught.article == "none"
        else f"The article {taught.words['the']} stands {taught.article} its noun phrase."
    )
    return [
        f"In a sentence of {name} {first} comes first, then {second}, then {third}.",
        article,
        f"An adjective stands {place[not taught.quality_first]} its noun.",
        f"The plural of a noun has the {_kind(taught.plural)} {taught.plural}, "
        f"the past of a verb the {_kind(taught.tense)} {taught.tense}.",
        f"For the future {taught.words['will']} stands {place[not taught.future_first]} the verb.",
        f"An owner stands {place[not taught.owner_first]} what is owned, "
        f"with {taught.words['of']} between them.",
        "Names stay as they are.",
    ]


def _kind(affix: str) -> str:
    return "prefix" if affix.endswith("-") else "suffix"


def teach(
    tokenizer: Tokenizer,
    taught: Language,
    examples: Sequence[Sentence],
    *,
    forward: bool = True,
    backward: bool = True,
    title: str = "",
) -> Lesson:
    """Rules, word lists from and to English, and examples, in a part of its own."""
    lines: list[str] = [f"# {taught.name}", "", *rules(taught), ""]
    entries: list[tuple[int, str, str]] = []  # line number, which list, what stands before "="

    def listed(kind: str, left: str, right: str) -> None:
        entries.append((len(lines), kind, left))
        lines.append(f"- {left} = {right}")

    if forward:
        lines.append("## Words")
        for english, word in taught.words.items():
            listed("words", english, word)
    if backward:
        lines.append("## Meanings")
        for english, word in taught.words.items():
            listed("meanings", word, english)
    lines += ["## Examples"] if examples else []
    for one in examples:
        lines.append(f"English: {one.english}")
        left, right = one.pattern.split(" = ")
        listed("patterns", left, right)
        lines.append(f"{taught.name}: {taught.translated(one)}")
    header = prompt.part_header(tokenizer, title or f"{taught.name.lower()}.txt")
    pieces = [header, *(tokenizer.encode(line + "\n") for line in lines)]
    ends = np.cumsum([len(piece) for piece in pieces])
    lesson = Lesson(
        genre="languages",
        tokens=np.concatenate(pieces).astype(np.int64),
        text="\n".join(lines) + "\n",
        language=taught,
        examples=tuple(examples),
    )
    for number, kind, left in entries:
        begin = int(ends[number]) + len(tokenizer.encode(f"- {left} ="))
        getattr(lesson, kind).setdefault(left, (begin, int(ends[number + 1])))
    return lesson


def lesson(kit: Kit, rng: np.random.Generator, size: int) -> Lesson:
    """About `size` tokens for training: a new language, examples of different shapes."""
    any_words = rng.random() < ANY_WORDS and len(kit.vocabulary.lower) > LEAST_STEMS
    forward, backward = ((True, True), (True, False), (False, True))[
        int(rng.choice(3, p=[0.4, 0.4, 0.2]))
    ]
    sample = rng.uniform(0.25, 0.55) if forward else 0.0  # of the tokens are examples
    room = size - 150  # what the rules take
    # A line of a list has about 10 tokens; eight stems of ten have two forms.
    stems = int(room * (1 - sample) / (10 * 1.8 * (forward + backward)))
    most = len(kit.vocabulary.lower) if any_words else len(NOUNS) * 2
    taught = language(
        rng, min(stems, most), english=kit.vocabulary.lower if any_words else (), evaluation=False
    )
    shown: dict[str, Sentence] = {}
    for _ in range(3 * int(room * sample / EXAMPLE)):
        one = sentence(rng, taught)
        if len(shown) < room * sample / EXAMPLE:
            shown.setdefault(one.shape, one)
    return teach(kit.tokenizer, taught, tuple(shown.values()), forward=forward, backward=backward)
