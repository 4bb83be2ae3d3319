# SPDX-License-Identifier: Apache-2.0
"""What every training run does: it is described, saved now and then, stopped and gone on with."""

import dataclasses
import json
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax

from pollux import params
from pollux.config import (
    Caller,
    Config,
    Listener,
    Namer,
    Picture,
    Speller,
    Spotter,
    parsed,
    parsed_picture,
    with_tuples,
)
from pollux.errors import RecipeError, WeightsError
from pollux.model import decoder
from pollux.train import step as stepping
from pollux.train.recipe import Run
from pollux.train.saves import Saves, abstract

Alone = Caller | Listener | Namer | Speller | Spotter  # what stands beside a model


class Keeping:
    """Saves a run now and then, and says when it ends: after the last step, or where told to."""

    def __init__(
        self, saves: Saves, interruption: "Interruption", recipe: Run, stop_after: int | None
    ):
        self.saves, self.interruption, self.recipe = saves, interruption, recipe
        self.last = recipe.steps, stop_after
        self.saved = time.monotonic()

    def is_last(self, number: int) -> bool:
        return number in self.last

    def ends(self, number: int, state: stepping.State) -> bool:
        """After step `number`; KeyboardInterrupt, the state saved, where somebody asked to stop."""
        last, asked = self.is_last(number), self.interruption.asked
        if last or asked or time.monotonic() - self.saved > self.recipe.checkpoint_seconds:
            self.saves.save(number, state)
            self.saved = time.monotonic()
        if asked and not last:
            raise KeyboardInterrupt(f"stopped at step {number}; go on with --resume")
        return last


class Interruption:
    """Ctrl-C as a wish, so that a step is finished and saved first; the second one acts at once."""

    def __init__(self):
        self.asked = False

    def __enter__(self) -> "Interruption":
        self.before = signal.getsignal(signal.SIGINT) or signal.default_int_handler
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._ask)
        return self

    def _ask(self, *_) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, self.before)

    def __exit__(self, *_) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self.before)


def begun(
    saves: Saves, directory: Path, recipe: Run, declared: Any, resume: bool, given: Any = None
) -> stepping.State:
    """The state a run goes on from, or starts with: what is `given`, or fresh weights.

    RecipeError where it may not go on.
    """
    if saves.newest is not None:
        check_goes_on(directory, recipe, saves.newest, resume)
        state = saves.restore(abstract(recipe, declared))
    else:
        fresh = jax.jit(partial(params.initialise, declared))
        weights = fresh(jax.random.key(recipe.seed)) if given is None else given
        state = stepping.start(recipe, weights)
    describe(directory, recipe)
    return state


def about(recipe: Run, state: stepping.State) -> dict[str, str]:
    """How weights came to be, as their file has it."""
    return {"steps": str(int(state.step)), "recipe": recipe.name, "seed": str(recipe.seed)}


def describe(directory: Path, recipe: Run) -> None:
    """The resolved recipe beside what came of it."""
    beside = directory / "recipe.json.partial"
    beside.write_text(json.dumps(dataclasses.asdict(recipe), indent=1))
    os.replace(beside, directory / "recipe.json")


def check_goes_on(directory: Path, recipe: Run, newest: int, resume: bool) -> None:
    """A run goes on when told to, and with weights of the same shapes; all else may change."""
    if not resume:
        raise RecipeError(
            f"{directory} holds a run at step {newest}: go on with --resume, or name another --out"
        )
    try:
        config = json.loads((directory / "recipe.json").read_text())["config"]
        before = _parsed(recipe, config)
    except (AttributeError, FileNotFoundError, KeyError, TypeError, ValueError, WeightsError):
        return  # a recipe of another version: the checkpoint will tell
    if _dimensions(before) != _dimensions(recipe.config):
        raise RecipeError(
            f"the run in {directory} has a model of other dimensions: "
            "set config as it was, or name another --out"
        )


def _parsed(recipe: Run, config: dict[str, Any]) -> Config | Picture | Alone:
    if isinstance(recipe.config, Alone):
        return type(recipe.config)(**with_tuples(config))
    return parsed_picture(config) if isinstance(recipe.config, Picture) else parsed(config)


def _dimensions(config: Config | Picture | Alone) -> Any:
    """What a checkpoint must agree in; of what draws the levels too, or codes mean others."""
    return shapes(config) if isinstance(config, Config) else config


def shapes(config: Config) -> dict[str, tuple[int, ...]]:
    declared = decoder.declare(config)
    leaves = jax.tree.leaves(declared, is_leaf=params.is_param)
    return {name: p.shape for name, p in zip(params.names(declared), leaves, strict=True)}
