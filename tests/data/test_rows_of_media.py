# SPDX-License-Identifier: Apache-2.0
"""Rows and batches with pictures, recordings and films among text."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux import interleaved, params
from pollux.config import dense_twin
from pollux.data import mixture, senses
from pollux.data.stage import Stage
from pollux.errors import RecipeError
from pollux.model import decoder
from pollux.train.loss import Batch, loss

STAGE = Stage(
    steps=6,
    rows=3,
    length=480,
    supervised=200,
    genres={"code": 1.0},
    skills={"find": 2.0, "absent": 1.0, "quote": 1.0},
    facts=(1, 4),
)


def same(left, right):
    return left.keys() == right.keys() and all(np.array_equal(left[k], right[k]) for k in left)


@pytest.fixture(scope="module")
def sensed(materials):
    """A stage of pictures, recordings, films and code, and what they are made of."""
    genres = {**dict.fromkeys(senses.GENRES, 2.0), "code": 1.0}
    stage = replace(STAGE, genres=genres, patches=700, sounds=500)
    return stage, materials[False]


@pytest.mark.parametrize("genre", senses.GENRES)
def test_rows_of_pictures_and_sound(kit, sensed, genre):
    """Looks lie in the document; what is to be predicted is text, also what is read aloud."""
    stage, material = sensed
    media = kit.control(interleaved.MEDIA)
    for seed in range(3):
        row = mixture.row(kit, stage, np.random.default_rng(seed), genre, material)
        document = int((row.segment == 0).sum())
        assert row.tokens.shape == row.segment.shape == row.media.ids.shape == (stage.length,)
        assert (row.tokens == media).sum() == len(row.media.patches) + len(row.media.mel) > 0
        assert (row.tokens[document:] != media).all()
        assert row.answers and row.aloud
        for at, target, _, first, end, _ in [s for answer in row.answers for s in answer]:
            assert row.tokens[at + 1] == target != media
            assert end <= at and (first < end or end <= 0)
            assert end <= 0 or row.segment[first] == row.segment[end - 1]
        for at, target, weight, _, end, _ in row.aloud:
            assert row.tokens[at] == media != target and at < document
            assert (weight, end) == (mixture.ALOUD_WEIGHT, 0)
        for at, target, *_ in row.text:
            assert row.tokens[at + 1] == target != media != row.tokens[at]


def test_tables_of_a_batch(kit, sensed):
    """Every patch and token of sound has its place, in tables that are always as large."""
    stage, material = sensed
    media, most = kit.control(interleaved.MEDIA), 0
    for seed in range(6):
        batch = mixture.batch(kit, stage, np.random.default_rng(seed), material)
        where, there = batch["media_at"], batch["tokens"] == media
        assert len(batch["patches"]) == len(batch["patch_place"]) == stage.patches
        assert len(batch["mel"]) == stage.sounds
        assert np.array_equal(where >= 0, there)
        patches = np.sort(where[(where >= 0) & (where < stage.patches)])
        sounds = np.sort(where[where >= stage.patches]) - stage.patches
        assert np.array_equal(patches, np.arange(len(patches)))
        assert np.array_equal(sounds, np.arange(len(sounds)))
        assert not batch["patches"][len(patches) :].any()
        flat = where.reshape(-1)[batch["at"]] >= 0  # read aloud
        assert (batch["weight"][flat] == mixture.ALOUD_WEIGHT).all()
        assert not (batch["target"][batch["weight"] > 0] == media).any()
        assert flat.sum() <= stage.supervised * mixture.ALOUD
        most = max(most, int(flat.sum()))
    assert most > 5


def test_scenes_are_the_same_from_any_start(kit, sensed):
    stage, material = sensed
    stages = (replace(stage, steps=3),)
    whole = list(mixture.batches(kit, stages, 0, 0, material))
    assert all(map(same, mixture.batches(kit, stages, 0, 1, material), whole[1:]))


def test_no_question_is_about_two_scenes(sensed):
    """What is at a time is not asked where two films have it; nor a fact that two of them state."""
    stage, material = sensed
    for seed in range(4):
        rng = np.random.default_rng(seed)
        one, other = (senses.document(material, rng, "film", 400) for _ in range(2))
        one.elsewhere = [other.scene]
        times = {int(words.seconds or 0) for words in senses._times([other.scene])}
        assert len(times) == len(other.scene.pieces) // 3 or len(times) > 2
        for event in one.scene.events:
            if int(event.seconds or 0) in times:
                assert senses._at_a_time(material, rng, one, event) is None
        one.elsewhere = [one.scene]
        facts = [event for event in one.scene.events if event.fact]
        assert not any(senses._find(material, rng, one, event) for event in facts)


def test_rows_know_of_one_another(kit, sensed, monkeypatch):
    stage, material = sensed
    docs = {}
    question = senses.question

    def noted(material, rng, doc):
        docs[id(doc)] = doc
        return question(material, rng, doc)

    monkeypatch.setattr(senses, "question", noted)
    films = replace(stage, rows=2, genres={"film": 1.0})
    mixture.rows(kit, films, np.random.default_rng(0), material)
    first, second = docs.values()
    assert first.elsewhere == [second.scene] and second.elsewhere == [first.scene]


def test_room_is_shared():
    stage = replace(STAGE, rows=4, patches=1_000, sounds=900)
    assert mixture.rooms(stage, ["code", "film", "pictures", "film"]) == [480, 333, 333, 333]
    assert mixture.rooms(stage, ["recording", "recording"]) == [450, 450]
    with pytest.raises(RecipeError, match="sounds 0 must be 360 or more"):
        replace(STAGE, genres={"recording": 1.0})


@pytest.mark.slow
def test_learning_from_a_mixed_batch(kit, sensed, request):
    """Loss and gradient are finite; the latter reaches eyes and ears."""
    stage, material = sensed
    genres = {"pictures": 1.0, "recording": 1.0}
    room = {"patches": 360, "sounds": 360}
    stage = replace(stage, rows=3, length=240, supervised=64, genres=genres, **room)
    small = dense_twin(request.getfixturevalue("senses"))
    config = replace(small, read_layers=1, answer_layers=1)
    fresh = params.initialise(decoder.declare(config), jax.random.key(0))
    arrays = mixture.batch(kit, stage, np.random.default_rng(1), material)
    assert arrays["patches"].any() and arrays["mel"].any()
    batch = Batch(**{name: jnp.asarray(array) for name, array in arrays.items()})
    weights = {"look_weight": 0.5, "text_weight": 0.3, "survey_weight": 0.3}
    measure = partial(loss, cfg=config, batch=batch, **weights)
    (_, measures), gradient = jax.jit(jax.value_and_grad(measure, has_aux=True))(fresh)
    leaves = (*measures, *jax.tree.leaves(gradient))
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert measures.aloud > 0
    assert gradient.vision.up.any() and gradient.audio.up.any()
