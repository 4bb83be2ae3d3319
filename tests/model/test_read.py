# SPDX-License-Identifier: Apache-2.0
"""Reading in chunks is reading at once; parts start clean; nothing reaches further than it may."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollux.model import answer, decoder, read

LENGTH = 64
SIZES = (1, 7, 16, 32)  # few: each is compiled. TINY's window is 16 tokens
ROWS = 2
chunk = jax.jit(decoder.read_chunk, static_argnums=1)


def document(seed=0, rows=ROWS, length=LENGTH):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, 256, (rows, length))
    segment = np.sort(rng.integers(0, 4, (rows, length)), 1)
    return jnp.asarray(tokens, jnp.int32), jnp.asarray(segment, jnp.int32)


def read_in(sizes, weights, cfg, tokens, segment, state=None):
    """What reading gives, chunk after chunk, and the last state."""
    state = read.empty_state(cfg, tokens.shape[0]) if state is None else state
    got, at = [], 0
    for size in sizes:
        here = slice(at, at + size)
        part, state, _ = chunk(weights, cfg, tokens[:, here], segment[:, here], state)
        got.append(part)
        at += size
    return jax.tree.map(lambda *parts: np.concatenate(parts, 1), *got), state


def agree(left, right, tolerance=2e-5):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance)


def cut(order):
    """Chunk sizes in the order drawn, then whatever fills up the document."""
    sizes, left = [], LENGTH
    for size in [*order, *sorted(SIZES, reverse=True) * LENGTH]:
        if size <= left:
            sizes.append(size)
            left -= size
    return sizes


@given(st.lists(st.sampled_from(SIZES), max_size=30))
@settings(max_examples=12)
def test_any_chunks_equal_the_whole(cfg, weights, order):
    tokens, segment = document()
    whole = read_in([LENGTH], weights, cfg, tokens, segment)
    agree(read_in(cut(order), weights, cfg, tokens, segment), whole)


def test_chunk_of_no_allowed_size(cfg, weights):
    tokens, segment = document()
    with pytest.raises(ValueError, match="a chunk of 33 tokens is no multiple of window 16"):
        read_in([33], weights, cfg, tokens, segment)


def test_parts_start_clean(cfg, weights):
    """A part read after others is the part read alone: so readings can be put together."""
    tokens, _ = document()
    other, part = tokens[:, :32], tokens[:, 32:64]
    both = jnp.repeat(jnp.array([[0, 1]]), 32, 1).repeat(ROWS, 0)
    after, _ = read_in([64], weights, cfg, tokens[:, :64], both)
    alone, _ = read_in([32], weights, cfg, part, both[:, 32:])
    agree(jax.tree.map(lambda x: x[:, 32:], after), alone)
    _, state = read_in([32], weights, cfg, other, both[:, :32])
    later, _ = read_in([16, 16], weights, cfg, part, both[:, 32:], state)
    agree(later, alone)


def test_rows_do_not_touch(cfg, weights):
    tokens, segment = document()
    both, _ = read_in([LENGTH], weights, cfg, tokens, segment)
    one, _ = read_in([LENGTH], weights, cfg, tokens[1:], segment[1:])
    agree(jax.tree.map(lambda x: x[1:], both), one)


def test_changed_token_is_not_felt_beyond_the_receptive_field(cfg, weights):
    tokens, _ = document(rows=1)
    segment, at = jnp.zeros((1, LENGTH), jnp.int32), 20
    before, _ = read_in([LENGTH], weights, cfg, tokens, segment)
    changed = tokens.at[0, at].set(tokens[0, at] ^ 1)
    after, _ = read_in([LENGTH], weights, cfg, changed, segment)
    beyond = at + cfg.receptive_field + 1
    assert beyond < LENGTH
    agree(*(jax.tree.map(lambda x: x[:, :at], r) for r in (before, after)), 1e-6)
    agree(*(jax.tree.map(lambda x: x[:, beyond:], r) for r in (before, after)), 1e-6)
    moved = np.abs(before.key - after.key)[0].max(-1)
    assert (moved[at : at + cfg.window] > 1e-3).all()


def test_receptive_field_is_exact(cfg, weights):
    """The gradient is zero before it, and not at its first token."""
    tokens, _ = document(rows=1)
    segment, at = jnp.zeros((1, LENGTH), jnp.int32), 50

    @partial(jax.jit, static_argnums=2)
    @partial(jax.grad, argnums=1)
    def felt(p, x, cfg):
        state = read.empty_state(cfg, 1)
        before, owner = state.inputs[-1], state.segment
        x, _, _ = read.read(p.read, cfg, x, segment, state)
        key, value, _, _ = answer.memorise(p.memory, cfg, x, segment, before, owner)
        return (key * jnp.arange(cfg.key_dim))[0, at].sum() + value[0, at].sum()

    gradient = felt(weights, decoder.embed(weights, cfg, tokens), cfg)[0]
    reached = np.flatnonzero(np.abs(gradient).max(-1))
    assert (reached[0], reached[-1]) == (at - cfg.receptive_field, at)


def test_state_keeps_what_it_says(cfg, weights):
    tokens, segment = document()
    _, state = read_in([3], weights, cfg, tokens, segment)
    assert state.inputs.shape == (cfg.read_layers + 1, ROWS, cfg.state_tokens, cfg.embed_dim)
    assert np.array_equal(state.segment[:, -3:], segment[:, :3])
    assert (state.segment[:, :-3] == -1).all()
    assert not state.inputs[:, :, :-3].any()


@pytest.mark.parametrize("kept", [0, 1, 7, 16])
def test_what_was_read_ahead_can_be_cut(cfg, weights, kept):
    """Reading goes on after any token of a chunk as if no more had been read."""
    tokens, segment = document()
    _, begun = read_in([16], weights, cfg, tokens[:, :16], segment[:, :16])
    got, ahead, _ = jax.jit(decoder.read_ahead, static_argnums=1)(
        weights, cfg, tokens[:, 16:32], segment[:, 16:32], begun
    )
    agree(got, chunk(weights, cfg, tokens[:, 16:32], segment[:, 16:32], begun)[0])
    expected, until = begun, 16 + kept
    if kept:
        here = tokens[:, 16:until], segment[:, 16:until]
        expected = read_in([kept], weights, cfg, *here, begun)[1]
    agree(read.after(ahead, cfg, kept), expected)
