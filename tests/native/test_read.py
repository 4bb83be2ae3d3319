# SPDX-License-Identifier: Apache-2.0
"""The compiled read stack gives what XLA's does, and a token the same in whatever chunk."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollux import params
from pollux.config import SPARK, TINY, Experts
from pollux.engine import chunk
from pollux.model import decoder, read
from pollux.native import library
from pollux.native.read import stack

NARROW = replace(
    SPARK, embed_dim=64, num_heads=6, num_kv_heads=2, head_dim=48, window=32, read_layers=2
)
CONFIGS = {
    "spark": SPARK,
    "tiny": TINY,
    "several key heads": NARROW,
    "dense": replace(TINY, experts=Experts(num_experts=0, top_k=2, expert_dim=16, shared_dim=48)),
    "many experts": replace(
        NARROW, experts=Experts(num_experts=20, top_k=5, expert_dim=32, shared_dim=16)
    ),
}
WEIGHTS = {
    name: params.initialise(decoder.declare(CONFIGS[name]), jax.random.key(0)) for name in CONFIGS
}

needs_it = pytest.mark.skipif(
    not library.NEEDED <= library.processor(), reason="a processor without AVX-512 VNNI"
)


def document(rng, cfg, tokens):
    """Embedded tokens and segments, some of which begin within a window."""
    x = rng.normal(size=(tokens, cfg.embed_dim)).astype(np.float32)
    begins = rng.integers(0, tokens, int(rng.integers(0, 9)))
    return x, np.isin(np.arange(tokens), begins).cumsum().astype(np.int32)


def compiled(name):
    made = stack(WEIGHTS[name].read, CONFIGS[name])
    assert made
    return made


def begin(cfg):
    state = read.empty_state(cfg, 1)
    return np.asarray(state.inputs[:-1, 0]), np.asarray(state.segment[0])


@needs_it
@pytest.mark.parametrize("name", CONFIGS)
def test_it_reads_as_xla_does(name):
    cfg, rng = CONFIGS[name], np.random.default_rng(1)
    x, segment = document(rng, cfg, 20 * cfg.window)
    state, (before, owner) = read.empty_state(cfg, 1), begin(cfg)
    made = compiled(name)
    for at in (slice(0, 16 * cfg.window), slice(16 * cfg.window, None)):
        want, state, _ = jax.jit(lambda *given: read.read(WEIGHTS[name].read, cfg, *given))(
            x[None, at], segment[None, at], state
        )
        state = read.after(state, cfg, want.shape[1])
        owner = np.concatenate([owner, segment[at]])
        got, before = made.read(x[at], owner, before)
        owner = owner[-cfg.state_tokens :]
        np.testing.assert_allclose(got, want[0], atol=2e-4)
        np.testing.assert_allclose(before, state.inputs[:-1, 0], atol=2e-4)


@needs_it
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_any_chunks_are_bit_for_bit_the_whole(seed, sizes):
    cfg, made = SPARK, compiled("spark")
    x, segment = document(np.random.default_rng(seed), cfg, sum(sizes) * cfg.window)
    before, owner = begin(cfg)
    whole, after = made.read(x, np.concatenate([owner, segment]), before)
    pieces, at = [], 0
    for size in sizes:
        here = slice(at, at := at + size * cfg.window)
        owner = np.concatenate([owner[-cfg.state_tokens :], segment[here]])
        piece, before = made.read(x[here], owner, before)
        pieces.append(piece)
    assert np.array_equal(np.concatenate(pieces), whole)
    assert np.array_equal(before, after)


@needs_it
def test_a_chunk_is_remembered_as_by_xla():
    cfg, weights = SPARK, WEIGHTS["spark"]
    rng = np.random.default_rng(2)
    tokens = rng.integers(0, cfg.vocab_size, 8 * cfg.window, dtype=np.int32)
    tokens[100:128] = 0
    segment = np.repeat([0, 1], [128, 384]).astype(np.int32)
    state = read.empty_state(cfg, 1)
    want, left = jax.jit(lambda *given: chunk.read_chunk(weights, cfg, *given))(
        tokens, segment, state
    )
    got, after = chunk.reader(weights, cfg)(tokens, segment, state)
    for mine, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(np.asarray(mine, float), np.asarray(theirs, float), atol=1)
    assert np.mean(np.asarray(got.keys) == np.asarray(want.keys)) > 0.999
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), after, left)
    assert not np.asarray(got.keys)[100:128].any()


def test_what_it_cannot_do_is_left_to_xla(monkeypatch, tmp_path):
    assert stack(WEIGHTS["tiny"].read, replace(TINY, embed_dim=40)) is None
    assert stack(WEIGHTS["tiny"].read, replace(TINY, window=512)) is None
    monkeypatch.setenv("POLLUX_CACHE", str(tmp_path))
    monkeypatch.setenv("CC", "/nowhere/cc")
    monkeypatch.setenv("PATH", "/nowhere")
    assert stack(WEIGHTS["tiny"].read, TINY) is None
    read_chunk = chunk.reader(WEIGHTS["tiny"], TINY)
    got, _ = read_chunk(np.ones(32, np.int32), np.zeros(32, np.int32), read.empty_state(TINY, 1))
    assert jnp.isfinite(got.key_scales).all()


@needs_it
def test_half_windows_are_refused():
    before, owner = begin(TINY)
    x, segment = document(np.random.default_rng(0), TINY, 24)
    with pytest.raises(ValueError, match="24 tokens are no multiple of window 16"):
        compiled("tiny").read(x, np.concatenate([owner, segment]), before)
