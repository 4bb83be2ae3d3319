# SPDX-License-Identifier: Apache-2.0
"""Answering from a reading equals the plain forward pass over everything."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pollux
from pollux import Sampling
from pollux.engine import answer, scan
from pollux.engine.answer import Respondent, question_tokens
from pollux.model import decoder
from pollux.ops import quant

QUESTION = "Where does it say stone river lamp?"


def plain_logits(model, reading, asked):
    """Logits after each token of `asked`, by one forward pass over reading, question and answer."""
    loaded = model.loaded
    starts = np.zeros(len(reading), np.int32)
    for number, part in enumerate(reading.parts):
        starts[part.start :] = number
    tokens = np.concatenate([reading.tokens, asked]).astype(np.int32)
    segment = np.concatenate([starts, np.full(len(asked), len(reading.parts), np.int32)])
    at = jnp.arange(len(reading), len(tokens))
    plain = jax.jit(decoder.answers, static_argnums=1)  # eager, its checks take a minute
    return np.asarray(
        plain(loaded.weights, loaded.config, jnp.array(tokens), jnp.array(segment), at)
    )


def cached_logits(model, reading, asked, question):
    """The same, token by token from the memory."""
    respondent = Respondent(model.loaded, reading)
    x, gathered, state, own, used = respondent._begin(asked[:question], len(asked))
    out = [respondent._position(x, gathered, own)[0]]
    for token in asked[question:]:
        step = jnp.array([token], jnp.int32)
        x, gathered, state, own = model.loaded.read_own(
            step, jnp.zeros_like(step), state, own, used
        )
        used += 1
        out.append(respondent._position(x, gathered, own)[0])
    return np.stack(out)


def test_cached_answer_equals_the_full_forward_pass(model, parts):
    reading = model.read(*parts)
    asked = question_tokens(model.loaded, QUESTION)
    said = model.loaded.tokenizer.encode("stone river lamp")
    everything = np.concatenate([asked, said])
    expected = plain_logits(model, reading, everything)[len(asked) - 1 :]
    got = cached_logits(model, reading, everything, len(asked))
    # Untrained scores lie close together, so int8 may swap the last of the top k: a loose bound.
    assert np.abs(got - expected).max() < 0.15 * np.abs(expected).max()
    assert (got.argmax(-1) == expected.argmax(-1)).mean() >= 0.75


def test_scan_selects_what_a_scan_of_every_key_does(model, parts):
    reading = model.read(*parts)
    rng = np.random.default_rng(0)
    query = jnp.array(rng.normal(size=(model.loaded.config.recall_heads, 32)), jnp.float32)
    hits = scan.recall(model.loaded, scan.scannables(reading), *quant.split_query(query))
    keys = reading.keys.astype(np.float64) * np.repeat(reading.key_scales, 64)[:, None]
    score = np.asarray(query, np.float64) @ keys.T
    valid = np.concatenate([reading.valid_mask(i) for i in range(reading.num_segments)])
    score[:, ~valid] = -np.inf
    k = model.loaded.config.recall_top_k
    expected = -np.sort(-score, 1)[:, :k]
    np.testing.assert_allclose(hits.score, expected, atol=2e-3)
    for row, positions in zip(score, hits.position, strict=True):
        assert len(set(positions.tolist())) == k
        np.testing.assert_allclose(np.sort(row[positions])[::-1], -np.sort(-row)[:k], atol=2e-3)


def test_combined_readings_answer_like_one(model, parts):
    together = model.read(*parts)
    apart = pollux.Reading.combine([model.read(part) for part in parts])
    first, second = model.ask(together, QUESTION), model.ask(apart, QUESTION)
    assert first.text == second.text
    assert first.probability == pytest.approx(second.probability, rel=0.05)
    assert [s.place for s in first.sources] == [s.place for s in second.sources]


def test_scanning_covers_every_position_once(model, parts):
    apart = pollux.Reading.combine([model.read(part) for part in parts])
    seen = []
    for stretch in scan.scannables(apart):
        seen += stretch.to_reading(np.flatnonzero(np.asarray(stretch.valid))).tolist()
    expected = [p for part in apart.parts for p in range(part.start, part.end)]
    assert sorted(seen) == expected


def test_same_question_same_answer_and_streams_alike(model, parts):
    reading = model.read(*parts)
    first, second = model.ask(reading, QUESTION), model.ask(reading, QUESTION)
    assert dataclasses.replace(first, seconds=0.0) == dataclasses.replace(second, seconds=0.0)
    *pieces, last = model.stream(reading, QUESTION)
    assert isinstance(last, pollux.Answer)
    assert last.text == first.text
    if last.kind in ("answer", "unsure"):
        assert "".join(pieces) == last.text


def test_sampling_repeats_by_seed(model, parts):
    reading = model.read(*parts)
    texts = [
        model.ask(reading, QUESTION, Sampling(temperature=2.0, seed=seed, max_tokens=12)).text
        for seed in (1, 1, 2, 3, 4)
    ]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_max_tokens_is_kept_and_said(model, parts):
    reading = model.read(*parts)
    got = model.ask(reading, QUESTION, Sampling(max_tokens=2, temperature=5.0, seed=3))
    assert got.tokens <= 2
    assert got.finish in ("end", "max_tokens")
    assert got.finish == "end" or got.tokens == 2


@pytest.mark.parametrize("question", ["", "  \n\t "])
def test_empty_question_is_refused(model, parts, question):
    with pytest.raises(pollux.InputError, match="empty"):
        model.ask(model.read(parts[1]), question)


def test_endless_question_is_refused_not_cut(model, parts):
    with pytest.raises(pollux.InputError, match=r"20,00\d tokens"):
        model.ask(model.read(parts[1]), "7" * 20_000)


def test_sampling_out_of_range_is_refused():
    with pytest.raises(pollux.InputError, match="temperature"):
        Sampling(temperature=-1)
    with pytest.raises(pollux.InputError, match="max tokens"):
        Sampling(max_tokens=0)


def test_reading_of_other_weights_is_refused(model, parts):
    reading = model.read(parts[1])
    store = reading.stores[0]
    foreign = dataclasses.replace(store.manifest, weights_fingerprint="0" * 16)
    other = pollux.Reading((dataclasses.replace(store, manifest=foreign),))
    with pytest.raises(pollux.ReadingError, match="other weights"):
        model.ask(other, QUESTION)


def test_choose_takes_the_likeliest_at_temperature_0():
    rng = np.random.default_rng(0)
    token, probability = answer.choose(np.array([0.0, 3.0, 1.0]), 0.0, rng)
    assert token == 1
    assert probability == pytest.approx(np.exp(3) / (1 + np.exp(3) + np.exp(1)))
