# SPDX-License-Identifier: Apache-2.0
"""Which experts serve what: shares of a load, and how far apart two kinds are served."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import pollux
from pollux.evals import routing
from pollux.evals.command import app
from pollux.evals.routing import Load


@pytest.fixture(scope="module")
def model(weights):
    return pollux.load(weights).loaded


def given(monkeypatch, **texts):
    kinds = {
        name: lambda model, most, seed, text=text: iter([model.tokenizer.encode(text)])
        for name, text in texts.items()
    }
    monkeypatch.setattr(routing, "KINDS", kinds)


def test_shares_are_of_the_whole_load(model, monkeypatch):
    given(monkeypatch, one="a green door " * 200, other="0123456789\n" * 200)
    loads = [routing.measure(model, kind, 512, 0) for kind in ("one", "other")]
    for load in loads:
        assert load.tokens == 512
        shares = np.array(load.shares)
        assert shares.shape == (model.config.read_layers, model.config.experts.num_experts)
        np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)
    away = routing.apart(loads)
    assert away[0, 0] == away[1, 1] == 0 and away[0, 1] == away[1, 0] > 0.02


def test_apart_is_what_others_serve():
    one, other = (
        Load(kind="x", tokens=1, shares=((0.5, 0.5, 0.0), (1.0, 0.0, 0.0))),
        Load(kind="y", tokens=1, shares=((0.0, 0.5, 0.5), (1.0, 0.0, 0.0))),
    )
    np.testing.assert_allclose(routing.apart([one, other]), [[0, 0.25], [0.25, 0]])


def test_too_little_text(model, monkeypatch):
    given(monkeypatch, one="a green door")
    with pytest.raises(pollux.InputError, match="too few"):
        routing.measure(model, "one", 512, 0)


def test_command(weights, monkeypatch, tmp_path):
    given(monkeypatch, one="a green door " * 200, other="0123456789\n" * 200)
    run = CliRunner().invoke(
        app, ["routing", "--weights", str(weights), "--tokens", "512", "-o", str(tmp_path)]
    )
    assert run.exit_code == 0, run.output
    made = json.loads((tmp_path / "routing.json").read_text())
    assert [one["kind"] for one in made["kinds"]] == ["one", "other"]
    assert (tmp_path / "routing.png").read_bytes().startswith(b"\x89PNG")
    wrong = CliRunner().invoke(app, ["routing", "--weights", str(weights), "--kind", "songs"])
    assert "there are one, other" in str(wrong.exception)
