# SPDX-License-Identifier: Apache-2.0
"""Simple tools and requests made by rule: everyday ones, and ones of any verb and any noun.

Tools, words and wordings are split like facts: what `held_out` and the vocabulary keep for
evaluation, training never meets.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pollux.calls import USER, Parameter, Tool, Turn, words
from pollux.data.errands import ERRANDS, NOUNS, SAME, VERBS, Errand
from pollux.data.facts import Vocabulary, capital, kept_for_evaluation
from pollux.data.requests import Request
from pollux.data.slots import SLOTS, Slot

FITS = 0.6  # of the examples
EVERYDAY = 0.55  # of the tools; the others are of any verb and noun
NAMED = 0.25  # of the values are said with their parameter's name, where there are other ways
TWICE = 0.2  # of the requests are for something else as well
JOINTS = (" and ", ", and ", ". ", ". ", ". Then ", " and then ", ". Also, ", ", also ")
SYNONYM = 0.4  # of the verbs that have one
ASKED = 0.3  # of what does not fit is an ordinary question
NEAR = 0.5  # of the rest shares a word with the tool
OPENERS = (
    "",
    "",
    "",
    "Please ",
    "Can you ",
    "Could you ",
    "I want to ",
    "I'd like to ",
    "I need to ",
    "Could you please ",
    "Hey, ",
    "Hi, can you ",
    "Help me ",
    "Go ahead and ",
    "Now ",
    "I would like you to ",
    "You should ",
    "Will you ",
    "Remember to ",
    "We want to ",
    "Be so good and ",
    "It would be nice to ",
    "Just ",
    "OK, ",
    "I am asking you to ",
)
UNSEEN_OPENERS = ("Would you kindly ", "It is time to ", "Do me a favour and ", "Let us ")
CLOSERS = ("", "", "", "", " please", " now", ", thanks", " for me", ", thank you")
NAMINGS = (
    "with {n} {v}",
    "with the {n} {v}",
    "{n}: {v}",
    "{n} {v}",
    "the {n} is {v}",
    "with {v} as the {n}",
    "using {v} as {n}",
    "set the {n} to {v}",
    "with a {n} of {v}",
    "make the {n} {v}",
    "make {v} the {n}",
    "I want {v} as the {n}",
    "{v} as {n}",
    "{v} is the {n}",
    "use {v} for {n}",
    "where the {n} is {v}",
    "({n} {v})",
    "{n} = {v}",
    "choose {v} as the {n}",
    "for the {n} choose {v}",
    "whose {n} is {v}",
    "and the {n} has to be {v}",
    "{v}, that is the {n},",
    "with {n} being {v}",
    "and {v} {n}",
    "the {n} must be {v}",
    "I would like {v} to be the {n}",
    "enter {v} under {n}",
    "of {n} {v}",
)
UNSEEN_NAMINGS = ("let the {n} be {v}", "its {n} should be {v}", "take {v} for the {n}")
DESCRIBED = (
    "{V} the {n}.",
    "{V} a {n}.",
    "Use this to {v} the {n}.",
    "{V} {n}",
    "Lets the user {v} a {n}.",
    "Call this when somebody wants to {v} the {n}.",
    "",
)
ARTICLES = ("the", "a", "my", "this", "our", "that", "the")
QUESTIONS = (
    "What is the {n} for {p}?",
    'Where does it say "{n}"?',
    'Quote the passage that begins "{n}"',
    "Tell me about the {n}.",
    "Who is {p}?",
    "What does {p} say of the {n}?",
)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A tool and a way of asking for it."""

    tool: Tool
    slots: tuple[Slot, ...]  # of its parameters, in turn
    asked: str


def request(rng: np.random.Generator, vocabulary: Vocabulary, questions: Sequence[str]) -> Request:
    """A request that the tool fits, or one that it does not."""
    wish = wanted(rng, vocabulary)
    if rng.random() < FITS:
        text, arguments = put(rng, vocabulary, wish)
        if rng.random() < TWICE:
            text = both(rng, vocabulary, text, _for_another(rng, vocabulary, wish))
        return Request(tool=wish.tool, turns=(_by_user(text),), arguments=arguments)
    if rng.random() < ASKED:
        text = question(rng, vocabulary, questions)
    else:
        text = _for_another(rng, vocabulary, wish)
        if rng.random() < TWICE:
            text = both(rng, vocabulary, text, _for_another(rng, vocabulary, wish))
    return Request(tool=wish.tool, turns=(_by_user(text),), arguments=None)


def _for_another(rng: np.random.Generator, vocabulary: Vocabulary, wish: Wish) -> str:
    return put(rng, vocabulary, other(rng, vocabulary, wish))[0]


def both(rng: np.random.Generator, vocabulary: Vocabulary, one: str, another: str) -> str:
    """Two wishes in one breath, in any order."""
    first, second = (one, another) if rng.random() < 0.5 else (another, one)
    joint = vocabulary.pick(rng, JOINTS)
    if not joint.startswith(".") and not second.startswith("I"):
        second = second[0].lower() + second[1:]
    return f"{first.rstrip('.?')}{joint}{second}"


def _by_user(text: str) -> Turn:
    return Turn(role=USER, text=text)


def wanted(rng: np.random.Generator, vocabulary: Vocabulary) -> Wish:
    if rng.random() < EVERYDAY:
        return everyday(rng, vocabulary, vocabulary.pick(rng, errands(vocabulary.evaluation)))
    return invented(rng, vocabulary, _verb(rng, vocabulary, 0.7), _noun(rng, vocabulary))


def _verb(rng: np.random.Generator, vocabulary: Vocabulary, usual: float) -> str:
    """A usual one, with that chance, or any word."""
    own = [word for word in VERBS if kept_for_evaluation(word) == vocabulary.evaluation]
    return vocabulary.pick(rng, own if rng.random() < usual else vocabulary.lower)


def _noun(rng: np.random.Generator, vocabulary: Vocabulary) -> str:
    own = [word for word in NOUNS if kept_for_evaluation(word) == vocabulary.evaluation]
    return vocabulary.pick(rng, own if rng.random() < 0.5 else vocabulary.lower)


def errands(evaluation: bool) -> list[Errand]:
    """Those of training, or those kept for evaluation."""
    return [one for one in ERRANDS if kept_for_evaluation(one.names[0]) == evaluation]


def everyday(rng: np.random.Generator, vocabulary: Vocabulary, errand: Errand) -> Wish:
    slots = [SLOTS[name] for name in errand.slots]
    return _wish(
        rng,
        vocabulary,
        name=vocabulary.pick(rng, errand.names),
        description=vocabulary.pick(rng, errand.descriptions),
        slots=slots,
        asked=vocabulary.pick(rng, errand.asked),
    )


def invented(rng: np.random.Generator, vocabulary: Vocabulary, verb: str, noun: str) -> Wish:
    """`verb_noun`, with up to three parameters of any kind."""
    slots: list[Slot] = []
    while len(slots) < rng.integers(4):
        one = vocabulary.pick(rng, [*SLOTS.values()])
        one = _of_any_name(rng, vocabulary) if rng.random() < 0.3 else one
        if not {word for s in slots for word in (*s.names, s.way)} & {*one.names, one.way}:
            slots.append(one)
    text = vocabulary.pick(rng, DESCRIBED).format(v=verb, V=capital(verb), n=noun)
    said = vocabulary.pick(rng, SAME[verb]) if verb in SAME and rng.random() < SYNONYM else verb
    asked = f"{said} {vocabulary.pick(rng, ARTICLES)} {noun}"
    name = f"{verb}_{noun}".replace(" ", "_")
    return _wish(rng, vocabulary, name, text, slots, asked)


def _of_any_name(rng: np.random.Generator, vocabulary: Vocabulary) -> Slot:
    name = "_".join(vocabulary.pick(rng, vocabulary.lower) for _ in range(rng.integers(1, 3)))

    def value(rng: np.random.Generator, vocabulary: Vocabulary) -> str:
        match rng.integers(3):
            case 0:
                return vocabulary.digits(rng, int(rng.integers(1, 5)))
            case 1:
                return vocabulary.pick(rng, vocabulary.names)
            case _:
                return vocabulary.pick(rng, vocabulary.lower)

    return Slot(names=(name,), explained=("", f"The {words(name)}"), value=value)


def _wish(
    rng: np.random.Generator,
    vocabulary: Vocabulary,
    name: str,
    description: str,
    slots: Sequence[Slot],
    asked: str,
) -> Wish:
    named = [replace(slot, names=(vocabulary.pick(rng, slot.names),)) for slot in slots]
    style = STYLES[int(rng.integers(len(STYLES)))]
    parameters = tuple(
        Parameter(
            name=style(slot.names[0]) if style is _camel else slot.names[0],
            kind=slot.kind,
            values=slot.values if slot.kind == "string" and rng.random() < 0.7 else (),
            description=vocabulary.pick(rng, slot.explained),
        )
        for slot in named
    )
    tool = Tool(name=style(name), description=description, parameters=parameters)
    return Wish(tool=tool, slots=tuple(named), asked=asked)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(capital, rest))


def _pascal(name: str) -> str:
    return "".join(map(capital, name.split("_")))


STYLES: tuple[Callable[[str], str], ...] = (
    str,
    str,
    str,
    _camel,
    _pascal,
    lambda name: name.replace("_", "-"),
    lambda name: name.replace("_", ".", 1),
)


def put(rng: np.random.Generator, vocabulary: Vocabulary, wish: Wish) -> tuple[str, dict[str, str]]:
    """The wish in a user's words, and the arguments it says; each is said mostly."""
    arguments: dict[str, str] = {}
    pieces: list[str] = []
    last = ""
    for slot, parameter in zip(wish.slots, wish.tool.parameters, strict=True):
        if rng.random() < 0.15:
            continue
        value = slot.value(rng, vocabulary)
        arguments[parameter.name] = value
        piece = _phrase(rng, vocabulary, slot, value)
        if slot.last and not last:
            last = " " + piece
        else:
            pieces.insert(int(rng.integers(len(pieces) + 1)), piece)
    openers = UNSEEN_OPENERS if vocabulary.evaluation and rng.random() < 0.3 else OPENERS
    opener, joint = vocabulary.pick(rng, openers), ", " if rng.random() < 0.2 else " "
    if pieces and not opener and rng.random() < 0.12:
        text = f"{pieces[0]}, {joint.join([wish.asked, *pieces[1:]])}{last}"
    else:
        text = opener + joint.join([wish.asked, *pieces]) + last
    text += "" if last else vocabulary.pick(rng, CLOSERS)
    end = "?" if opener.strip().startswith(("Can", "Could", "Would", "Hi")) else "."
    text += end if rng.random() < 0.7 and text[-1] not in '.?"' else ""
    return (capital(text) if rng.random() < 0.75 else text), arguments


def _phrase(rng: np.random.Generator, vocabulary: Vocabulary, slot: Slot, value: str) -> str:
    if slot.kind == "boolean":
        option = vocabulary.pick(rng, slot.said if value == "true" else slot.denied)
        return option.format(n=words(slot.names[0]))
    if not slot.said or rng.random() < NAMED:
        unseen = vocabulary.evaluation and rng.random() < 0.3
        naming = vocabulary.pick(rng, UNSEEN_NAMINGS if unseen else NAMINGS)
        return naming.format(n=words(slot.names[0]), v=value)
    return vocabulary.pick(rng, slot.said).format(v=value)


def other(rng: np.random.Generator, vocabulary: Vocabulary, wish: Wish) -> Wish:
    """A wish for something else, half of the time close by."""
    while True:
        found = _near(rng, vocabulary, wish) if rng.random() < NEAR else wanted(rng, vocabulary)
        if words(found.tool.name) != words(wish.tool.name) and not _same(found, wish):
            return found


def _same(one: Wish, another: Wish) -> bool:
    """Two of the same errand, under different names, or of verbs that mean the same."""
    names = [words(wish.tool.name).partition(" ") for wish in (one, another)]
    synonyms = [{verb, *SAME.get(verb, ())} for verb, _, _ in names]
    alike = names[0][2] == names[1][2] and synonyms[0] & synonyms[1]
    return bool(alike) or any({one.asked, another.asked} <= {*errand.asked} for errand in ERRANDS)


def _near(rng: np.random.Generator, vocabulary: Vocabulary, wish: Wish) -> Wish:
    """The same verb with another noun, or the other way round."""
    verb, _, noun = words(wish.tool.name).partition(" ")
    if rng.random() < 0.5:
        verb = _verb(rng, vocabulary, 1.0)
    else:
        noun = _noun(rng, vocabulary)
    return invented(rng, vocabulary, verb, noun or "thing")


def question(rng: np.random.Generator, vocabulary: Vocabulary, questions: Sequence[str]) -> str:
    """What a text is to answer, not a tool."""
    if rng.random() < 0.4:
        return vocabulary.pick(rng, questions)
    noun = vocabulary.pick(rng, vocabulary.lower)
    name = vocabulary.pick(rng, vocabulary.names)
    return vocabulary.pick(rng, QUESTIONS).format(n=noun, p=name)
