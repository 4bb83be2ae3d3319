# SPDX-License-Identifier: Apache-2.0
"""A stretch of training: how much of what a batch is made of."""

from dataclasses import dataclass

from pollux.data import senses
from pollux.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stretch of training. Shares need not sum to 1. RecipeError where nothing can come of it.

    `patches`, `sounds`: of pictures and tokens of sound, how many a batch has room for.
    """

    steps: int
    rows: int
    length: int  # tokens a row
    supervised: int  # positions a batch whose next token is trained
    genres: dict[str, float]
    skills: dict[str, float]
    questions: float = 0.4  # share of a row's tokens for questions and answers
    facts: tuple[int, int] = (3, 9)  # stated in a document
    distractors: float = 0.5  # share of them that are almost the same as another
    patches: int = 0
    sounds: int = 0

    def __post_init__(self):
        for name, least in (("steps", 1), ("rows", 1), ("length", 2), ("supervised", 1)):
            value = getattr(self, name)
            if value < least:
                raise RecipeError(f"{name} {value} must be {least} or more")
        for name in ("genres", "skills"):
            _check_shares(name, getattr(self, name))
        for name in {need for g, share in self.genres.items() if share for need in needs(g)}:
            value, least = getattr(self, name), senses.LEAST * self.rows
            if value < least:
                raise RecipeError(f"{name} {value} must be {least} or more for its genres")
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


def needs(genre: str) -> tuple[str, ...]:
    """What a batch must have room for."""
    return senses.NEEDS.get(genre, ())


def _check_shares(name: str, shares: dict[str, float]) -> None:
    for key, share in shares.items():
        if not 0 <= share < float("inf"):
            raise RecipeError(f"{name}.{key} {share} must be a number from 0 up")
    if not any(shares.values()):
        raise RecipeError(f"one of {name} must be above 0")


def stage_of(stages: tuple[Stage, ...], step: int) -> Stage:
    for stage in stages:
        if step < stage.steps:
            return stage
        step -= stage.steps
    return stages[-1]
