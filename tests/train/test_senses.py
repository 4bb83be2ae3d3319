# SPDX-License-Identifier: Apache-2.0
"""A tiny model learns to name what it sees and hears; eyes and ears are trained with the rest."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux import checkpoint, interleaved, params
from pollux.config import MEL_BINS, PATCH, dense_twin
from pollux.data.mixture import Stage
from pollux.errors import RecipeError
from pollux.media.piece import Picture, Sound
from pollux.model import decoder
from pollux.tokenizer import Tokenizer
from pollux.train import loop
from pollux.train import step as stepping
from pollux.train.loss import Batch
from pollux.train.recipe import Recipe

ROWS, LENGTH = 8, 64
EACH, ASKED = 3, 4  # pictures of a row and sounds, and questions about either
COLOURS, TONES = np.arange(40, 44), np.arange(50, 54)  # what they are called
SHARES = {"any": 1.0}  # never drawn from


def colour(rng, number):
    """A patch of one of four colours, with a little noise."""
    flat = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200], [210, 210, 210]])[number]
    noisy = flat + rng.integers(-12, 13, (PATCH, PATCH, 3))
    return Picture(pixels=noisy.astype(np.uint8))


def tone(rng, number):
    """Two tokens of one of four pitches."""
    mel = rng.normal(-9, 1, (8, MEL_BINS))
    mel[:, 8 + 14 * number :][:, :4] += 7
    return Sound(mel=mel.astype(np.float32), seconds=0.0)


def row(tokenizer, rng, start):
    """Words before pictures and before sounds. Asked is what came after some of the words.

    The row, its segments and, of each answer, the position, the token and where to look.
    """
    words = rng.choice(np.arange(60, 256), 2 * EACH, False)
    pieces, questions = [], []
    for i, word in enumerate(words):
        which = rng.integers(4)
        make, called, begin = (
            (colour, COLOURS, "<begin_image>") if i < EACH else (tone, TONES, "<begin_audio>")
        )
        pieces += [np.array([word]), make(rng, which)]
        questions.append(np.array([word, tokenizer.control[begin], called[which]]))
    document = interleaved.interleaved(tokenizer, pieces)
    asked, position = [], len(document.ids)
    segment = [np.zeros(position, int)]
    chosen = rng.permutation(2 * EACH)[:ASKED]
    for number, i in enumerate(chosen, 1):
        first = document.spans[2 * i + 1, 0] + 1 + start  # behind the marker
        asked.append((start + position + 1, questions[i][-1], first, first + 1))
        segment.append(np.full(3, number))
        position += 3
    segment.append(np.full(LENGTH - position, ASKED + 1))
    whole = interleaved.joined([document, *(interleaved.text(questions[i]) for i in chosen)])
    return interleaved.fitted(whole, LENGTH), np.concatenate(segment), asked


def batch(tokenizer, number):
    rng = np.random.default_rng(number)
    made = [row(tokenizer, rng, i * LENGTH) for i in range(ROWS)]
    rows, segments, asked = zip(*made, strict=True)
    table = jnp.asarray(np.concatenate(asked), jnp.int32)
    tables = interleaved.tables(rows, ROWS * EACH, 2 * ROWS * EACH)
    return Batch(
        tokens=jnp.asarray(np.stack([one.ids for one in rows])),
        segment=jnp.asarray(np.stack(segments), jnp.int32),
        at=table[:, 0],
        target=table[:, 1],
        weight=jnp.ones(len(table)),
        look=table[:, 2:],
        question=jnp.full((1, 2), -1),
        passage=jnp.zeros((1, 2), jnp.int32),
        **{name: jnp.asarray(array) for name, array in tables.items()},
    )


@pytest.fixture(scope="module")
def recipe(senses):
    config = dataclasses.replace(dense_twin(senses), vocab_size=256, read_layers=1, answer_layers=1)
    stage = Stage(
        steps=150, rows=ROWS, length=LENGTH, supervised=ASKED * ROWS, genres=SHARES, skills=SHARES
    )
    return Recipe(
        name="senses",
        config=config,
        stages=(stage,),
        learning_rate=5e-3,
        warmup_steps=4,
        survey_weight=0.0,
        draw_weight=0.0,
    )


def test_learns_to_name_colours_and_tones(recipe):
    tokenizer = Tokenizer.load()
    step = jax.jit(partial(stepping.step, recipe), donate_argnums=0)
    fresh = params.initialise(decoder.declare(recipe.config), jax.random.key(0))
    state, right = stepping.start(recipe, fresh), []
    for number in range(recipe.steps):
        state, measures, _ = step(state, batch(tokenizer, number))
        if number == 0:
            check_gradients(state)
        right.append(float(measures.right))
    assert np.mean(right[:5]) < 0.5
    assert np.mean(right[-10:]) > 0.85, right[::10]


def check_gradients(state):
    """The moments of the first step are its gradient."""
    moments = jax.tree.leaves(state.optimizer, is_leaf=lambda x: isinstance(x, decoder.Decoder))
    first = next(m for m in moments if isinstance(m, decoder.Decoder))
    for sense in (first.vision, first.audio):
        for name, gradient in zip(params.names(sense), jax.tree.leaves(sense), strict=True):
            assert np.abs(gradient).max() > 0, name


def test_text_only_weights_are_given_eyes_and_ears(recipe, tmp_path):
    blind = dataclasses.replace(recipe.config, vision=None, audio=None)
    text = params.initialise(decoder.declare(blind), jax.random.key(5))
    checkpoint.save(tmp_path / "text.safetensors", text, blind, {})
    given = loop.initial(recipe, tmp_path / "text.safetensors").params
    np.testing.assert_array_equal(given.embedding, text.embedding.astype(jnp.float16))
    assert given.vision.stem[0].any() and given.audio.up.any()
    checkpoint.save(tmp_path / "both.safetensors", given, recipe.config, {})
    both = loop.initial(recipe, tmp_path / "both.safetensors").params
    np.testing.assert_array_equal(both.audio.up, given.audio.up.astype(jnp.float16))
    with pytest.raises(RecipeError, match="of other dimensions"):
        loop.initial(dataclasses.replace(recipe, config=blind), tmp_path / "both.safetensors")
