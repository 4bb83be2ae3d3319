# SPDX-License-Identifier: Apache-2.0
"""The training run: batches in; steps, metrics and checkpoints out.

A batch depends on the seed and its number, a step on the state and the batch: a run resumed from
any checkpoint repeats the very losses of an unbroken one (tests/train/test_resume.py).
"""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from pollux import checkpoint, params
from pollux.data import mixture
from pollux.errors import RecipeError
from pollux.model import decoder, picture
from pollux.tokenizer import Tokenizer
from pollux.train import hands
from pollux.train import step as stepping
from pollux.train.loss import Batch
from pollux.train.metrics import Metrics
from pollux.train.recipe import Recipe
from pollux.train.run import Interruption, Keeping, about, check_goes_on, describe, shapes
from pollux.train.saves import Saves, abstract, writing


def initial(recipe: Recipe, weights: Path | None) -> stepping.State:
    """A fresh state, or one that starts from given weights.

    To these eyes, ears and image codes may be new.
    """
    fresh = params.initialise(decoder.declare(recipe.config), jax.random.key(recipe.seed))
    given = fresh if weights is None else _given(recipe, fresh, weights)
    return stepping.start(recipe, given)


def _given(recipe: Recipe, fresh: decoder.Decoder, weights: Path) -> decoder.Decoder:
    given, config, _ = checkpoint.load(weights)
    new = {
        name: getattr(recipe.config, name)
        for name in ("vision", "audio", "picture")
        if getattr(config, name) is None
    }
    codes = recipe.config.image_codes if "picture" in new else config.image_codes
    grown = dataclasses.replace(config, **new, image_codes=codes)
    if shapes(grown) != shapes(recipe.config):
        raise RecipeError(
            f"{weights} is a {config.name} of other dimensions than {recipe.config.name}: "
            "name others, or change the recipe"
        )
    senses = {name: getattr(fresh, name) for name in new if name != "picture"}
    rows = jnp.concatenate([given.embedding, fresh.embedding[config.embeddings :]])
    return dataclasses.replace(given, **senses, embedding=rows)


def train(
    recipe: Recipe,
    directory: Path,
    *,
    resume: bool = False,
    weights: Path | None = None,
    hand: Path | None = None,
    stop_after: int | None = None,
) -> Path:
    """Runs `recipe`, keeping everything in `directory`; returns the path of the weights.

    `weights`: what it starts from, instead of fresh ones (`initial`); `hand`: what draws, for a
    recipe with image codes (`hands.taken`). `stop_after` ends the run early, after that step.
    Ctrl-C saves before it leaves.
    """
    begin = partial(initial, recipe, weights)
    draws = partial(hands.taken, recipe, directory, hand, weights)
    with writing(directory):
        return _train(recipe, directory, resume, begin, draws, stop_after)


def _train(
    recipe: Recipe,
    directory: Path,
    resume: bool,
    begin: Callable[[], stepping.State],
    draws: Callable[[], picture.Picture | None],
    stop_after: int | None,
) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    with Saves(directory) as saves:
        if saves.newest is not None:
            check_goes_on(directory, recipe, saves.newest, resume)
        tokenizer, drawing = Tokenizer.load(), draws()
        genres = tuple(dict.fromkeys(g for stage in recipe.stages for g in stage.genres))
        kit = hands.equipped(mixture.kit(tokenizer, genres), recipe, genres, drawing)
        material = mixture.material_for(kit, genres)
        wanted = abstract(recipe, decoder.declare(recipe.config))
        state = begin() if saves.newest is None else saves.restore(wanted)
        describe(directory, recipe)
        first = int(state.step)
        with Interruption() as interruption, Metrics(directory, recipe, first) as metrics:
            for note in saves.notes:
                metrics.say(note)
            batches = mixture.batches(kit, recipe.stages, recipe.seed, first, material)
            keeping = Keeping(saves, interruption, recipe, stop_after)
            state = _run(recipe, batches, tokenizer, state, metrics, keeping)
    path = directory / f"{recipe.name}.safetensors"
    checkpoint.save(path, state.params, recipe.config, about(recipe, state), drawing)
    return path


def compiled(recipe: Recipe) -> Callable[[stepping.State, Batch], tuple]:
    """A step, which uses up the state it is given."""
    return jax.jit(partial(stepping.step, recipe), donate_argnums=0)


def _run(
    recipe: Recipe,
    batches: Iterator[dict[str, np.ndarray]],
    tokenizer: Tokenizer,
    state: stepping.State,
    metrics: Metrics,
    keeping: Keeping,
) -> stepping.State:
    """From `state` to the last step, or to where it is told to stop."""
    advance = compiled(recipe)
    for number, arrays in enumerate(batches, int(state.step)):
        batch = Batch(**{name: jnp.asarray(array) for name, array in arrays.items()})
        state, measures, norm = advance(state, batch)
        # A norm that is not finite spoils the state, which the loss shows a step later only.
        if not np.isfinite([float(measures.loss), float(norm)]).all():
            raise RecipeError(_provenance(recipe, number, arrays, tokenizer))
        metrics.add(number + 1, measures, float(norm), arrays["tokens"].size)
        if keeping.ends(number + 1, state):
            break
    return state


def _provenance(
    recipe: Recipe, number: int, arrays: dict[str, np.ndarray], tokenizer: Tokenizer
) -> str:
    first = tokenizer.decode(arrays["tokens"][0][:60])
    return (
        f"the loss or its gradient is not finite at step {number + 1} (seed {recipe.seed}, "
        f"batch {number}, first row {first!r}); go on from the last checkpoint with "
        "--resume --set learning_rate=... lower"
    )
