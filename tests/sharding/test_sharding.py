# SPDX-License-Identifier: Apache-2.0
"""Sharded is unsharded, on eight devices; a mesh that does not fit is refused by name.

The devices are made of one CPU, which has to be said before jax starts: hence another process.
"""

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from jax.sharding import PartitionSpec

from pollux import params, sharding
from pollux.config import NANO_2, PRO, SPARK, TINY, Audio, Vision
from pollux.errors import WeightsError
from pollux.model import decoder
from pollux.params import Param, constant

ROOT = Path(__file__).parents[2]
FLAGS = (
    "--xla_force_host_platform_device_count=8",
    # Eight devices may share one busy core.
    "--xla_cpu_collective_call_terminate_timeout_seconds=900",
    "--xla_cpu_collective_call_warn_stuck_timeout_seconds=900",
)


@pytest.fixture(scope="module")
def results():
    """By check and mesh, what devices.py found."""
    environment = {
        **os.environ,
        "XLA_FLAGS": " ".join(FLAGS),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiles in half the time
        "PYTHONPATH": str(ROOT),
    }
    run = subprocess.run(
        [sys.executable, Path(__file__).with_name("devices.py")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    return {(line["check"], *line["mesh"].items()): line for line in lines}


def of(results, check):
    found = {key: result for key, result in results.items() if key[0] == check}
    assert found
    return found.values()


def test_answers_agree(results):
    for result in of(results, "answers"):
        assert result["difference"] < 1e-5, result


def test_read_agrees_and_stays_split(results):
    for result in of(results, "read"):
        assert result["difference"] < 1e-5, result
        rows = math.prod(result["mesh"].get(axis, 1) for axis in ("data", "fsdp"))
        assert result["piece"] == [4 // rows, 128 // result["mesh"]["seq"]]


def test_training_step_agrees(results):
    for result in of(results, "train"):
        assert result["moments_differ"] < 1e-4, result  # of the gradients, that is
        # Adam divides a gradient by its size, so next to nothing may become a part of a step.
        assert result["difference"] < 1e-3, result
        assert result["moved"] > 1e-6


def test_optimizer_state_is_sharded_like_its_weights(results):
    """Both moments lie beside their weights, and no device holds more than its share."""
    for result in of(results, "train"):
        assert result["moments"] == 2
        assert result["beside"]
        ways = result["mesh"]["fsdp"] * result["mesh"].get("tensor", 1)
        assert max(result["shares"]) < 1.2 / ways, result  # vectors are copied


@pytest.mark.parametrize("shape", [{}, {"data": 1, "seq": 1}])
def test_mesh_has_every_axis(shape):
    on = sharding.mesh(shape, jax.devices()[:1])
    assert on.axis_names == sharding.MESH_AXES
    assert on.size == 1


def test_unknown_mesh_axis():
    with pytest.raises(WeightsError, match="unknown mesh axis .'pipeline'.; there are data, fsdp"):
        sharding.mesh({"pipeline": 1})


def test_spec_follows_the_rules():
    assert sharding.spec("batch", None) == PartitionSpec(("data", "fsdp"), None)
    assert sharding.spec("experts", "embed", "hidden") == PartitionSpec("expert", "fsdp", "tensor")


def abstract_mesh(**shape):
    sizes = tuple(shape.get(axis, 1) for axis in sharding.MESH_AXES)
    return jax.sharding.AbstractMesh(sizes, sharding.MESH_AXES)


@pytest.mark.parametrize("cfg", [TINY, SPARK, NANO_2, PRO], ids=lambda c: c.name)
def test_every_axis_of_the_presets_has_a_rule(cfg):
    senses = {"vision": Vision(hidden_dim=256), "audio": Audio(hidden_dim=256)}
    declared = decoder.declare(dataclasses.replace(cfg, read_layers=1, answer_layers=1, **senses))
    placed = sharding.shardings(declared, abstract_mesh(fsdp=4, expert=4, tensor=2))
    assert placed.embedding.spec == PartitionSpec("tensor", "fsdp")
    assert placed.read[0].experts.up.spec == PartitionSpec("expert", "fsdp", "tensor")
    leaves = jax.tree.leaves(declared, is_leaf=params.is_param)
    for param, where in zip(leaves, jax.tree.leaves(placed), strict=True):
        assert len(where.shard_shape(param.shape)) == len(param.shape)


def test_indivisible_dimension_is_refused_by_name():
    declared = decoder.declare(dataclasses.replace(TINY, vocab_size=97))
    with pytest.raises(WeightsError) as raised:
        sharding.shardings(declared, abstract_mesh(tensor=2))
    assert str(raised.value) == (
        "embedding: dimension vocab of 97 does not divide by mesh axis tensor of 2; "
        "choose a mesh that divides it or change sharding.RULES"
    )


def test_axes_together_must_divide():
    declared = {"rows": Param((6,), ("batch",), constant(0.0))}
    with pytest.raises(WeightsError, match="batch of 6 .* mesh axis data x fsdp of 4"):
        sharding.shardings(declared, abstract_mesh(data=2, fsdp=2))
