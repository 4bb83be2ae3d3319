# SPDX-License-Identifier: Apache-2.0
"""What a run writes down and shows; what it reads again of it."""

import time

import jax.numpy as jnp
import numpy as np
import pytest

from pollux.train import metrics
from pollux.train.loss import Measures
from pollux.train.metrics import COLUMNS, Metrics
from pollux.train.recipe import RECIPES

ROW = "7,1.5,1.0,2.0,0.5,0.25,0.75,0.875,1.125,4.5,0.625,0.375,2.5,3.0,1000.0\r\n"
HEADER = ",".join(COLUMNS) + "\r\n"


@pytest.mark.parametrize("size", range(1, len(ROW)))
def test_a_torn_line_is_left_out(tmp_path, size):
    path = tmp_path / "metrics.csv"
    path.write_bytes((HEADER + ROW + "8" + ROW[1:size]).encode())
    assert metrics.read(path) == [[float(x) for x in ROW.split(",")]]


@pytest.mark.parametrize("junk", [b"", b"\0" * 40 + b"\n", b"\xff\xfe,1\n", b"x" + ROW.encode()])
def test_other_lines_are_left_out(tmp_path, junk):
    path = tmp_path / "metrics.csv"
    path.write_bytes(HEADER.encode() + junk + ROW.encode())
    assert [row[0] for row in metrics.read(path)] == [7]
    assert metrics.read(tmp_path / "none.csv") == []


def test_a_plain_line_every_ten_seconds(tmp_path, capsys, monkeypatch):
    now = time.monotonic()
    clock = iter(now + np.arange(1_000) * 4.0)
    monkeypatch.setattr(metrics.time, "monotonic", lambda: float(next(clock)))
    some = jnp.float32(1)
    measured = Measures(*[some] * 11, load=jnp.ones((1, 1)))
    with Metrics(tmp_path, RECIPES["tiny"], 0) as run:
        for number in range(1, 11):  # 4 s each
            run.add(number, measured, 1.0, 100)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[1] for line in lines] == ["1/300", "4/300", "7/300", "10/300"]


def test_picture_of_any_length(tmp_path):
    for count in (2, 3, 250):
        rows = [[i, *np.linspace(2.0, 0.5, len(COLUMNS) - 1)] for i in range(1, count + 1)]
        metrics.picture(rows, tmp_path / "loss.png")
        assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["loss.png"]
