# SPDX-License-Identifier: Apache-2.0
"""What is trained: answers at their positions, from the memory they would have when asked."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux import params
from pollux.config import Picture
from pollux.model import decoder
from pollux.train.loss import Measures, loss, mean

LENGTH = 64
HALF = LENGTH // 2


@pytest.fixture(scope="module")
def weights(recipe):
    return params.initialise(decoder.declare(recipe.config), jax.random.key(0))


@pytest.fixture(scope="module")
def measure(recipe, weights):
    """The measures of a batch, by the same compiled function for all."""
    measured = partial(
        loss,
        weights,
        recipe.config,
        look_weight=0.5,
        text_weight=0.25,
        survey_weight=0.0,
        draw_weight=0.0,
    )
    compiled = jax.jit(measured)
    return lambda batch: Measures(*map(np.asarray, compiled(batch=batch)[1]))


def changed(batch, row, columns, token=7):
    return batch._replace(tokens=batch.tokens.at[row, columns].set(token))


def of_row(batch, row):
    """The batch with answers in one row alone."""
    return batch._replace(weight=jnp.where(batch.at // LENGTH == row, batch.weight, 0.0))


def test_equals_the_plain_forward_pass(recipe, weights, measure, copy_batch):
    """One row: the same logits as `decoder.answers` gives when it may recall every key."""
    cfg = dataclasses.replace(recipe.config, recall_top_k=LENGTH)
    batch = copy_batch(0, rows=1)
    logits = jax.jit(decoder.answers, static_argnums=1)(
        weights, cfg, batch.tokens[0], batch.segment[0], batch.at
    )
    right = jnp.take_along_axis(jax.nn.log_softmax(logits), batch.target[:, None], 1)
    got = measure(batch)
    np.testing.assert_allclose(got.answer, -right.mean(), rtol=1e-4)
    np.testing.assert_allclose(got.right, (logits.argmax(-1) == batch.target).mean(), atol=1e-6)


def test_answer_positions_only(measure, copy_batch):
    batch = copy_batch(0)
    expected = measure(batch)
    assert np.isfinite(expected.loss)
    silent = batch._replace(weight=batch.weight.at[3].set(0.0))
    other = silent._replace(target=silent.target.at[3].set(9))
    assert measure(silent).loss == measure(other).loss != expected.loss
    nothing = measure(batch._replace(weight=0 * batch.weight, look=0 * batch.look))
    assert nothing.loss == nothing.answer == nothing.text == nothing.found == 0


def test_text_weighs_less_than_answers(measure, copy_batch):
    batch = copy_batch(0)
    batch = batch._replace(look=0 * batch.look)
    answers, text = measure(batch), measure(batch._replace(weight=batch.weight / 2))
    assert text.answer == answers.text == 0
    np.testing.assert_allclose(text.text, answers.answer, rtol=1e-6)
    np.testing.assert_allclose(text.loss, 0.25 * answers.loss, rtol=1e-6)


def test_documents_of_other_rows_are_negatives(measure, copy_batch):
    batch = of_row(copy_batch(0), 0)
    expected = measure(batch).answer
    assert measure(changed(batch, 1, slice(0, HALF))).answer != expected
    assert abs(measure(changed(batch, 1, slice(HALF, LENGTH))).answer - expected) < 1e-5


def test_no_row_goes_on_in_the_next(measure, copy_batch):
    """Though what is asked for begins at the end of one document and goes on in the other."""
    batch, begun = of_row(copy_batch(0), 1), 10
    words = batch.tokens[1, HALF:]
    tokens = batch.tokens.at[0, -begun:].set(words[:begun])
    tokens = tokens.at[1, : HALF - begun].set(words[begun:])
    there = batch._replace(tokens=tokens, segment=batch.segment.at[0].set(0), look=0 * batch.look)
    turned = there._replace(
        tokens=tokens[::-1], segment=there.segment[::-1], at=(batch.at + LENGTH) % (2 * LENGTH)
    )
    assert measure(there).answer == pytest.approx(measure(turned).answer, rel=1e-5)


def test_answers_follow_their_own_positions(measure, copy_batch):
    """Recall at a position is helped by those right before it, and by no other."""
    batch = copy_batch(0)
    some = jnp.arange(len(batch.at))
    early = batch._replace(weight=jnp.where(some < 8, batch.weight, 0.0), look=0 * batch.look)
    later = early._replace(at=jnp.where(some < 8, batch.at, batch.at[::-1]))
    assert measure(later).answer == pytest.approx(measure(early).answer, rel=1e-5)
    apart = jnp.array([*range(0, 8, 2), *range(1, 8, 2), *range(8, len(batch.at))])
    torn = early._replace(at=batch.at[apart], target=batch.target[apart])
    assert abs(measure(torn).answer - measure(early).answer) > 1e-4


def test_nothing_later_and_no_padding_is_seen(measure, copy_batch):
    batch = copy_batch(0)
    early = batch._replace(
        weight=jnp.where(batch.at < HALF + 10, batch.weight, 0.0), look=0 * batch.look
    )
    expected = measure(early).answer
    assert abs(measure(changed(early, 0, slice(HALF + 11, LENGTH))).answer - expected) < 1e-5
    gone, seen = (measure(changed(early, 1, slice(0, HALF), token)) for token in (0, 7))
    assert gone.answer < seen.answer < expected * 2  # fewer negatives, less to confuse


def test_looks(measure, copy_batch):
    """Where to look counts; looks at nothing ask for the null key; none ask for nothing."""
    batch = copy_batch(0)
    right = measure(batch)
    assert right.found > 0.9
    wrong = measure(batch._replace(look=(batch.look + 7) % HALF))
    assert wrong.loss > right.loss + 1
    assert wrong.found < 0.1
    absent = measure(batch._replace(look=0 * batch.look - 1))
    assert absent.loss > right.loss
    assert absent.found < 0.1
    anywhere = measure(batch._replace(look=0 * batch.look))
    assert anywhere.loss == anywhere.answer == right.answer


def test_what_is_told_is_not_recalled(measure, copy_batch):
    batch = copy_batch(0)
    without = measure(batch)
    nothing = jnp.full((len(batch.at), 3), batch.tokens.size)
    for got, expected in zip(measure(batch._replace(told=nothing)), without, strict=True):
        np.testing.assert_array_equal(got, expected)
    told = measure(batch._replace(told=nothing.at[:, 1].set(batch.look[:, 0])))
    assert without.found > 0.5 and told.found == 0
    assert told.answer > without.answer


def test_survey_counts_by_its_weight(recipe, weights, measure, copy_batch):
    """A passage of another row is the wrong one, whose own has the very words."""
    batch = copy_batch(0)
    assert measure(batch).surveyed == 1
    batch = batch._replace(passage=batch.passage[::-1])
    without = measure(batch)
    assert without.survey > 1 and without.surveyed == 0
    shares = {"look_weight": 0.5, "text_weight": 0.25, "survey_weight": 0.5, "draw_weight": 0.0}
    counted = jax.jit(partial(loss, cfg=recipe.config, **shares))  # eager, its checks take long
    with_it = counted(weights, batch=batch)[1]
    np.testing.assert_allclose(with_it.loss, without.loss + 0.5 * without.survey, rtol=1e-5)
    nothing = measure(batch._replace(passage=0 * batch.passage))
    assert nothing.survey == nothing.surveyed == 0


def test_image_codes_have_a_loss_of_their_own(recipe, weights, measure, copy_batch):
    """They are no answers that are right or wrong, and weigh what they are told to."""
    hand = Picture(channels=4, levels=(4, 3))
    cfg = dataclasses.replace(recipe.config, vocab_size=244, picture=hand, image_codes=12)
    batch = copy_batch(0)
    batch = batch._replace(target=jnp.minimum(batch.target, 243).at[5].set(250))
    shares = {"look_weight": 0.5, "text_weight": 0.25, "survey_weight": 0.0, "draw_weight": 0.5}
    got = jax.jit(partial(loss, cfg=cfg, **shares))(weights, batch=batch)[1]
    others = measure(batch._replace(weight=batch.weight.at[5].set(0.0)))
    alone = measure(batch._replace(weight=jnp.zeros_like(batch.weight).at[5].set(1.0)))
    np.testing.assert_allclose(got.drawn, alone.answer, rtol=1e-5)
    np.testing.assert_allclose([got.answer, got.right], [others.answer, others.right], rtol=1e-5)
    np.testing.assert_allclose(got.loss, others.loss + 0.5 * got.drawn, rtol=1e-5)
    assert others.drawn == alone.drawn == 0


def test_load_is_that_of_every_layer(recipe, measure, copy_batch):
    load = measure(copy_batch(0)).load
    cfg = recipe.config
    assert load.shape == (cfg.read_layers + cfg.answer_layers, cfg.experts.num_experts)
    np.testing.assert_allclose(load.sum(1), 1.0, rtol=1e-5)


def test_mean():
    x = jnp.array([1.0, 2.0, 6.0])
    assert mean(x, jnp.array([1.0, 0.0, 1.0])) == 3.5
    assert mean(x, jnp.zeros(3)) == 0.0
    assert mean(x > 1, jnp.array([True, True, False])) == 0.5
