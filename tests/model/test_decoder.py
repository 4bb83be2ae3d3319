# SPDX-License-Identifier: Apache-2.0
"""The plain forward pass: causal, blind to padding, and able to recall before any training."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux import params
from pollux.config import SPARK, TINY
from pollux.model import answer, decoder, read
from pollux.ops.norm import rms_norm

CONTEXT, QUESTION = 48, 16
ask = jax.jit(decoder.answers, static_argnums=1)


def sequence(seed=0):
    """A document, then a question in a segment of its own."""
    tokens = np.random.default_rng(seed).integers(1, 256, CONTEXT + QUESTION)
    segment = np.repeat([0, 1], [CONTEXT, QUESTION])
    return jnp.asarray(tokens, jnp.int32), jnp.asarray(segment, jnp.int32)


def test_later_tokens_do_not_matter(cfg, weights):
    tokens, segment = sequence()
    at = jnp.array([10, CONTEXT - 1, CONTEXT, CONTEXT + 5])
    expected = ask(weights, cfg, tokens, segment, at)
    changed = tokens.at[CONTEXT + 6 :].set(sequence(1)[0][CONTEXT + 6 :])
    got = ask(weights, cfg, changed, segment, at)
    np.testing.assert_allclose(got, expected, atol=2e-5)
    got = ask(weights, cfg, changed.at[11:].set(7), segment, at)
    np.testing.assert_allclose(got[0], expected[0], atol=2e-5)
    assert (np.abs(got - expected)[1:].max(-1) > 1e-2).all()


def test_distant_context_matters(cfg, weights):
    """Through the memory: the question's own layers see the question alone."""
    tokens, segment = sequence()
    at = jnp.array([CONTEXT + 3] * 4)
    before = ask(weights, cfg, tokens, segment, at)
    after = ask(weights, cfg, tokens.at[:CONTEXT].set(7), segment, at)
    assert np.abs(before - after).max() > 1e-2


def test_padding_is_never_recalled(cfg, weights):
    tokens, segment = sequence()
    at = jnp.array([CONTEXT + 1, CONTEXT + 5, CONTEXT + 9, CONTEXT + 15])
    expected = ask(weights, cfg, tokens, segment, at)
    gap = jnp.full(16, 0, jnp.int32)
    padded = jnp.concatenate([tokens[:CONTEXT], gap, tokens[CONTEXT:]])
    owner = jnp.concatenate([segment[:CONTEXT], gap + 2, segment[CONTEXT:]])
    got = ask(weights, cfg, padded, owner, at + 16)
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_sharpness_grows_with_the_keys():
    assert decoder.sharpness(SPARK, 100) == 1.0
    assert decoder.sharpness(SPARK, SPARK.trained_keys) == 1.0
    more = decoder.sharpness(SPARK, 16 * SPARK.trained_keys)
    np.testing.assert_allclose(more, 16**SPARK.sharpness, rtol=1e-6)


@pytest.mark.parametrize("cfg", [TINY, SPARK], ids=lambda c: c.name)
def test_recall_by_initialisation(cfg):
    """Untrained, the first answer layer finds where a passage of random tokens stood before."""
    p = params.initialise(decoder.declare(cfg), jax.random.key(0))
    segment = jnp.repeat(jnp.array([[0, 1]]), jnp.array([192, 64]), 1, total_repeat_length=256)
    begun = 8  # tokens of the passage, before which what stood there first still shows
    at, right = jnp.arange(192 + begun, 255), np.arange(64 + begun + 1, 128)

    @jax.jit
    def recalled(tokens):
        got, _, _ = decoder.read_chunk(p, cfg, tokens, segment, read.empty_state(cfg, 1))
        asked = answer.layer_query(p.answer[0], cfg, got.hidden[0, at], got.gathered[0, at])
        visible = jnp.arange(256) <= at[:, None]
        own = visible & (segment[0] == 1)
        following = answer.joins(at, segment[0]), answer.begins(segment[0])
        memory = answer.Visible(got.key[0], got.value[0], visible, own, *following)
        return answer.recall(p.answer[0], cfg, asked, memory)[1].argmax(-1)

    shares = []
    for seed in range(6):
        tokens = np.random.default_rng(seed).integers(17, cfg.vocab_size, (1, 256))
        tokens[:, 192:] = tokens[:, 64:128]
        found = recalled(jnp.asarray(tokens, jnp.int32))
        shares.append(float((np.asarray(found) == right[:, None]).mean()))
    assert np.mean(shares) >= 0.9


def seen(cfg, rng, positions=5, keys=40):
    """Queries without a bonus, and a memory of which each position sees about half."""
    shapes = (positions, cfg.recall_heads, cfg.key_dim), (keys, cfg.key_dim), (keys, cfg.value_dim)
    asked, key, value = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes)
    visible = jnp.asarray(rng.random((positions, keys)) < 0.5)
    own = visible & (jnp.arange(keys) >= keys - 8)
    joins, begins = (jnp.asarray(rng.random(n) < 0.3) for n in (positions, keys))
    bonus, decay = jnp.zeros(asked.shape[:2]), jnp.asarray(rng.random(asked.shape[:2]), jnp.float32)
    memory = answer.Visible(key, value, visible, own, joins, begins)
    return answer.Query(asked * 0.1, bonus, decay), memory


def test_recall_weighs_everything(cfg, weights):
    """Weights of keys and null key sum to 1; what is not visible weighs nothing."""
    layer = weights.answer[0]
    query, memory = seen(cfg, np.random.default_rng(0))
    memory = memory._replace(visible=memory.visible.at[0].set(False))
    got, weight, nothing = answer.recall(layer, cfg, query, memory)
    np.testing.assert_allclose(weight.sum(-1) + nothing, 1.0, rtol=1e-5)
    assert not np.where(memory.visible[:, None], 0.0, weight).any()
    np.testing.assert_allclose(got[0], layer.null_value, rtol=1e-6)


def test_own_bonus_is_for_own_keys(cfg, weights):
    """They gain by one factor; all others, and the null key, lose by one."""
    layer = weights.answer[0]
    query, memory = seen(cfg, np.random.default_rng(1))
    _, before, null_before = answer.recall(layer, cfg, query, memory)
    more = query._replace(own_bonus=query.own_bonus + 1.5)
    _, after, null_after = answer.recall(layer, cfg, more, memory)
    own = np.broadcast_to(memory.own[:, None], after.shape)
    far = np.broadcast_to((memory.visible & ~memory.own)[:, None], after.shape)
    assert own.any() and far.any()
    assert (after[own] > before[own]).all() and (after[far] < before[far]).all()
    share = np.broadcast_to((null_after / null_before)[..., None], after.shape)
    np.testing.assert_allclose((after / before)[far], share[far], rtol=1e-4)
    np.testing.assert_allclose((after / before)[own], share[own] * np.exp(1.5), rtol=1e-4)


def test_bonus_and_decay_begin_without_what_was_read():
    """Before training the same everywhere; then what each head makes of what was read."""
    fresh = params.initialise(answer.declare_layer(TINY, 1.0), jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (9, TINY.embed_dim))
    query = answer.layer_query(fresh, TINY, x, x)
    assert not query.own_bonus.any()
    assert np.array_equal(query.decay, np.broadcast_to(query.decay[0], query.decay.shape))
    assert (0 < query.decay).all() and (query.decay < 1).all()
    one = jnp.zeros_like(fresh.own).at[:, 1].set(1.0)
    query = answer.layer_query(dataclasses.replace(fresh, own=one, follow=one), TINY, x, x)
    felt = rms_norm(x, fresh.norm).sum(-1)
    assert not query.own_bonus[:, 0].any()
    np.testing.assert_allclose(query.own_bonus[:, 1], felt, rtol=1e-4)
    expected = jax.nn.sigmoid(felt + fresh.follow_bias[1])
    np.testing.assert_allclose(query.decay[:, 1], expected, rtol=1e-4)


def test_joins_and_begins():
    segment = jnp.array([0, 0, 0, 1, 1, 1, 2])
    assert answer.begins(segment).tolist() == [True, *[False] * 2, True, *[False] * 2, True]
    at = jnp.array([0, 1, 2, 3, 5, 4, 5])
    assert answer.joins(at, segment).tolist() == [False, True, True, *[False] * 3, True]


def test_positions_of_an_answer_follow_each_other(cfg, weights):
    """A position recalls by those right before it in `at`, never by any other."""
    tokens, segment = sequence()
    alone = ask(weights, cfg, tokens, segment, jnp.array([CONTEXT + 5] * 3))
    after = ask(weights, cfg, tokens, segment, jnp.array([CONTEXT + 3, CONTEXT + 4, CONTEXT + 5]))
    apart = ask(weights, cfg, tokens, segment, jnp.array([CONTEXT + 2, CONTEXT + 3, CONTEXT + 5]))
    np.testing.assert_allclose(apart[2], alone[0], atol=2e-5)
    assert np.abs(after[2] - alone[0]).max() > 1e-3


def test_following_tells_long_runs_apart():
    """Two passages end alike for as long as keys reach; one began as the question did."""
    cfg, run = TINY, 24
    p = params.initialise(decoder.declare(cfg), jax.random.key(0))
    segment = jnp.repeat(jnp.array([0, 1]), jnp.array([128, 32]), total_repeat_length=160)
    at = jnp.arange(128, 128 + run)

    @jax.jit
    def lead(tokens, follow):
        """By how much the right key's score is above the other's, of each head."""
        layer = dataclasses.replace(p.answer[0], follow_bias=jnp.full(cfg.recall_heads, follow))
        state = read.empty_state(cfg, 1)
        got, _, _ = decoder.read_chunk(p, cfg, tokens[None], segment[None], state)
        asked = answer.layer_query(layer, cfg, got.hidden[0, at], got.gathered[0, at])
        visible = jnp.broadcast_to(segment == 0, (run, 160))
        following = answer.joins(at, segment), answer.begins(segment)
        memory = answer.Visible(got.key[0], got.value[0], visible, ~visible, *following)
        score = answer.matched(asked, memory)[-1]
        return score[:, 10 + run] - score[:, 70 + run]

    gained = []
    for seed in range(4):
        tokens = np.random.default_rng(seed).integers(17, cfg.vocab_size, 160)
        question = tokens[128 : 128 + run]
        tokens[10 : 10 + run] = question
        tokens[70 + run - cfg.recall_width : 70 + run] = question[-cfg.recall_width :]
        words = jnp.asarray(tokens, jnp.int32)
        gained.append(lead(words, 2.0) - lead(words, -20.0))
    assert np.mean(gained) > 1.0, gained
    assert np.min(gained) > 0.0, gained


def test_scores_are_temperature_times_cosine():
    """Logits of recall stay within its temperature, whatever the inputs' size."""
    fresh = params.initialise(answer.declare_layer(TINY, 1.0), jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (9, TINY.embed_dim)) * 50
    query = answer.layer_query(fresh, TINY, x, x).query
    length = jnp.linalg.norm(query, axis=-1) * TINY.key_dim**0.5
    np.testing.assert_allclose(length, TINY.recall_scale, rtol=1e-4)
