# SPDX-License-Identifier: Apache-2.0
"""The lexicon's words come from public texts and from what recordings say, each with its weight."""

import numpy as np
import pytest
from typer.testing import CliRunner

from pollux.cli import app
from pollux.data import corpora, speech
from pollux.data.speech import Clip
from pollux.errors import RecipeError
from pollux.model import lexicon as model
from pollux.tokenizer import Tokenizer
from pollux.train import lexicon

TEXTS = {"books": "The keeper’s garden. A garden!\n", "documentation": "x = y; garden 2\n"}


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.load()


@pytest.fixture
def texts(monkeypatch, tokenizer):
    def tokens(corpus, _):
        return tokenizer.encode(TEXTS.get(corpus.name, "Roger.\n"))

    clip = Clip("press one", "asterisk-en:allison", np.zeros(1, np.int16))
    monkeypatch.setattr(corpora, "tokens", tokens)
    monkeypatch.setattr(speech, "clips", lambda name: [clip] if name == "asterisk-en" else [])


def test_words_of_texts_and_recordings(texts, tokenizer):
    counted = lexicon.count(tokenizer)
    assert counted.words == ("a", "garden", "keeper's", "one", "press", "roger", "the")
    nats = dict(zip(counted.words, np.exp(counted.alone), strict=True))
    assert nats["press"] == pytest.approx(nats["one"])
    assert nats["press"] / nats["the"] == pytest.approx(lexicon.SAID)
    press, one = map(counted.words.index, ("press", "one"))
    assert counted.following(press, one) > -0.1


def test_command(texts, tmp_path):
    path = tmp_path / "words.safetensors"
    run = CliRunner().invoke(app, ["lexicon", "-o", str(path)])
    assert run.exit_code == 0 and "7 words" in run.output
    assert model.load(path).words[1] == "garden"


def test_without_recordings(monkeypatch, tmp_path, tokenizer, texts):
    monkeypatch.undo()
    monkeypatch.setenv("POLLUX_CACHE", str(tmp_path))
    monkeypatch.delenv("POLLUX_DATA", raising=False)
    with pytest.raises(RecipeError, match="POLLUX_DATA"):
        lexicon.count(tokenizer)
