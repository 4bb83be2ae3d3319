# SPDX-License-Identifier: Apache-2.0
"""The one table from logical axes to mesh axes: to try another layout, change `RULES` alone.

Mesh axes: `data` (copies of the model), `fsdp` (weights and optimizer state split, gathered layer
by layer), `expert`, `tensor` (heads and hidden units), `seq` (tokens of a reading).
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from pollux.errors import WeightsError
from pollux.params import Param, is_param, names

MESH_AXES = ("data", "fsdp", "expert", "tensor", "seq")
RULES: dict[str | None, str | tuple[str, ...] | None] = {
    "batch": ("data", "fsdp"),
    "tokens": "seq",
    "vocab": "tensor",
    "embed": "fsdp",
    "heads": "tensor",
    "hidden": "tensor",
    "experts": "expert",
    "head": None,
    "taps": None,
    None: None,
}


def mesh(shape: dict[str, int], devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh with every axis of `MESH_AXES`; those not in `shape` have size 1."""
    if unknown := set(shape) - set(MESH_AXES):
        raise WeightsError(f"unknown mesh axis {sorted(unknown)}; there are {', '.join(MESH_AXES)}")
    sizes = tuple(shape.get(axis, 1) for axis in MESH_AXES)
    auto = (jax.sharding.AxisType.Auto,) * len(MESH_AXES)
    return jax.make_mesh(sizes, MESH_AXES, axis_types=auto, devices=devices)


def spec(*axes: str | None) -> PartitionSpec:
    return PartitionSpec(*(RULES[axis] for axis in axes))


def shardings(declared: Any, on: Mesh | AbstractMesh) -> Any:
    """A NamedSharding for every `Param`; a dimension that does not divide is refused by name."""
    flat, tree = jax.tree.flatten(declared, is_leaf=is_param)
    return tree.unflatten([_sharding(n, p, on) for n, p in zip(names(declared), flat, strict=True)])


def _sharding(name: str, param: Param, on: Mesh | AbstractMesh) -> NamedSharding:
    for size, axis in zip(param.shape, param.axes, strict=True):
        rule = RULES[axis]
        parts = (rule,) if isinstance(rule, str) else rule or ()
        if size % (ways := math.prod(on.shape[part] for part in parts)):
            raise WeightsError(
                f"{name}: dimension {axis} of {size} does not divide by mesh axis "
                f"{' x '.join(parts)} of {ways}; choose a mesh that divides it or change "
                "sharding.RULES"
            )
    return NamedSharding(on, spec(*param.axes))


def everywhere(on: Mesh) -> NamedSharding:
    """A copy on every device."""
    return NamedSharding(on, spec())


def batch_sharding(on: Mesh) -> NamedSharding:
    """For arrays [batch, ...] of a training step."""
    return NamedSharding(on, spec("batch"))


def token_sharding(on: Mesh) -> NamedSharding:
    """For arrays [rows, tokens, ...] of a read."""
    return NamedSharding(on, spec("batch", "tokens"))
