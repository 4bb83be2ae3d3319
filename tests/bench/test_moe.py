# SPDX-License-Identifier: Apache-2.0
import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import rich.console

from pollux.bench import moe
from pollux.bench.machine import machine
from pollux.config import SPARK, dense_twin
from pollux.errors import RecipeError
from pollux.train.metrics import COLUMNS
from pollux.train.recipe import RECIPES

STEPS = 40
SEEDS = (0, 1)


def write_run(directory: Path, losses: np.ndarray, tokens_per_s: float) -> None:
    directory.mkdir(parents=True)
    with open(directory / "metrics.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for number, loss in enumerate(losses, 1):
            table.writerow(
                [
                    number,
                    2 * loss,
                    3 * loss,
                    loss,
                    *[0.5] * (len(COLUMNS) - 7),
                    1.0,
                    1.0,
                    tokens_per_s,
                ]
            )


def write_runs(out: Path, slowness: float) -> None:
    """Losses that fall as 1 / steps; the dense twin takes `slowness` times as long."""
    steps = np.arange(1, STEPS + 1)
    for seed in SEEDS:
        write_run(out / f"moe-{seed}", (100 + seed) / steps, 4096.0)
        write_run(out / f"dense-{seed}", slowness * (100 + seed) / steps, 2048.0)


def test_parameters_are_equal_but_for_the_routers():
    sparse, dense = moe.parameters(SPARK), moe.parameters(dense_twin(SPARK))
    routers = 6 * (SPARK.embed_dim + 1) * SPARK.experts.num_experts
    assert sparse.active - routers == dense.active == dense.total < sparse.total


def test_summary_finds_how_much_slower(tmp_path):
    write_runs(tmp_path, slowness=1.5)
    bench = moe.summary(tmp_path, RECIPES["spark"], SEEDS, STEPS, machine())
    answer = bench.verdicts["answer"]
    assert answer.tokens == pytest.approx(1.5, rel=0.05)
    assert answer.dense == pytest.approx(1.5 * answer.moe)
    assert all(d > 0 for d in answer.difference)
    assert bench.runs[0].step_seconds == pytest.approx(1.0)
    assert bench.picture.stat().st_size > 1000
    assert json.loads(bench.to_json())["verdicts"]["text"]["tokens"] == pytest.approx(1.5, rel=0.05)
    with open(tmp_path / "table", "w") as file:
        rich.console.Console(file=file).print(bench.table())


def test_summary_says_so_where_the_dense_twin_is_better(tmp_path):
    write_runs(tmp_path, slowness=0.5)
    bench = moe.summary(tmp_path, RECIPES["spark"], SEEDS, STEPS, machine())
    assert bench.verdicts["loss"].tokens == pytest.approx(0.5, abs=0.05)


def test_an_unfinished_run_is_refused(tmp_path):
    write_runs(tmp_path, slowness=1.5)
    with pytest.raises(RecipeError, match="40 of 41 steps"):
        moe.summary(tmp_path, RECIPES["spark"], SEEDS, STEPS + 1, machine())


def test_reached_interpolates():
    tokens, curve = np.array([10.0, 20.0, 30.0]), np.array([4.0, 3.0, 1.0])
    assert moe.reached(tokens, curve, 2.0) == 25.0
    assert moe.reached(tokens, curve, 5.0) == 10.0
    assert moe.reached(tokens, curve, 1.0) == 30.0


def test_runs_of_another_recipe_are_not_mixed(tmp_path):
    (tmp_path / "moe-0").mkdir()
    other = dataclasses.asdict(RECIPES["tiny"])
    (tmp_path / "moe-0" / "recipe.json").write_text(json.dumps(other))
    with pytest.raises(RecipeError, match="another run"):
        moe.bench_moe(out=tmp_path, steps=10, seeds=(0,), resume=True, recipe=RECIPES["tiny"])


@pytest.mark.slow
def test_trains_and_resumes(tmp_path):
    stage = dataclasses.replace(RECIPES["tiny"].stages[0], length=128, supervised=64)
    recipe = dataclasses.replace(RECIPES["tiny"], stages=(stage,))
    arguments = dict(out=tmp_path, steps=10, seeds=(0,), recipe=recipe)
    first = moe.bench_moe(**arguments)
    again = moe.bench_moe(**arguments, resume=True)
    assert first.verdicts == again.verdicts
    assert {r.model for r in first.runs} == {"moe", "dense"}
    assert (tmp_path / "moe.json").is_file()
    with pytest.raises(RecipeError, match="--resume"):
        moe.bench_moe(**arguments)
