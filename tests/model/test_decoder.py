# SPDX-License-Identifier: Apache-2.0
"""The plain forward pass: causal, blind to padding, and able to recall before any training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux import params
from pollux.config import SPARK, TINY
from pollux.model import answer, decoder, read

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
        query = answer.layer_query(p.answer[0], cfg, got.hidden[0, at], got.gathered[0, at])
        visible = jnp.arange(256) <= at[:, None]
        weight = answer.recall(p.answer[0], cfg, query, got.key[0], got.value[0], visible)[1]
        return weight.argmax(-1)

    shares = []
    for seed in range(6):
        tokens = np.random.default_rng(seed).integers(17, cfg.vocab_size, (1, 256))
        tokens[:, 192:] = tokens[:, 64:128]
        found = recalled(jnp.asarray(tokens, jnp.int32))
        shares.append(float((np.asarray(found) == right[:, None]).mean()))
    assert np.mean(shares) >= 0.9


def test_recall_weighs_everything(cfg, weights):
    """Weights of keys and null key sum to 1; what is not visible weighs nothing."""
    rng, layer = np.random.default_rng(0), weights.answer[0]
    visible = jnp.asarray(rng.random((5, 40)) < 0.5).at[0].set(False)
    shapes = (5, cfg.recall_heads, cfg.key_dim), (40, cfg.key_dim), (40, cfg.value_dim)
    query, key, value = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes)
    got, weight, nothing = answer.recall(layer, cfg, query, key, value, visible)
    np.testing.assert_allclose(weight.sum(-1) + nothing, 1.0, rtol=1e-5)
    assert not np.where(visible[:, None], 0.0, weight).any()
    np.testing.assert_allclose(got[0], layer.null_value, rtol=1e-6)


def test_scores_are_temperature_times_cosine():
    """Logits of recall stay within its temperature, whatever the inputs' size."""
    fresh = params.initialise(answer.declare_layer(TINY, 1.0), jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (9, TINY.embed_dim)) * 50
    length = jnp.linalg.norm(answer.layer_query(fresh, TINY, x, x), axis=-1) * TINY.key_dim**0.5
    np.testing.assert_allclose(length, TINY.recall_scale, rtol=1e-4)
