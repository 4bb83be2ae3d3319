# SPDX-License-Identifier: Apache-2.0
"""One declaration per weight: shape, logical axes, start. Everything else derives from it."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Init = Callable[[jax.Array, tuple[int, ...]], jax.Array]


def weights(cls: Any) -> Any:
    """A frozen dataclass of arrays (or of more of these), registered as a pytree."""
    tree = jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))
    tree.__no_type_check__ = True  # the same classes hold `Param`s, shardings and shapes
    return tree


@dataclasses.dataclass(frozen=True)
class Param:
    """A weight: shape, one logical axis name (or None) per dimension, and how it starts."""

    shape: tuple[int, ...]
    axes: tuple[str | None, ...]
    init: Init

    def __post_init__(self):
        if len(self.shape) != len(self.axes):
            raise ValueError(f"shape {self.shape} and axes {self.axes} differ in length")


def normal(fan_in: int, scale: float = 1.0) -> Init:
    """Gaussian with standard deviation scale / sqrt(fan_in)."""
    return lambda key, shape: jax.random.normal(key, shape) * (scale / math.sqrt(fan_in))


def constant(value: float) -> Init:
    return lambda key, shape: jnp.full(shape, value, jnp.float32)


def exactly(array: np.ndarray) -> Init:
    """The array itself, broadcast where the shape has more of it."""
    return lambda key, shape: jnp.broadcast_to(jnp.asarray(array, jnp.float32), shape)


def is_param(x: Any) -> bool:
    return isinstance(x, Param)


def names(tree: Any) -> list[str]:
    """The dotted name of every leaf, in tree order: `read.0.query`, as on disk."""
    paths = jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_param)[0]
    return [".".join(str(getattr(k, "name", getattr(k, "idx", k))) for k in p) for p, _ in paths]


def initialise(declared: Any, key: jax.Array) -> Any:
    """Arrays for a tree of `Param`s; a weight's numbers depend on `key` and its name only."""
    leaves, tree = jax.tree.flatten(declared, is_leaf=is_param)
    keys = [jax.random.fold_in(key, abs(hash_name(n)) % 2**31) for n in names(declared)]
    return tree.unflatten([p.init(k, p.shape) for p, k in zip(leaves, keys, strict=True)])


def hash_name(name: str) -> int:
    """A stable hash: Python's own differs from run to run."""
    value = 2166136261
    for byte in name.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return value


def abstract(declared: Any, dtype=jnp.float32) -> Any:
    """Shapes without memory, for lowering and for checking files."""
    return jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, dtype), declared, is_leaf=is_param)


def count(tree: Any) -> int:
    """Parameters in a tree of `Param`s or arrays."""
    return sum(math.prod(x.shape) for x in jax.tree.leaves(tree, is_leaf=is_param))
