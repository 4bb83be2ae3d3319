# SPDX-License-Identifier: Apache-2.0
"""Recipes: everything a training run is, as data."""

import dataclasses
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pollux.config import (
    DRAW,
    HAND,
    PLACE,
    SENSES,
    SPARK,
    TINY,
    Caller,
    Config,
    Listener,
    Namer,
    Picture,
    Speller,
    Spotter,
)
from pollux.data.stage import Stage
from pollux.errors import RecipeError

LEAST_SIDE = 64  # pixels of a page
LEAST_WORDS = 192  # of questions: those of a dialogue
LEAST_TOKENS = 75  # of sound: three seconds, or no sentence has room


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How a run learns, and how often it is saved."""

    seed: int = 0
    learning_rate: float = 2e-3
    warmup_steps: int = 60
    decay_share: float = 0.35  # of all steps, at the end: the rate falls to a fiftieth, by a cosine
    weight_decay: float = 0.05  # of matrices
    gradient_norm: float = 1.0
    beta_2: float = 0.98
    checkpoint_seconds: float = 120.0


@dataclass(frozen=True, kw_only=True)
class Recipe(Pace):
    """What is trained, on what, and how. Steps are counted over all stages."""

    name: str
    config: Config
    stages: tuple[Stage, ...]
    balance_rate: float = 2e-3  # of the router's bias, a step
    look_weight: float = 0.5  # of the loss for where to look
    text_weight: float = 0.3  # of the loss for running text
    survey_weight: float = 0.3  # of the loss for the passage a question is about
    draw_weight: float = 0.3  # of the loss for image codes

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)


def _check_least(recipe: Pace, **least: int) -> None:
    """RecipeError where a setting is below its least."""
    for name, number in least.items():
        if getattr(recipe, name) < number:
            raise RecipeError(f"{name} {getattr(recipe, name)} must be {number} or more")


@dataclass(frozen=True, kw_only=True)
class Spotting(Pace):
    """A spotter: which letters stand where in a picture (train/spotter.py)."""

    name: str = "spotter"
    config: Spotter = Spotter()
    steps: int = 9_000
    pages: int = 4  # a step
    height: int = 192  # pixels
    width: int = 320
    warmup_steps: int = 100
    decay_share: float = 1.0
    weight_decay: float = 0.02

    def __post_init__(self):
        _check_least(self, steps=1, pages=1)
        for name in ("height", "width"):
            if getattr(self, name) % LEAST_SIDE or getattr(self, name) < LEAST_SIDE:
                raise RecipeError(f"{name} {getattr(self, name)} is no multiple of {LEAST_SIDE}")


@dataclass(frozen=True, kw_only=True)
class Spelling(Pace):
    """A speller: which letters a line of writing has (train/speller.py)."""

    name: str = "speller"
    config: Speller = Speller()
    steps: int = 12_000
    strips: int = 64  # a step
    width: int = 256  # pixels of a strip
    learning_rate: float = 2e-3
    warmup_steps: int = 200
    decay_share: float = 0.8
    weight_decay: float = 0.02

    def __post_init__(self):
        _check_least(self, steps=1, strips=1, width=LEAST_SIDE)
        if self.width % LEAST_SIDE:
            raise RecipeError(f"width {self.width} must be a multiple of {LEAST_SIDE}")


@dataclass(frozen=True, kw_only=True)
class Naming(Pace):
    """A namer: what is shown where in a picture (train/namer.py)."""

    name: str = "namer"
    config: Namer = Namer()  # the names are those of the icons
    steps: int = 14_500
    pages: int = 32  # a step
    side: int = 64  # pixels
    warmup_steps: int = 200
    decay_share: float = 0.9
    weight_decay: float = 0.1

    def __post_init__(self):
        _check_least(self, steps=1, pages=1, side=PLACE)
        if self.side % PLACE:
            raise RecipeError(f"side {self.side} must be a multiple of {PLACE}")


@dataclass(frozen=True, kw_only=True)
class Listening(Pace):
    """A listener: which letters are said when (train/listener.py)."""

    name: str = "listener"
    config: Listener = Listener()
    steps: int = 8_000
    rows: int = 20  # a step
    tokens: int = 75  # of sound a row, 40 ms each: much longer ones do not begin
    learning_rate: float = 1.5e-3
    warmup_steps: int = 200
    decay_share: float = 0.9
    weight_decay: float = 0.02

    def __post_init__(self):
        _check_least(self, steps=1, rows=1, tokens=LEAST_TOKENS)


@dataclass(frozen=True, kw_only=True)
class Calling(Pace):
    """A caller: which tool fits, and with which words (train/caller.py)."""

    name: str = "caller"
    config: Caller = Caller()
    steps: int = 8_000
    words: int = 4_096  # a step
    warmup_steps: int = 200
    decay_share: float = 0.8
    weight_decay: float = 0.02

    def __post_init__(self):
        _check_least(self, steps=1, words=LEAST_WORDS)


@dataclass(frozen=True, kw_only=True)
class PictureRecipe(Pace):
    """A hand alone, before a model draws with it: pictures as codes and back (train/picture.py)."""

    name: str = "picture"
    config: Picture = HAND
    steps: int = 2_000
    rows: int = 32  # pictures a step
    decay_share: float = 0.5
    weight_decay: float = 0.01
    edge_weight: float = 1.0  # of the loss for how neighbouring pixels differ

    def __post_init__(self):
        _check_least(self, steps=1, rows=1)


Alone = Spotting | Spelling | Naming | Listening | Calling
Run = Recipe | Alone | PictureRecipe
Kind = TypeVar("Kind", Recipe, Spotting, Spelling, Naming, Listening, Calling, PictureRecipe)

GENRES = {
    "books": 4.0,
    "chinese": 1.5,
    "documentation": 0.8,
    "transcripts": 1.5,
    "code": 1.5,
    "random": 0.7,
    "titles": 1.0,
    "contexts": 0.6,
    "definitions": 0.4,
    "talk": 0.6,
    "languages": 1.5,
    "writing": 1.5,
}
MEDIA = {"pictures": 5.0, "recording": 5.0, "film": 5.0}
SKILLS = {"find": 4.0, "absent": 2.5, "quote": 2.5, "point": 2.0, "other": 0.8, "passage": 2.0}
NEEDLES = {**SKILLS, "find": 8.0, "absent": 6.0, "quote": 4.0, "point": 3.0, "passage": 4.0}

SHORT = Stage(steps=1_600, rows=4, length=1_024, supervised=640, genres=GENRES, skills=SKILLS)
LONG = replace(
    SHORT,
    steps=1_400,
    rows=2,
    length=4_096,
    skills=NEEDLES,
    facts=(10, 40),
    distractors=0.6,
)
SENSED = (
    replace(SHORT, genres={**GENRES, **MEDIA}, patches=1_536, sounds=1_536),
    replace(LONG, genres={**GENRES, **MEDIA}, patches=3_072, sounds=3_072),
)
DRAWN = tuple(replace(s, genres={**s.genres, "drawing": 8.0}) for s in SENSED)

RECIPES = {
    r.name: r
    for r in (
        Recipe(name="spark", config=SPARK, stages=(SHORT, LONG)),
        Recipe(name="senses", config=SENSES, stages=SENSED),  # best from spark's weights
        Recipe(name="draw", config=DRAW, stages=DRAWN),  # from weights of senses; needs a hand
        Recipe(  # a minute or two, without data from elsewhere: code and random text only
            name="tiny",
            config=TINY,
            stages=(
                replace(
                    SHORT,
                    steps=300,
                    length=256,
                    supervised=256,
                    genres={"code": 1.0, "random": 1.0},
                    facts=(1, 3),
                ),
            ),
        ),
    )
}
SPOTTER, SPELLER, NAMER, LISTENER = Spotting(), Spelling(), Naming(), Listening()
CALLER, PICTURE = Calling(), PictureRecipe()
OTHERS = SPOTTER, SPELLER, NAMER, LISTENER, CALLER, PICTURE


def override(recipe: Kind, settings: list[str]) -> Kind:
    """`recipe` with settings like `learning_rate=1e-3` or `stages.0.steps=50` applied.

    Raises RecipeError where one is malformed, its key unknown or its value of another type.
    """
    for setting in settings:
        key, found, text = setting.partition("=")
        if not found:
            raise RecipeError(f"--set {setting}: write key=value, as in learning_rate=1e-3")
        recipe = _replaced(recipe, key.strip().split("."), text.strip(), setting)
    if isinstance(recipe, Recipe):
        _check_lengths(recipe)
    return recipe


def _check_lengths(recipe: Recipe) -> None:
    for number, stage in enumerate(recipe.stages):
        if stage.length % recipe.config.window:
            raise RecipeError(
                f"stages.{number}.length {stage.length} must be a multiple of the window "
                f"({recipe.config.window} tokens)"
            )


def _replaced(value: Any, path: list[str], text: str, setting: str) -> Any:
    head, *rest = path
    if isinstance(value, tuple):
        if not head.isdecimal() or int(head) >= len(value):
            raise RecipeError(f"--set {setting}: there are {len(value)} entries, counted from 0")
        inner = _leaf(value[int(head)], rest, text, setting)
        return (*value[: int(head)], inner, *value[int(head) + 1 :])
    if isinstance(value, dict):
        if head not in value:
            raise RecipeError(f"--set {setting}: no {head!r}; there are {', '.join(value)}")
        return {**value, head: _leaf(value[head], rest, text, setting)}
    if not dataclasses.is_dataclass(value):
        raise RecipeError(f"--set {setting}: {head!r} is inside a {type(value).__name__}")
    known = [f.name for f in dataclasses.fields(value)]
    if head not in known:
        raise RecipeError(f"--set {setting}: no {head!r}; there are {', '.join(known)}")
    return replace(value, **{head: _leaf(getattr(value, head), rest, text, setting)})


def _leaf(value: Any, rest: list[str], text: str, setting: str) -> Any:
    if rest:
        return _replaced(value, rest, text, setting)
    if not isinstance(value, (int, float, str)):
        raise RecipeError(f"--set {setting}: name one of its entries after a dot")
    try:
        return type(value)(text)
    except ValueError:
        raise RecipeError(f"--set {setting}: {text!r} is not {type(value).__name__}") from None
