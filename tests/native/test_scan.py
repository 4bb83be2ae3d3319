# SPDX-License-Identifier: Apache-2.0
"""The compiled scan gives what XLA's does, and nothing breaks where it cannot be compiled."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollux.engine import model as engine
from pollux.native import library, scan

HEADS, WIDTH = 4, 64


def stretch(rng, keys, heads=HEADS, width=WIDTH):
    since = np.arange(keys)
    for start in rng.integers(0, keys, int(rng.integers(0, 12))):  # parts begin here
        since[start:] = np.arange(keys - start)
    edge = engine.Edge(
        rng.integers(-127, 128, (8, width)).astype(np.int8),
        rng.random(8).astype(np.float16),
        rng.normal(size=(heads, 8)).astype(np.float32),
    )
    return (
        rng.integers(-128, 128, (keys, width)).astype(np.int8),
        rng.random(keys).astype(np.float16),
        rng.random(keys) < 0.9,
        np.minimum(since + 300 * (rng.random() < 0.5), 255).astype(np.uint8),
        rng.normal(size=(heads, keys)).astype(np.float32),
        edge,
    )


def positions(rng, count, heads=HEADS, width=WIDTH):
    digits = rng.integers(-127, 128, (count, heads, width)).astype(np.int8)
    scale, decay = rng.random((2, count, heads)).astype(np.float32)
    return digits, scale * 1e-4, decay


needs_it = pytest.mark.skipif(
    not library.NEEDED <= library.processor(), reason="a processor without AVX-512 VNNI"
)


@needs_it
@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 8]),
    st.sampled_from([(3, 64), (4, 128)]),
    st.sampled_from([256, 20_480]),
)
def test_sums_are_those_of_xla(seed, count, shape, keys):
    rng = np.random.default_rng(seed)
    asked, here = positions(rng, count, *shape), stretch(rng, keys, *shape)
    total, best = jax.jit(engine._scan)(*asked, *here)
    add = scan.scan(*shape)
    assert add
    mine = here[4].copy()
    same, mine_best = add(*asked, *here[:4], mine, here[5])
    assert same is mine
    np.testing.assert_allclose(mine, total, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(mine_best, best, rtol=1e-5, atol=1e-5)


@needs_it
def test_one_stretch_or_two():
    rng = np.random.default_rng(1)
    asked, (keys, scales, valid, since, total, edge) = positions(rng, 8), stretch(rng, 8_192)
    add = scan.scan(HEADS, WIDTH)
    assert add
    whole, parted = total.copy(), [total[:, :4_096].copy(), total[:, 4_096:].copy()]
    _, best = add(*asked, keys, scales, valid, since, whole, edge)
    edges = [edge, scan.ends(keys[:4_096], scales[:4_096], parted[0])]
    bests = []
    for i, at in enumerate((slice(0, 4_096), slice(4_096, 8_192))):
        arrays = keys[at], scales[at], valid[at], since[at]
        bests.append(add(*asked, *arrays, parted[i], edges[i])[1])
    assert np.array_equal(whole, np.concatenate(parted, 1))
    assert np.array_equal(best, np.concatenate(bests, 1))


@pytest.mark.parametrize("heads, width", [(4, 32), (scan.HEADS + 1, 64), (4, 320)])
def test_other_shapes_are_left_to_xla(heads, width):
    assert scan.scan(heads, width) is None


@pytest.fixture
def nothing_compiled(monkeypatch, tmp_path):
    monkeypatch.setenv("POLLUX_CACHE", str(tmp_path))
    scan.scan.cache_clear()
    yield tmp_path
    scan.scan.cache_clear()


@pytest.mark.parametrize("compiler", ["/nowhere/cc", "false"])
def test_without_a_compiler_there_is_xla(nothing_compiled, monkeypatch, compiler):
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("PATH", "/usr/bin" if compiler == "false" else "/nowhere")
    assert scan.scan(HEADS, WIDTH) is None
    assert not list(nothing_compiled.rglob("*.so"))


@needs_it
def test_it_is_compiled_once(nothing_compiled):
    assert scan.scan(HEADS, WIDTH)
    (made,) = nothing_compiled.rglob("*.so")
    scan.scan.cache_clear()
    before = made.stat().st_mtime_ns
    assert scan.scan(HEADS, WIDTH) and made.stat().st_mtime_ns == before


def test_sums_too_many_at_once_are_refused():
    if not (add := scan.scan(HEADS, WIDTH)):
        pytest.skip("not compiled")
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="9 positions"):
        add(*positions(rng, 9), *stretch(rng, 256))
