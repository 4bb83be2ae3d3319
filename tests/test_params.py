# SPDX-License-Identifier: Apache-2.0
"""A declaration gives names, shapes, counts and the same numbers every time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux import params
from pollux.config import TINY
from pollux.model import decoder
from pollux.params import Param, constant, exactly, normal, weights


@weights
class Inner:
    scale: jax.Array


@weights
class Outer:
    first: jax.Array
    layers: tuple[Inner, ...]


def scale(size: int) -> Inner:
    return Inner(scale=Param((size,), (None,), normal(1)))


def declared(layers: int = 2) -> Outer:
    first = Param((4, 3), ("vocab", "embed"), normal(4))
    return Outer(first=first, layers=tuple(scale(5) for _ in range(layers)))


def test_names_are_in_tree_order():
    assert params.names(declared()) == ["first", "layers.0.scale", "layers.1.scale"]
    made = params.initialise(declared(), jax.random.key(0))
    assert params.names(made) == params.names(declared())


def test_names_of_the_decoder_are_unique():
    names = params.names(decoder.declare(TINY))
    assert len(set(names)) == len(names)
    assert {"embedding", "read.0.query", "answer.1.experts.up", "memory.key_taps"} <= set(names)


def test_count_is_that_of_the_arrays():
    assert params.count(declared()) == 12 + 2 * 5
    made = params.initialise(declared(), jax.random.key(0))
    assert params.count(made) == params.count(declared())
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(made))


def test_abstract_takes_no_memory():
    shapes = jax.tree.leaves(params.abstract(declared(), jnp.bfloat16))
    assert [x.shape for x in shapes] == [(4, 3), (5,), (5,)]
    assert all(isinstance(x, jax.ShapeDtypeStruct) and x.dtype == jnp.bfloat16 for x in shapes)


def test_numbers_depend_on_key_and_name_only():
    key = jax.random.key(7)
    two, three = (params.initialise(declared(n), key) for n in (2, 3))
    assert np.array_equal(two.first, three.first)
    assert np.array_equal(two.layers[1].scale, three.layers[1].scale)
    assert not np.array_equal(three.layers[0].scale, three.layers[1].scale)
    other = params.initialise(declared(), jax.random.key(8))
    assert not np.array_equal(two.first, other.first)


def test_name_hash_is_stable():
    """FNV-1a: weights begun today are those begun on another machine."""
    assert params.hash_name("") == 0x811C9DC5
    assert params.hash_name("foobar") == 0xBF9CF968


def test_starts():
    key = jax.random.key(0)
    assert np.asarray(constant(2.5)(key, (3,))).tolist() == [2.5] * 3
    row = np.arange(3.0)
    assert np.array_equal(exactly(row)(key, (2, 3)), np.stack([row, row]))
    spread = normal(16, 2.0)(key, (20_000,))
    assert abs(float(spread.std()) - 0.5) < 0.02


def test_axes_match_the_shape():
    with pytest.raises(ValueError, match="differ in length"):
        Param((2, 3), ("embed",), constant(0.0))
