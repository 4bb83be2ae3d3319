# SPDX-License-Identifier: Apache-2.0
"""What stands beside a model learns: letters seen, words, things, letters heard, calls of tools.

A run of it goes on, from a checkpoint and from weights.
"""

import csv
import io
import json
import zipfile
from dataclasses import asdict, replace
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageDraw

from pollux import checkpoint
from pollux.config import Caller, Listener, Namer, Speller, Spotter
from pollux.data import art, facts, held_out, tools, utterances
from pollux.data.speech import Clip
from pollux.data.utterances import Speech
from pollux.errors import RecipeError, WeightsError
from pollux.evals.score import edits
from pollux.media.mel import RATE
from pollux.model.along import NOTHING
from pollux.train import alone, caller, listener, namer, speller, spotter, transcript
from pollux.train.recipe import Calling, Listening, Naming, Spelling, Spotting, override

LETTERS = "abe"
WORDS = "bell cart dusk fern gold Bell Cart Dusk Fern Gold".split()
RECIPES = {
    "spotter": Spotting(
        config=Spotter(channels=2),
        steps=24,
        pages=2,
        height=64,
        width=128,
        warmup_steps=2,
        learning_rate=1e-2,
    ),
    "speller": Spelling(
        config=Speller(first=4, channels=16, layers=1, width=3),
        steps=24,
        strips=8,
        width=128,
        warmup_steps=2,
        learning_rate=1e-2,
    ),
    "namer": Naming(
        config=Namer(channels=8), steps=24, pages=8, side=48, warmup_steps=2, learning_rate=1e-2
    ),
    "listener": Listening(
        config=Listener(channels=24, layers=2, width=3),
        steps=36,
        rows=3,
        tokens=75,
        warmup_steps=4,
        learning_rate=1e-2,
    ),
    "caller": Calling(
        config=Caller(channels=16, layers=1, heads=2, letter=4),
        steps=40,
        words=1_024,
        warmup_steps=4,
        learning_rate=1e-2,
    ),
}
TRAININGS = {
    "spotter": spotter,
    "speller": speller,
    "namer": namer,
    "listener": listener,
    "caller": caller,
}
WORSE = {
    "spotter": 0.93,
    "speller": 0.7,
    "namer": 0.7,
    "listener": 0.7,
    "caller": 0.93,
}  # of the first loss, the last at most


def hummed(text):
    """Each letter a tone of its own."""
    at = np.arange(RATE // 5) / RATE
    tones = [np.sin(2 * np.pi * (300 + 900 * LETTERS.index(letter)) * at) for letter in text]
    return Clip(text, "nobody", (8_000 * np.concatenate(tones)).astype(np.int16))


def discs(folder):
    """Icons of three names, in two styles and the one held out, as `pollux data prepare` does."""
    folder.mkdir(parents=True)
    icons = []
    with zipfile.ZipFile(folder / "icons.zip", "w") as file:
        for style, colour in product(("noto", "lucide", held_out.STYLE), ("red", "green", "blue")):
            image = Image.new("RGBA", (art.ICON, art.ICON))
            ImageDraw.Draw(image).ellipse((8, 8, 80, 40 + 8 * len(colour)), colour)
            held = io.BytesIO()
            image.save(held, "PNG")
            icons.append(art.Icon(f"{style}/{colour}.png", style, f"{colour} disc", False))
            file.writestr(icons[-1].file, held.getvalue())
    made = {"fonts": [], "photos": [], "icons": [asdict(icon) for icon in icons]}
    (folder / "art.json").write_text(json.dumps(made))


def requests(tokenizer, evaluation):
    words = facts.Vocabulary(tokenizer, WORDS * 2, [], evaluation)
    words.lower, words.names = WORDS[:5], WORDS[5:]
    return tools.Material(words, ["Who is it?"], ())


@pytest.fixture(scope="module", autouse=True)
def little(tmp_path_factory):
    """Matplotlib's fonts, hums for speech, and requests of few words; for a namer discs."""
    hums = [hummed(a + b) for a in LETTERS for b in LETTERS if a != b]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLLUX_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(utterances, "speech_of", partial(Speech, {"programs": hums}))
        patch.setattr(tools, "material", requests)
        patch.setattr(alone, "EVERY", 8)
        yield


@pytest.fixture(scope="module", params=[*RECIPES])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def unbroken(name, tmp_path_factory):
    """A whole run, only to be looked at."""
    if name == "namer":
        discs(art.art_directory())
    directory = tmp_path_factory.mktemp(name)
    return TRAININGS[name].train(RECIPES[name], directory), directory


def rows(directory):
    with open(directory / "metrics.csv", newline="") as file:
        return [row[:-1] for row in csv.reader(file)]  # but for the speed


def weights_of(name, path):
    return jax.tree.leaves(TRAININGS[name].TASK.load(path, None)[0])


def test_learns(name, unbroken):
    _, directory = unbroken
    head, *table = rows(directory)
    assert tuple(head) == TRAININGS[name].TASK.columns[:-1]
    assert [int(row[0]) for row in table] == [
        *range(8, RECIPES[name].steps, 8),
        RECIPES[name].steps,
    ]
    assert float(table[-1][1]) < WORSE[name] * float(table[0][1])


def test_resumed_equals_unbroken(name, unbroken, tmp_path, capsys):
    path, directory = unbroken
    recipe, train = RECIPES[name], TRAININGS[name].train
    train(recipe, tmp_path, stop_after=16)
    with pytest.raises(RecipeError, match="step 16.*--resume"):
        train(recipe, tmp_path)
    again = train(recipe, tmp_path, resume=True)
    assert rows(tmp_path) == rows(directory)
    for one, other in zip(weights_of(name, again), weights_of(name, path), strict=True):
        np.testing.assert_array_equal(one, other)
    assert f"{name}  {recipe.steps}/{recipe.steps}  loss" in capsys.readouterr().out


def test_goes_on_from_weights(name, unbroken, tmp_path):
    path, _ = unbroken
    gently = replace(RECIPES[name], learning_rate=1e-6, steps=2)
    again = TRAININGS[name].train(gently, tmp_path, weights=path)
    for one, other in zip(weights_of(name, again), weights_of(name, path), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-2)  # int8


def test_one_of_other_dimensions_is_refused(name, unbroken):
    path, _ = unbroken
    other = type(RECIPES[name].config)()
    with pytest.raises(WeightsError, match=f"is a {name} of "):
        TRAININGS[name].TASK.load(path, other)
    with pytest.raises(WeightsError, match=f"is no model but a {name}"):
        checkpoint.load(path)
    strange = checkpoint.load_listener if name == "spotter" else checkpoint.load_spotter
    with pytest.raises(WeightsError, match="holds no"):
        strange(path)


@pytest.mark.parametrize(
    ("recipe", "setting", "told"),
    [
        (Spotting(), "steps=0", "1 or more"),
        (Spotting(), "pages=0", "1 or more"),
        (Spotting(), "width=100", "64"),
        (Spelling(), "strips=0", "1 or more"),
        (Spelling(), "width=100", "64"),
        (Naming(), "pages=0", "1 or more"),
        (Naming(), "side=50", "16"),
        (Listening(), "rows=0", "1 or more"),
        (Listening(), "tokens=10", "75"),
        (Calling(), "words=100", "192"),
    ],
)
def test_settings_that_cannot_be(recipe, setting, told):
    with pytest.raises(RecipeError, match=told):
        override(recipe, [setting])


def test_names_are_lines_and_differ():
    for names in (("key", "key"), ("red  apple",), ("",)):
        with pytest.raises(WeightsError, match="names must be"):
            Namer(names=names)


def test_nothing_to_name(tmp_path, monkeypatch):
    monkeypatch.setenv("POLLUX_CACHE", str(tmp_path / "none"))
    with pytest.raises(RecipeError, match="pollux data prepare"):
        namer.train(Naming(steps=1), tmp_path / "run")


def test_heads_share_the_channels():
    with pytest.raises(WeightsError, match="multiple of heads"):
        Caller(channels=10, heads=4)


def test_mistakes_are_edits():
    rng = np.random.default_rng(0)
    for _ in range(20):
        verdicts, letters = rng.integers(0, 4, 12), rng.integers(1, 4, rng.integers(0, 8))
        heard = verdicts.tolist()
        said = [v for n, v in enumerate(heard) if v and (n == 0 or v != heard[n - 1])]
        padded = np.pad(letters, (0, 8 - len(letters)), constant_values=NOTHING)
        counted = transcript.edits(jnp.asarray(verdicts), jnp.asarray(padded))
        assert int(counted) == edits(said, letters.tolist())
