# SPDX-License-Identifier: Apache-2.0
"""A run killed at any moment and resumed repeats the losses of an unbroken one, bit for bit."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from pollux import checkpoint

ROOT = Path(__file__).parents[2]
STEPS = 12
SETTINGS = (
    f"stages.0.steps={STEPS}",
    "stages.0.rows=2",
    "stages.0.length=128",
    "stages.0.supervised=64",
    "checkpoint_seconds=0",
)
SCRIPT = """
import sys
from pathlib import Path
from pollux.train.loop import train
from pollux.train.recipe import RECIPES, override
train(override(RECIPES["tiny"], sys.argv[2:]), Path(sys.argv[1]), resume=True)
"""
PATIENCE = 300  # seconds


@pytest.fixture(scope="module")
def start(run_environment):
    """Begins or resumes the run in a directory, in a process of its own."""

    def start(directory):
        command = [sys.executable, "-c", SCRIPT, str(directory), *SETTINGS]
        environment = {**os.environ, **run_environment}
        return subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    return start


def finish(process):
    """Its return code and what it complained of."""
    _, complaints = process.communicate(timeout=PATIENCE)
    return process.returncode, complaints.decode()


def rows(directory):
    """Whole lines only; the speed, which differs, is left out."""
    path = directory / "metrics.csv"
    whole = path.read_text().rpartition("\n")[0] if path.is_file() else ""
    return [row[:-1] for row in csv.reader(whole.splitlines())][1:]


def saved(directory):
    names = os.listdir(directory / "checkpoints") if (directory / "checkpoints").is_dir() else []
    return [int(name) for name in names if name.isdigit()]


def interrupt(process, directory, number, how):
    """`number` rows from now and a moment later."""
    wanted, end = len(rows(directory)) + number, time.monotonic() + PATIENCE
    while len(rows(directory)) < wanted and process.poll() is None:
        assert time.monotonic() < end, "the run does not get on"
        time.sleep(0.005)
    time.sleep(random.uniform(0, 0.3))
    process.send_signal(how)
    return finish(process)


@pytest.fixture(scope="module")
def unbroken(start, tmp_path_factory):
    directory = tmp_path_factory.mktemp("unbroken")
    assert finish(start(directory)) == (0, "")
    return directory


def test_unbroken_run(unbroken):
    assert [int(row[0]) for row in rows(unbroken)] == list(range(1, STEPS + 1))
    assert sorted(saved(unbroken)) == [STEPS - 1, STEPS]
    losses = [float(row[1]) for row in rows(unbroken)]
    assert np.isfinite(losses).all() and len(set(losses)) == STEPS


def test_killed_again_and_again(start, unbroken, tmp_path):
    told = []
    for number, how in ((2, signal.SIGINT), (3, signal.SIGKILL)):
        code, complaints = interrupt(start(tmp_path), tmp_path, number, how)
        told.append(f"{how.name} at row {len(rows(tmp_path))}, saved {saved(tmp_path)}: {code}")
        if how is signal.SIGKILL:
            assert code == -signal.SIGKILL, (told, complaints)
        else:
            assert code in (-signal.SIGINT, 130), (told, complaints)
            assert max(saved(tmp_path)) == len(rows(tmp_path)), told
            assert "go on with --resume" in complaints
    assert len(rows(tmp_path)) < STEPS, told
    assert finish(start(tmp_path)) == (0, ""), told
    assert rows(tmp_path) == rows(unbroken), told

    got, wanted = (checkpoint.load(d / "tiny.safetensors")[0] for d in (tmp_path, unbroken))
    pairs = zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs), told
    left = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    assert sorted(left) == sorted(map(str, (STEPS - 1, STEPS)))
