# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json
import stat
import sys

import numpy as np
import pytest
import rich.console

from pollux.bench import train
from pollux.bench.machine import machine
from pollux.bench.moe import Parameters, parameters
from pollux.config import SPARK, TINY
from pollux.errors import PolluxError, RecipeError
from pollux.train.recipe import RECIPES

STAGE = dataclasses.replace(
    RECIPES["tiny"].stages[0], rows=2, length=64, supervised=24, facts=(1, 2)
)


def mixtral_active(shape: dict) -> int:
    d, layers = shape["hidden_size"], shape["num_hidden_layers"]
    heads = 2 * (shape["num_attention_heads"] + shape["num_key_value_heads"])
    experts = shape["num_experts_per_tok"] * 3 * shape["intermediate_size"]
    layer = heads * shape["head_dim"] + experts + shape["num_local_experts"] + 2
    return d * (shape["vocab_size"] + 1 + layers * layer)


def test_mixtral_has_as_many_active_parameters():
    shape = train.mixtral_shape(SPARK, 1_024)
    assert shape["intermediate_size"] % 16 == 0
    assert mixtral_active(shape) == pytest.approx(parameters(SPARK).active, rel=0.02)


def fake_measure(speeds: dict[str, float], asked: list):
    """Steps of 1,000 tokens; the first of `speeds` that names a candidate is its speed."""

    def measure(candidate: train.Candidate, seconds: float) -> dict:
        asked.append((candidate, seconds))
        words = str(candidate).replace(",", "").split()
        if candidate.compiled and candidate.family == "bfloat16":
            raise PolluxError("no compiler")
        speed = next(speed for name, speed in speeds.items() if name in words)
        return {"step_s": [1_000 / speed] * 2, "total": 7, "active": 5}

    return measure


def test_compare_screens_then_measures_in_turn():
    asked: list = []
    speeds = {"pollux": 4_000, "torch.compile": 2_000, "float32": 1_000, "autocast": 900}
    measure = fake_measure({**speeds, "bfloat16": 800}, asked)
    screened, theirs, ours, active = train._compare(measure, 60.0, 3, 1_000)
    assert len(screened) == 14
    assert [t.failure for t in screened if t.failure] == ["no compiler"]
    assert ours.tokens_per_s == (4_000,) * 3
    assert active == Parameters(total=7, active=5)
    precisions = {(t.candidate.precision, t.candidate.compiled) for t in theirs}
    assert precisions == {("float32", False), ("autocast", False), ("float32", True)}
    full = [c.program for c, seconds in asked if seconds == 60]
    assert full == ["pollux", *["transformers"] * 5] * 3


def test_ratio_is_that_of_the_better_plain_ones(tmp_path):
    measure = fake_measure({"pollux": 4_000, "torch.compile": 2_000, "transformers": 1_000}, [])
    screened, theirs, ours, _ = train._compare(measure, 60.0, 3, 1_000)
    short = train.StageBench(
        steps=10,
        rows=4,
        length=1_000,
        supervised=640,
        ours=ours,
        theirs=theirs,
        screened=screened,
        batch_seconds=0.1,
    )
    slow = fake_measure({"pollux": 4_000, "torch.compile": 1_000, "transformers": 500}, [])
    _, theirs, ours, _ = train._compare(slow, 60.0, 3, 1_000)
    long = dataclasses.replace(short, steps=5, length=4_000, ours=ours, theirs=theirs)
    bench = train.TrainBench(
        stages=(short, long),
        source="nothing",
        seconds=60.0,
        parameters=dict.fromkeys(("pollux", "transformers"), parameters(TINY)),
        expert_dim=16,
        machine=machine(),
        torch_versions={"torch": "2"},
    )
    # 40,000 tokens four times as fast and 80,000 eight times: 200 s instead of 30
    assert bench.ratio == pytest.approx(200 / 30)
    assert bench.ratio_compiled == pytest.approx(100 / 30)
    assert json.loads(bench.to_json())["ratio_of_stages"] == [4.0, 8.0]
    with open(tmp_path / "table", "w") as file:
        rich.console.Console(file=file).print(short.table(), bench.summary())


def test_missing_torch_is_explained(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho No module named torch >&2\nexit 1\n")
    python.chmod(python.stat().st_mode | stat.S_IEXEC)
    with pytest.raises(PolluxError, match=r"pip install torch==.*--torch-python"):
        train.bench_train(torch_python=python)
    with pytest.raises(PolluxError, match="name a Python"):
        train.bench_train(torch_python=tmp_path / "nothing")


def test_nonsense_is_refused():
    with pytest.raises(RecipeError):
        train.bench_train(seconds=0.0)


@pytest.mark.slow
def test_our_step_is_measured(tmp_path):
    batches, seconds = train._prepare(STAGE, tmp_path)
    with np.load(batches) as file:
        assert file["tokens"].shape == (train.BATCHES, 2, 64)
    job = {
        "batches": str(batches),
        "config": dataclasses.asdict(TINY),
        "warmup": 1,
        "least": 2,
        "seconds": 0.01,
    }
    result = train._measure(train.OURS, job, sys.executable, tmp_path)
    assert len(result["step_s"]) >= 2 and seconds > 0


@pytest.mark.slow
def test_measures_both(monkeypatch):
    pytest.importorskip("transformers", "5.0")
    monkeypatch.setattr(train, "_genres", lambda stages: (stages[0].genres, "a test"))
    long = dataclasses.replace(STAGE, length=128)
    bench = train.bench_train(seconds=0.1, repeats=1, config=TINY, stages=(STAGE, long))
    assert bench.ratio > 0
