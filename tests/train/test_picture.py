# SPDX-License-Identifier: Apache-2.0
"""Training what draws, and a run of a model that is to draw with it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux import checkpoint, params
from pollux.config import TINY, Picture
from pollux.data import art, icons
from pollux.data.art import Art, Icon
from pollux.errors import RecipeError, WeightsError
from pollux.model import decoder
from pollux.model.picture import declare, encode
from pollux.train import hands, loop, metrics, picture
from pollux.train.recipe import RECIPES, PictureRecipe, override
from tests.train.test_loop import quick

HAND = Picture(channels=8, levels=(4, 3))
STEPS = 4


@pytest.fixture(scope="module", autouse=True)
def drawn(tmp_path_factory):
    """Discs of four colours and an outline, in place of what `pollux data prepare` fetches."""
    from PIL import Image, ImageDraw

    made = []
    with pytest.MonkeyPatch.context() as patch:
        images = {}
        for number, colour in enumerate(("red", "green", "blue", "black")):
            image = Image.new("RGBA", (art.ICON, art.ICON))
            ImageDraw.Draw(image).ellipse((8, 8, 80, 80 - 8 * number), colour)
            made.append(Icon(f"{colour}.png", "noto", f"{colour} disc", colour == "black"))
            images[made[-1].file] = image
        given = Art(tmp_path_factory.mktemp("art"), (), tuple(made), ())
        patch.setattr(icons, "icon_image", lambda art, icon: images[icon.file])
        for module in (picture, hands):
            patch.setattr(module, "art", lambda folder=None, evaluation=False: given)
        yield given


@pytest.fixture(scope="module")
def recipe():
    return PictureRecipe(
        name="picture", config=HAND, steps=STEPS, rows=4, learning_rate=5e-3, checkpoint_seconds=0.0
    )


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    picture.train(recipe, directory)
    return directory


def losses(directory):
    lines = (directory / "metrics.csv").read_text().splitlines()
    assert lines[0] == ",".join(picture.COLUMNS)
    return [line.split(",")[:2] for line in lines[1:]]


def test_the_loss_falls_and_the_weights_come_back(trained, recipe):
    assert [int(number) for number, _ in losses(trained)] == [*range(1, STEPS + 1)]
    first, *_, last = [float(loss) for _, loss in losses(trained)]
    assert last < 0.95 * first
    hand, config = checkpoint.load_hand(trained / "picture.safetensors")
    assert config == recipe.config
    assert params.names(hand) == params.names(declare(HAND))
    assert (trained / "pictures.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(WeightsError, match="no model but a hand alone"):
        checkpoint.load(trained / "picture.safetensors")


def test_a_resumed_run_is_an_unbroken_one(trained, recipe, tmp_path):
    picture.train(recipe, tmp_path, stop_after=2)
    with pytest.raises(RecipeError, match="step 2: go on with --resume"):
        picture.train(recipe, tmp_path)
    other = dataclasses.replace(recipe, config=Picture(channels=8, levels=(4, 4)))
    with pytest.raises(RecipeError, match="other dimensions"):
        picture.train(other, tmp_path, resume=True)
    picture.train(recipe, tmp_path, resume=True)
    assert losses(tmp_path) == losses(trained)


def test_settings(recipe):
    changed = override(recipe, ["steps=7", "config.levels.1=5", "edge_weight=0.5"])
    assert (changed.steps, changed.config.levels, changed.edge_weight) == (7, (4, 5), 0.5)
    with pytest.raises(RecipeError, match="rows 0 must be 1 or more"):
        override(recipe, ["rows=0"])


@pytest.fixture(scope="module")
def draws():
    """A recipe of a model that draws, as small as can be."""
    tiny = override(RECIPES["tiny"], ["stages.0.steps=2", "stages.0.rows=2"])
    config = dataclasses.replace(TINY, name="draws", picture=HAND, image_codes=HAND.codes)
    return dataclasses.replace(tiny, name="draws", config=config)


def test_every_icon_as_codes(trained, drawn):
    hand, _ = checkpoint.load_hand(trained / "picture.safetensors")
    made = hands.drawings(hand, HAND, drawn, 100)
    assert made.names == ["black disc", "blue disc", "green disc", "red disc"]
    assert made.stepwise == made.names[1:]
    ids = np.array([one.ids for one in made.drawings])
    assert ids.shape == (4, 64) and ids.min() >= 100 and ids.max() < 100 + HAND.codes
    (shape, before), (grey, _) = made.by_name["red disc"][0].steps
    assert (shape, grey) == ("red disc: shape", "red disc: grey") and len(before) == 64
    pixels = jnp.asarray(icons.picture(drawn, drawn.icons[0]))
    wanted = jax.jit(encode, static_argnums=1)(hand, HAND, pixels[None])
    np.testing.assert_array_equal(wanted[0] + 100, made.by_name["red disc"][0].ids)


def test_which_hand_is_taken(trained, draws, tmp_path):
    file = trained / "picture.safetensors"
    with pytest.raises(RecipeError, match="needs what draws: pollux train picture"):
        hands.taken(draws, tmp_path, None, None)
    given = hands.taken(draws, tmp_path, file, None)
    again = hands.taken(draws, tmp_path, None, None)  # the run has a copy
    for one, other in zip(jax.tree.leaves(given), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(one, other)
    assert hands.taken(RECIPES["tiny"], tmp_path, None, None) is None
    with pytest.raises(RecipeError, match="no image codes: leave --hand out"):
        hands.taken(RECIPES["tiny"], tmp_path, file, None)
    config = dataclasses.replace(
        draws.config, picture=Picture(channels=4, levels=(3, 4)), image_codes=12
    )
    with pytest.raises(RecipeError, match="name another --hand"):
        hands.taken(dataclasses.replace(draws, config=config), tmp_path, file, None)


def test_text_only_weights_are_given_codes(draws, weights, trained, tmp_path):
    given = checkpoint.load(weights)[0]
    made = loop.initial(draws, weights).params
    np.testing.assert_array_equal(made.embedding[: TINY.vocab_size], given.embedding)
    assert made.embedding.shape == (TINY.vocab_size + HAND.codes, TINY.embed_dim)
    hand, _ = checkpoint.load_hand(trained / "picture.safetensors")
    path = tmp_path / "draws.safetensors"
    checkpoint.save(path, made, draws.config, {}, hand)
    whole, config, fingerprint = checkpoint.load(path)
    assert config == draws.config and params.names(whole) == params.names(made)
    np.testing.assert_array_equal(loop.initial(draws, path).params.embedding, whole.embedding)
    drawing, _ = checkpoint.load_hand(path)
    for one, other in zip(jax.tree.leaves(hand), jax.tree.leaves(drawing), strict=True):
        np.testing.assert_array_equal(one, other)
    other = jax.tree.map(lambda x: x + 1, hand)
    checkpoint.save(path, made, draws.config, {}, other)
    assert checkpoint.load(path)[2] != fingerprint
    with pytest.raises(WeightsError, match="cannot draw"):
        checkpoint.load_hand(weights)


def test_a_run_of_a_model_that_draws(trained, draws, run_environment, tmp_path, monkeypatch):
    """It is given drawings to learn from, and its weights have what draws."""
    monkeypatch.setenv("POLLUX_CACHE", run_environment["POLLUX_CACHE"])
    monkeypatch.setattr(metrics, "picture", lambda rows, path: None)
    seen = []

    def compiled(recipe):
        step = quick(recipe)
        return lambda state, batch: seen.append(batch) or step(state, batch)

    monkeypatch.setattr(loop, "compiled", compiled)
    stage = dataclasses.replace(draws.stages[0], genres={"code": 1.0, "drawing": 9.0})
    path = loop.train(
        dataclasses.replace(draws, stages=(stage,)), tmp_path, hand=trained / "picture.safetensors"
    )
    assert any((batch.target >= TINY.vocab_size).any() for batch in seen)
    assert checkpoint.load(path)[1] == draws.config
    files = path, tmp_path / hands.COPY
    both = zip(*(jax.tree.leaves(checkpoint.load_hand(file)[0]) for file in files), strict=True)
    assert all(np.array_equal(one, other) for one, other in both)


def test_weights_that_draw_are_whole(draws, tmp_path):
    """Without what draws they are refused."""
    path = tmp_path / "w.safetensors"
    fresh = jax.tree.map(
        lambda p: np.zeros(p.shape), decoder.declare(draws.config), is_leaf=params.is_param
    )
    checkpoint.save(path, fresh, draws.config, {})
    with pytest.raises(WeightsError, match="lacks .* weights, the first picture"):
        checkpoint.load(path)
