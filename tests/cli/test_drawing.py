# SPDX-License-Identifier: Apache-2.0
"""pollux ask -q "Draw ..." -o out.png"""

import base64
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pollux
from pollux.engine import model as engine

DRAW = ("ask", "-q", "Draw a red apple.")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """But for compiled code, which all tests share."""
    compiled = Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    compiled.mkdir(parents=True, exist_ok=True)
    (tmp_path / "compiled").symlink_to(compiled)
    monkeypatch.setenv("POLLUX_CACHE", str(tmp_path))


@pytest.fixture
def run(monkeypatch, command):
    """Exit code, standard output and standard error."""
    made = {}

    def load(path):
        if path not in made:
            made[path] = pollux.Model(engine.load(path))
        return made[path]

    def call(weights, *arguments):
        monkeypatch.setattr(pollux, "load", load)
        return command(*arguments, "--weights", weights)

    return call


@pytest.mark.usefixtures("wants_to_draw")
def test_what_is_drawn_is_saved(run, drawing_weights, tmp_path):
    out, second = tmp_path / "out.png", tmp_path / "out-2.png"
    code, printed, _ = run(drawing_weights, *DRAW, "-o", out)
    assert code == 0 and printed.count(".png]") == 2
    assert printed.index(f"[{out}]") < printed.index(f"[{second}]")
    pictures = [Image.open(io.BytesIO(path.read_bytes())) for path in (out, second)]
    assert [(one.format, one.size, one.mode) for one in pictures] == [("PNG", (64, 64), "RGB")] * 2
    assert not list(tmp_path.glob("*.partial"))
    source = tmp_path / "a.txt"
    source.write_text("Something to read meanwhile.\n")
    code, printed, _ = run(drawing_weights, "ask", source, *DRAW[1:], "--json")
    answer = json.loads(printed)
    first, picture, *_ = answer["parts"]
    assert code == 0 and isinstance(first, str) and picture["mime_type"] == "image/png"
    assert Image.open(io.BytesIO(base64.b64decode(picture["data"]))).size == (64, 64)
    assert np.asarray(pictures[0]).any()


def test_mistakes_are_one_line(run, weights, drawing_weights, tmp_path):
    out = tmp_path / "out.png"
    for given, message in (
        ((weights, *DRAW, "-o", out), "tiny has no image codes, so it cannot draw"),
        ((drawing_weights, *DRAW, "-o", tmp_path / "out.jpg"), "must end in .png"),
        ((drawing_weights, *DRAW, "-q", "And a key.", "-o", out), "ask one question"),
        ((drawing_weights, *DRAW, "-o", out, "--max-tokens", 4), "the answer has no picture"),
        ((drawing_weights, *DRAW), "nothing to read: name files, or have something drawn"),
    ):
        code, _, err = run(*given)
        assert code == 1 and err.count("pollux:") == 1 and message in " ".join(err.split())
    assert not out.exists()
