# SPDX-License-Identifier: Apache-2.0
"""The training run: batches in, steps, metrics and checkpoints out; stops and goes on anywhere, bit for bit.

A batch depends on the seed and its number, a step on the state and the batch: a run resumed from any checkpoint repeats
the very losses of an unbroken one (tests/train/test_resume.py).
"""

import dataclasses
import json
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as orbax

from pollux import checkpoint, params
from pollux.data import mixture
from pollux.errors import RecipeError, SpaceError
from pollux.model import decoder
from pollux.tokenizer import Tokenizer
from pollux.train import step as stepping
from pollux.train.loss import Batch
from pollux.train.metrics import Metrics
from pollux.train.recipe import Recipe


def initial(recipe: Recipe, weights: Path | None) -> stepping.State:
    """A fresh state, or one that starts from given weights."""
    if weights is None:
        fresh = params.initialise(decoder.declare(recipe.config), jax.random.key(recipe.seed))
    else:
        fresh, config, _ = checkpoint.load(weights)
        shape = dataclasses.replace(config, name=recipe.config.name)
        if decoder.declare(shape).embedding.shape != decoder.declare(recipe.config).embedding.shape:
            raise RecipeError(f"{weights} is a {config.name}, not a {recipe.config.name}")
    return stepping.start(recipe, fresh)


def train(
    recipe: Recipe,
    directory: Path,
    *,
    resume: bool = False,
    weights: Path | None = None,
    stop_after: int | None = None,
) -> Path:
    """Runs `recipe`, keeping everything in `directory`; returns the path of the weights.

    `stop_after` ends the run early at that step as if it had been interrupted.
    """
    manager = _manager(directory)
    latest = manager.latest_step()
    if latest is not None and not resume:
        raise RecipeError(f"{directory} holds a run at step {latest}: go on with --resume, or name another --out")
    tokenizer = Tokenizer.load()
    kit = mixture.kit(tokenizer, tuple({g for stage in recipe.stages for g in stage.genres}))
    state = initial(recipe, weights)
    if latest is not None:
        state = manager.restore(latest, args=orbax.args.StandardRestore(state))
    first = int(state.step)
    _describe(directory, recipe)
    advance = jax.jit(partial(stepping.step, recipe), donate_argnums=0)
    with Metrics(directory, recipe, first) as metrics:
        saved = time.monotonic()
        for number, arrays in enumerate(mixture.batches(kit, recipe.stages, recipe.seed, first), first):
            state, measures, norm = advance(state, Batch(**arrays))
            if not np.isfinite(float(measures.loss)):
                raise RecipeError(_provenance(recipe, number, arrays, tokenizer))
            metrics.add(number + 1, measures, float(norm), arrays["tokens"].size)
            done = number + 1 in (recipe.steps, stop_after)
            if done or time.monotonic() - saved > recipe.checkpoint_seconds:
                _save(manager, number + 1, state, directory)
                saved = time.monotonic()
            if done:
                break
    path = directory / f"{recipe.name}.safetensors"
    about = {"steps": str(int(state.step)), "recipe": recipe.name, "seed": str(recipe.seed)}
    checkpoint.save(path, state.params, recipe.config, about)
    manager.close()
    return path


def _manager(directory: Path) -> orbax.CheckpointManager:
    options = orbax.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
    return orbax.CheckpointManager((directory / "checkpoints").absolute(), options=options)


def _save(manager: orbax.CheckpointManager, number: int, state: stepping.State, directory: Path) -> None:
    if number in manager.all_steps():
        return
    try:
        manager.save(number, args=orbax.args.StandardSave(state))
    except (OSError, ValueError) as error:
        raise SpaceError(
            f"cannot write a checkpoint in {directory} ({str(error).splitlines()[0]}); free space and go on with --resume"
        ) from None


def _describe(directory: Path, recipe: Recipe) -> None:
    """The resolved recipe beside what came of it."""
    text = json.dumps(dataclasses.asdict(recipe), indent=1, default=str)
    (directory / "recipe.json").write_text(text)


def _provenance(recipe: Recipe, number: int, arrays: dict[str, np.ndarray], tokenizer: Tokenizer) -> str:
    first = tokenizer.decode(arrays["tokens"][0][:60]).replace("\n", " ")
    return (
        f"the loss is not finite at step {number + 1} (seed {recipe.seed}, batch {number}, first row {first!r}); "
        "go on from the last checkpoint with --resume --set learning_rate=... lower"
    )
