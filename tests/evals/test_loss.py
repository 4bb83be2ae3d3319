# SPDX-License-Identifier: Apache-2.0
"""What is sampled is the loss of the plain forward pass, and what is made of it is right."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

import pollux
from pollux.engine import reader, scan
from pollux.engine.sampling import logprobs
from pollux.errors import InputError
from pollux.evals import loss, loss_report
from pollux.evals.command import app
from pollux.memory.store import PartSpan
from pollux.model import decoder
from pollux.tokenizer import Tokenizer

PASS = jax.jit(decoder.answers, static_argnums=1)


def story(seed: int, lines: int) -> str:
    """Random tokens, some of the lines twice: there is something to recall."""
    rng, tokenizer = np.random.default_rng(seed), Tokenizer.load()
    found: list[str] = []
    while len(found) < lines:
        found.append(tokenizer.decode(rng.integers(400, 8_000, 12)).replace("\n", " "))
        if len(found) > 4 and rng.random() < 0.5:
            found.append(found[int(rng.integers(len(found)))])
    return "".join(f"{line}\n" for line in found)


@pytest.fixture(scope="module")
def model(weights):
    """Recall gets sharper from 64 keys on, so that its doing so is seen."""
    loaded = pollux.load(weights).loaded
    return replace(loaded, config=replace(loaded.config, trained_keys=64))


@pytest.fixture(scope="module")
def reading(model):
    texts = story(1, 20), story(2, 2), story(3, 8)
    return reader.read(
        model, [pollux.Part(name=f"{i}.txt", kind="text", text=t) for i, t in enumerate(texts)]
    )


def plainly(model, reading, position: int) -> float:
    """The loss after a position by the plain forward pass over all tokens up to it.

    A token behind stands for the question that the pass knows: it sees none, nor is seen.
    """
    tokens = np.zeros(len(reading) + 1, np.int32)
    tokens[: position + 1] = reading.tokens[: position + 1]
    segment = np.full(len(tokens), len(reading.parts))
    for number, part in enumerate(reading.parts):
        segment[part.start : part.end] = number
    tokens[-1], segment[position + 1 :], segment[-1] = 5, 98, 99
    logits = PASS(
        model.weights,
        model.config,
        jnp.asarray(tokens),
        jnp.asarray(segment, jnp.int32),
        jnp.array([position]),
    )
    return -logprobs(np.asarray(logits[0]))[int(reading.tokens[position + 1])]


def test_sampled_loss_is_that_of_the_plain_pass(model, reading):
    rng = np.random.default_rng(0)
    first, last = reading.parts[0], reading.parts[-1]
    positions = loss.draw(reading.parts, 0, reading.num_valid, 8, rng)
    edges = [first.text_start - 1, first.text_start, last.text_start - 1, last.end - 2]
    positions = np.concatenate([positions, edges])
    expected = np.array([plainly(model, reading, int(at)) for at in positions])
    found = loss.nll(model, reading, positions)
    off = np.abs(found - expected)
    assert off.max() < 0.2 and off.mean() < 0.03  # the memory is int8
    assert expected.std() > 0.5


def test_keys_are_the_best_up_to_the_position(model, reading, monkeypatch):
    monkeypatch.setattr(loss, "KEYS", 128)
    positions = np.array([70, 3, len(reading) - 20])
    x, gathered = loss.read_again(model, reading, positions)
    queries = loss.Queries(*map(np.asarray, model.queries(x, gathered)))
    total, best = loss.recall(reading, positions, queries, 8)
    keys = reading.keys.astype(float) * reading.key_scales.astype(float)[:, None]
    valid = np.concatenate([s.valid for s in reading.segments()])
    for s, at in enumerate(positions):
        query = queries.digits[s].astype(float) * queries.scale[s][:, None]
        score = np.where(valid & (np.arange(len(keys)) <= at), query @ keys.T, scan.NOTHING)
        expected = -np.sort(-score, 1)[:, :8]
        np.testing.assert_allclose(total[s], expected, rtol=1e-4, atol=1e-4)
        real = total[s] > scan.NOTHING
        assert (best[s][real] <= at).all() and real.sum() == real.shape[0] * min(8, at + 1)


def test_what_is_drawn_is_text_at_its_depth():
    spans = [
        PartSpan(name=str(i), kind="text", note="", start=a, text_start=a + 5, end=b, sha256="")
        for i, (a, b) in enumerate([(0, 100), (128, 150), (192, 492)])
    ]
    rng = np.random.default_rng(0)
    every = loss.draw(spans, 0, 422, 1_000, rng)
    assert every.tolist() == [*range(4, 99), *range(132, 149), *range(196, 491)]
    assert loss.draw(spans, 100, 122, 1_000, rng).tolist() == [*range(132, 149)]
    assert loss.text_between(spans, 0, 422) == len(every)
    assert loss.text_between(spans, 90, 130) == 10 + 17 + 3
    some = loss.draw(spans, 130, 422, 20, rng)
    assert len(set(some.tolist())) == 20 and some.min() >= 199
    with pytest.raises(InputError, match="next to no text"):
        loss.draw(spans, 100, 105, 10, rng)


def test_all_of_a_stretch_leaves_nothing_to_chance(model, reading, monkeypatch):
    """The cumulative loss of everything drawn is the mean of everything."""
    monkeypatch.setattr(loss, "LEAST", 100)
    monkeypatch.setattr(loss, "nll", lambda model, reading, positions: positions.astype(float))
    whole = pollux.Reading.combine([reading.alone(reading.parts[0])])
    found = loss.sample(model, whole, 4, 10_000, 0)
    part = whole.parts[0]
    assert found[-1].end == part.end and found[0].end == loss.FIRST
    everything = np.arange(part.text_start - 1, part.end - 1)
    assert found[-1].cumulative == pytest.approx(everything.mean())
    assert found[-1].error == 0


def test_depths_are_even_on_a_log_scale():
    ends = np.array(loss.depths(1_000_000, 20))
    assert (ends[0], ends[-1], len(ends)) == (128, 1_000_000, 20)
    np.testing.assert_allclose(ends[1:] / ends[:-1], ends[1] / ends[0], rtol=0.01)
    with pytest.raises(InputError, match="999 tokens"):
        loss.depths(999, 20)


def test_a_power_law_is_found():
    x = np.geomspace(128, 1e6, 20)
    law = loss_report.fit(x, 7.0 * x**-0.3 + 2.0)
    assert (law.a, law.b, law.c) == pytest.approx((7.0, -0.3, 2.0), rel=0.02)
    assert law.r2 > 0.99999
    noisy = 3.0 + 0.3 * np.random.default_rng(0).normal(size=20)
    assert loss_report.fit(x, noisy).r2 < 0.7
    assert loss_report.fit(x[:3], x[:3]) is None


def test_parts_are_cut_and_shuffled(tmp_path):
    for i in range(6):
        (tmp_path / f"{i}.txt").write_text(story(i, 12))
    one, other = (loss.parts_of(str(tmp_path), None, None, seed) for seed in (0, 1))
    names = [[part.name for part in parts] for parts in (one, other)]
    assert names[0] != names[1] and sorted(names[0]) == sorted(names[1])
    size = len(one[0].text) + 100
    cut = list(loss.cut(one, int(size / loss.CHARACTERS)))
    assert [part.name for part in cut] == names[0][:2]
    assert one[1].text.startswith(cut[1].text) and cut[1].text.endswith("\n")
    assert 90 <= len(cut[1].text) < 300


def test_command_writes_numbers_and_a_picture(model, tmp_path, monkeypatch):
    monkeypatch.setattr(pollux, "load", lambda weights: pollux.Model(model))  # compiled
    (tmp_path / "text.txt").write_text(story(0, 120))
    out = tmp_path / "out"
    arguments = ["loss", "--document", str(tmp_path / "text.txt"), "--points", "5"]
    arguments += ["--positions", "6", "-o", str(out)]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.output
    made = json.loads((out / "loss.json").read_text())
    (document,) = made["documents"]
    assert [s["positions"] for s in document["stretches"]] == [6] * 5
    assert document["stretches"][-1]["end"] == document["tokens"]
    assert 0 < document["stretches"][-1]["cumulative"] < 20
    assert set(document["law"]) == {"a", "b", "c", "r2"}
    assert (out / "loss.png").stat().st_size > 1_000
