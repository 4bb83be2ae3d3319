# SPDX-License-Identifier: Apache-2.0
"""Drawing as training examples: "Draw a red apple", and the image codes of one.

An answer restates what is to be drawn; then come `<begin_image>`, the codes, `<end_image>`. Several
things, or the steps to one, are lines of text with a picture after each. Wordings of an evaluation
are those of held_out.py.
"""

from collections.abc import Iterable, Sequence
from typing import SupportsInt

import numpy as np

from pollux import prompt
from pollux.data import skills
from pollux.data.answers import Answer
from pollux.data.drawn import STYLES, Ids
from pollux.data.facts import capital
from pollux.data.skills import Document, Kit
from pollux.data.wording import pick
from pollux.errors import RecipeError

GENRE = "drawing"
LITTLE = 100  # tokens of the document beside the questions, at most: drawing does not need it
MOST = 3  # things in one question
STEPWISE = 0.2  # of the questions are for the steps to one thing,
LISTED = 0.15  # and these for several things
STYLED = 0.3  # of the drawings are wanted in a style
OPENINGS = (
    *[""] * 10,
    *("please ", "can you ", "could you ", "now ", "okay, ", "hey, ", "hi! ", "I want you to "),
)
WISHES = (
    *("draw {n}", "draw {n}", "draw {n}", "draw me {n}", "paint {n}", "sketch {n}", "make {n}"),
    *("make a picture of {n}", "make me a drawing of {n}", "create an image of {n}"),
    *("draw a picture of {n}", "draw an icon of {n}", "generate a picture of {n}"),
    *("show me {n}", "show me what {n} looks like", "show a picture of {n}", "paint me {n}"),
)
BARE = ("a picture of {n}", "an icon: {n}", "{n}, as a picture", "image: {n}", "a drawing of {n}")
CHINESE = ("画{n}", "请画{n}", "画一个{n}", "给我画一幅{n}", "用图画出{n}")
IN_STYLE = (
    *(" in the style of {s}", ", {s} style", " as {s} has it", " like {s} does", " ({s})"),
    " in {s} style",
)
BY_STEPS = (
    *(" step by step", ", step by step", " in steps", " and show the steps", " one step at a time"),
    *(" and show how it is done", ", stage by stage"),
)
ENDS = (".", ".", ".", "", "", "!", ", please.", " for me.", "?", " now.")


def document(kit: Kit, rng: np.random.Generator) -> Document:
    """A few lines of something: what is being read while a picture is wanted."""
    if kit.drawings is None:
        raise RecipeError("there is nothing to draw: the recipe has no picture, or no icons are")
    genre = pick(rng, [*kit.corpora, "random"])
    size = int(rng.integers(20, LITTLE))
    return Document(GENRE, skills.document(kit, rng, genre, size, []).tokens)


def question(kit: Kit, rng: np.random.Generator) -> tuple[np.ndarray, Answer]:
    """Tokens of a question and its answer."""
    drawings, choice = kit.drawings, rng.random()
    assert drawings is not None
    if choice < STEPWISE and drawings.stepwise:
        one = drawings.by_name[pick(rng, drawings.stepwise)][0]
        asked = wording(rng, named(rng, [one.name])[0], steps=True)
        return _example(kit, asked, [*one.steps, (one.name, one.ids)])
    number = int(rng.integers(2, MOST + 1)) if choice < STEPWISE + LISTED else 1
    wanted = [drawings.by_name[pick(rng, drawings.names)] for _ in range(number)]
    style, some = None, [several[0] for several in wanted]
    if number == 1 and rng.random() < STYLED:
        some = [wanted[0][int(rng.integers(len(wanted[0])))]]
        style = STYLES.get(some[0].style, some[0].style)
    asked = wording(rng, listed(rng, named(rng, [one.name for one in some])), style)
    return _example(kit, asked, [(one.name, one.ids) for one in some])


def wording(
    rng: np.random.Generator, what: str, style: str | None = None, steps: bool = False
) -> str:
    """A way to ask for it."""
    if style is None and not steps and rng.random() < 0.05:
        return pick(rng, CHINESE).format(n=what)
    bare = rng.random() < 0.1
    text = pick(rng, BARE) if bare else pick(rng, OPENINGS) + pick(rng, WISHES)
    text = text.format(n=what)
    if style is not None:
        text += pick(rng, IN_STYLE).format(s=style)
    if steps:
        text += pick(rng, BY_STEPS)
    text += pick(rng, ENDS)
    return text if rng.random() < 0.25 else capital(text)


def named(rng: np.random.Generator, names: Sequence[str]) -> list[str]:
    """With an article, most of the time."""
    form = rng.random()
    if form < 0.2:
        return [*names]
    return [f"the {name}" if form < 0.3 else with_article(name) for name in names]


def with_article(name: str) -> str:
    """`a red apple`, `an old key`; of several things none."""
    if name.endswith("s") and not name.endswith("ss"):
        return name
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def listed(rng: np.random.Generator, names: Sequence[str]) -> str:
    """One after another."""
    *before, last = names
    between = pick(rng, (" and ", ", then ", ", and then ", " and then ", ", ", "; "))
    return ", ".join(before) + between + last if before else last


def _example(
    kit: Kit, asked: str, pictures: Sequence[tuple[str, Ids]]
) -> tuple[np.ndarray, Answer]:
    """Of each picture a line of what it is, and the picture."""
    answer, encode = Answer(), kit.tokenizer.encode
    for number, (line, ids) in enumerate(pictures):
        if number:
            answer.add([kit.tokenizer.newline])
            answer.begins.add(len(answer.tokens))
        answer.add(encode(f" {line}"))
        answer.add([kit.control("<begin_image>"), *ids, kit.control("<end_image>")])
    return prompt.question(kit.tokenizer, asked), answer.add([kit.control("<end>")])


def ids_of(codes: Iterable[SupportsInt], vocab_size: int) -> Ids:
    """Of the codes of one picture: those of images follow those of text."""
    return tuple(vocab_size + int(code) for code in codes)
