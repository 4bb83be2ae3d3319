# SPDX-License-Identifier: Apache-2.0
"""Recipes and what `--set` makes of them."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollux.config import PRESETS
from pollux.data import corpora, passages, senses, writing
from pollux.errors import PolluxError, RecipeError
from pollux.train.recipe import RECIPES, override

TINY, SPARK = RECIPES["tiny"], RECIPES["spark"]


def test_nothing_set_changes_nothing():
    assert override(SPARK, []) is SPARK


def test_values_are_typed():
    got = override(TINY, ["learning_rate=1e-3", "seed=7", "name=mine", "decay_share = 1"])
    assert (got.learning_rate, got.seed, got.name, got.decay_share) == (1e-3, 7, "mine", 1.0)
    assert [type(x) for x in (got.learning_rate, got.seed, got.decay_share)] == [float, int, float]
    assert got == replace(TINY, learning_rate=1e-3, seed=7, name="mine", decay_share=1.0)


def test_the_later_counts():
    assert override(TINY, ["seed=1", "seed=2"]).seed == 2


def test_a_value_may_have_an_equals_sign():
    assert override(TINY, ["name=a=b"]).name == "a=b"


def test_nested():
    settings = [
        "stages.1.steps=50",
        "stages.0.genres.books=0",
        "stages.1.facts.0=2",
        "config.experts.top_k=1",
        "config.window=128",
    ]
    got = override(SPARK, settings)
    first, second = got.stages
    assert (second.steps, second.facts) == (50, (2, SPARK.stages[1].facts[1]))
    assert first.genres == {**SPARK.stages[0].genres, "books": 0.0}
    assert got.config.experts == replace(SPARK.config.experts, top_k=1)
    assert got.config.window == 128
    assert got.steps == first.steps + 50
    assert second == replace(SPARK.stages[1], steps=50, facts=second.facts)
    assert SPARK.stages[0].genres["books"], "the recipe itself is as it was"


@pytest.mark.parametrize(
    "setting, told",
    [
        ("learning_rat=1", "learning_rate"),
        ("=1", "learning_rate"),
        ("stages.0.step=1", "steps"),
        ("stages.0.genres.novels=1", "books"),
        ("config.experts.experts=1", "num_experts"),
        ("stages.9.steps=1", "entries, counted from 0"),
        ("stages.-1.steps=1", "entries, counted from 0"),
        ("stages.².steps=1", "entries, counted from 0"),
        ("stages.first.steps=1", "entries, counted from 0"),
        ("seed.0=1", "inside a int"),
        ("name.x=1", "inside a str"),
    ],
)
def test_unknown_key_says_which_there_are(setting, told):
    with pytest.raises(RecipeError) as caught:
        override(SPARK, [setting])
    assert setting in str(caught.value) and told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "setting, told",
    [
        ("learning_rate", "key=value"),
        ("", "key=value"),
        ("seed=1.5", "'1.5' is not int"),
        ("seed=", "'' is not int"),
        ("learning_rate=fast", "'fast' is not float"),
        ("stages=1", "one of its entries"),
        ("stages.0=1", "one of its entries"),
        ("stages.0.facts=1,3", "one of its entries"),
        ("config.experts=none", "one of its entries"),
    ],
)
def test_malformed(setting, told):
    with pytest.raises(RecipeError) as caught:
        override(SPARK, [setting])
    assert told in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("setting", ["config.num_heads=3.5", "config.experts.top_k=99"])
def test_what_no_model_can_be_is_one_line(setting):
    with pytest.raises(PolluxError) as caught:
        override(SPARK, [setting])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings, told",
    [
        (["stages.0.rows=0"], "rows 0 must be 1 or more"),
        (["stages.1.length=-64"], "length -64 must be"),
        (["stages.0.length=1000"], "must be a multiple of the window"),
        (["stages.0.facts.1=0"], "the second above the first"),
        (["stages.0.questions=nan"], "questions nan must be from 0 to 1"),
        ([f"stages.0.skills.{name}=0" for name in SPARK.stages[0].skills], "one of skills must"),
    ],
)
def test_what_no_stage_can_be_is_one_line(settings, told):
    with pytest.raises(RecipeError) as caught:
        override(SPARK, settings)
    assert told in str(caught.value) and "\n" not in str(caught.value)


@given(st.text(max_size=20))
def test_any_text_is_taken_or_refused(setting):
    try:
        override(TINY, [setting])
    except PolluxError as error:
        assert str(error)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=[*RECIPES])
def test_recipes_hold_together(recipe):
    assert recipe is RECIPES[recipe.name]
    assert recipe.config is PRESETS[recipe.config.name]
    for stage in recipe.stages:
        others = {*passages.SOURCES, *senses.GENRES, "random", "languages", "drawing"}
        others.add(writing.GENRE)
        assert {*stage.genres} <= {*corpora.CORPORA, *others}
        assert {*stage.skills} <= {"find", "absent", "quote", "point", "other", "passage"}
        assert stage.supervised < stage.rows * stage.length
    assert json.loads(json.dumps(asdict(recipe)))["name"] == recipe.name


def test_tiny_needs_no_data():
    genres = {genre for stage in TINY.stages for genre in stage.genres}
    assert not any(corpora.CORPORA[genre].files for genre in genres - {"random"})
