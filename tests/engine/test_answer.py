# SPDX-License-Identifier: Apache-2.0
"""Answering from a reading equals the plain forward pass over everything."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pollux
from pollux import Sampling
from pollux.engine import scan
from pollux.engine.answer import Respondent, Said, pointed_at, question_tokens
from pollux.engine.continuation import Continuation, Told
from pollux.engine.model import Queries
from pollux.model import decoder
from pollux.ops import quant

QUESTION = "Where does it say stone river lamp?"


def plain_logits(model, reading, asked, question):
    """Logits after the question and each token of the answer, by one forward pass over all."""
    loaded = model.loaded
    starts = np.zeros(len(reading), np.int32)
    for number, part in enumerate(reading.parts):
        starts[part.start :] = number
    tokens = np.concatenate([reading.tokens, asked]).astype(np.int32)
    segment = np.concatenate([starts, np.full(len(asked), len(reading.parts), np.int32)])
    at = jnp.arange(len(reading) + question - 1, len(tokens))
    plain = jax.jit(decoder.answers, static_argnums=1)  # eager, its checks take a minute
    return np.asarray(
        plain(loaded.weights, loaded.config, jnp.array(tokens), jnp.array(segment), at)
    )


def begun(model, reading, asked):
    opened = scan.stretches(reading)
    return Continuation(model.loaded, reading, opened, asked, len(asked))


def cached_logits(model, reading, asked, question, guess=1):
    """The same from the memory, `guess` tokens at a time, every key scored at every position."""
    made, out = begun(model, reading, asked[:question]), []
    for start in range(question - 1, len(asked), guess):
        chunk = asked[start : start + guess].tolist()
        made.advance(chunk)
        out += [made.recall(index).logits for index in range(len(chunk))]
        made.keep(len(chunk))
    return np.stack(out)


@pytest.fixture(scope="module")
def everything(model):
    """A question and an answer, and the question's length."""
    asked = question_tokens(model.loaded, QUESTION)
    return np.concatenate([asked, model.loaded.tokenizer.encode("stone river lamp")]), len(asked)


def test_cached_answer_equals_the_full_forward_pass(model, parts, everything):
    tokens, question = everything
    reading = model.read(*parts)
    expected = plain_logits(model, reading, tokens, question)
    got = cached_logits(model, reading, tokens, question)
    # Untrained scores lie close together, so int8 may swap the last of the top k: a loose bound.
    assert np.abs(got - expected).max() < 0.15 * np.abs(expected).max()
    assert (got.argmax(-1) == expected.argmax(-1)).mean() >= 0.75


def test_guesses_equal_token_by_token(model, parts, everything):
    tokens, question = everything
    reading = model.read(*parts)
    one, several = (cached_logits(model, reading, tokens, question, n) for n in (1, 4))
    np.testing.assert_allclose(one, several, atol=1e-3 * np.abs(one).max())


def test_what_was_guessed_wrong_is_forgotten(model, parts, everything):
    tokens, question = everything
    reading = model.read(*parts)
    made, again = (begun(model, reading, tokens[:question]) for _ in range(2))
    made.advance([int(tokens[question - 1]), 77, 78, 79])
    made.recall(0)
    made.keep(1)
    again.advance([int(tokens[question - 1])])
    again.recall(0)
    again.keep(1)
    made, again = (each.advance([int(tokens[question])])[0] for each in (made, again))
    np.testing.assert_allclose(made.logits, again.logits, rtol=1e-3, atol=1e-3)
    assert np.array_equal(made.look[0], again.look[0])


def test_what_is_told_is_not_recalled(model, parts, everything):
    """Neither of all keys nor of those that go on."""
    tokens, question = everything
    plain, barred = (begun(model, model.read(*parts), tokens[:question]) for _ in range(2))
    for made in (plain, barred):
        made.advance([int(tokens[question - 1])])
    positions, weights = plain.recall(0).look
    told = int(positions[weights.argmax()])
    barred.told = [Told([told], [])]
    positions, weights = barred.recall(0).look
    assert told in positions and weights[positions == told].max() == 0 < weights.max()
    for made in (plain, barred):
        made.keep(1)
    barred.told = [Told([], []), Told((positions + 2).tolist(), [])]
    following = tokens[question : question + 2].tolist()
    assert plain.advance(following)[1].look[1].max() > 0
    assert barred.advance(following)[1].look[1].max() == 0
    barred.told = [Told([], []), Told([], [0])]
    near = [made.advance(following)[1].near[made.first] for made in (plain, barred)]
    assert near[0] > 0 == near[1]


def test_a_line_that_may_be_dropped_is_held_back(model, parts):
    """While it begins as one before; dropped, nothing of it is left."""
    respondent = Respondent(model.loaded, model.read(*parts))
    encode, newline = model.loaded.tokenizer.encode, model.loaded.tokenizer.newline
    first, second = " the codes are 17.\n", " the codes are 18.\n"
    said, shown = Said(), ""
    for token in map(int, [*encode(first), *encode(second), *encode(" the codes are")]):
        said.tokens.append(token)
        said.recalled.append(len(said.tokens))
        shown += respondent._piece(said, ())
    assert shown.rstrip() == "The codes are 17.\nThe codes are 18."
    start = said.again(newline)
    assert start == len(encode(first)) + len(encode(second))
    (told,) = said.told(model.loaded.tokenizer, said.tokens[-1:])
    here = len(encode(" the codes are"))
    assert told.said == [here, len(encode(first)) + here]
    assert told.read == [said.recalled[i] for i in told.said]
    said.end(start - 1)
    assert respondent._render(said) == "The codes are 17.\nThe codes are 18."
    assert said.again(newline) is None


def test_keys_that_go_on_are_scored_as_in_a_scan(model, parts, everything):
    """What comes after the keys that were best has the sums that scoring every key gives it."""
    tokens, question = everything
    made = begun(model, model.read(*parts), tokens[:question])
    made.advance([int(tokens[question - 1])])
    made.recall(0)
    made.keep(1)
    made.advance(tokens[question : question + 3].tolist())
    positions, sums = made.next[2], np.asarray(made.sums)[2]
    valid = positions < made.ends
    assert valid.mean() > 0.5
    made.recall(2)
    (totals,) = made.scan.totals
    scanned = np.take_along_axis(np.asarray(totals), np.where(valid, positions, 0), 1)
    np.testing.assert_allclose(sums[valid], scanned[valid], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("cut", [None, 64, 4096])
def test_scan_selects_what_a_scan_of_every_key_does(model, parts, cut):
    """Over several parts, several positions, and with stretches that go on in one another."""
    cfg = model.loaded.config
    reading = model.read(*parts, *parts)
    opened = scan.stretches(reading)
    assert len(opened) == 1
    if cut:
        opened = [*cut_at(opened[0], cut)]
    rng = np.random.default_rng(0)
    query = rng.normal(size=(5, model.loaded.query_heads, cfg.key_dim)).astype(np.float32)
    digits, scale = quant.quantise_rows(jnp.asarray(query))
    decay = jnp.asarray(rng.random(scale.shape), jnp.float32)
    scanned = scan.Scan(model.loaded, opened)
    for chunk in (slice(0, 2), slice(2, 5)):
        scanned.add(Queries(digits[chunk], scale[chunk], 0 * scale[chunk], decay[chunk]))
        hits = scanned.recall()
    expected = followed(reading, np.asarray(digits) * np.asarray(scale)[..., None], decay)
    best = -np.sort(-expected, 1)[:, : cfg.recall_top_k]
    np.testing.assert_allclose(-np.sort(-hits.total, 1), best, rtol=1e-3, atol=2e-3)
    for row, positions in zip(expected, hits.position, strict=True):
        assert len(set(positions.tolist())) == cfg.recall_top_k
        np.testing.assert_allclose(
            -np.sort(-row[positions]), -np.sort(-row)[: cfg.recall_top_k], rtol=1e-3, atol=2e-3
        )


def cut_at(stretch, size):
    """The stretch as two, the second going on where the first ends."""
    arrays = ("keys", "key_scales", "valid", "since", "positions")
    for piece in (slice(0, size), slice(size, None)):
        cut = {name: getattr(stretch, name)[piece] for name in arrays}
        yield dataclasses.replace(stretch, **cut, goes_on=piece.start > 0)


def followed(reading, query, decay):
    """Sums along the diagonal for the last of the queries, by a plain loop."""
    keys = reading.keys.astype(np.float64) * reading.key_scales.astype(np.float64)[:, None]
    starts = [part.start for part in reading.parts]
    total = np.zeros((query.shape[1], len(keys)))
    for row, kept in zip(query.astype(np.float64), np.asarray(decay, np.float64), strict=True):
        score = row @ keys.T
        before = np.pad(total, ((0, 0), (1, 0)))[:, :-1]
        before[:, starts] = 0.0
        total = score + kept[:, None] * before
    valid = np.concatenate([reading.valid_mask(i) for i in range(reading.num_segments)])
    return np.where(valid, total, -np.inf)


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
    for stretch in scan.stretches(apart):
        seen += stretch.positions[np.asarray(stretch.valid)].tolist()
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


def test_stop_sequence_ends_the_answer_and_is_not_in_it(model, parts):
    reading = model.read(*parts)
    whole = model.ask(reading, QUESTION, Sampling(max_tokens=12)).text
    assert len(whole) > 8
    stop = whole[4:7]
    *pieces, last = model.stream(reading, QUESTION, Sampling(max_tokens=12, stop=("no!", stop)))
    assert last.text == whole[: whole.index(stop)]
    assert last.finish == "stop"
    if last.kind in ("answer", "unsure"):
        assert "".join(pieces) == last.text


def test_lines_are_sentences_as_they_come(model, parts):
    """The space that every line begins with is not shown, but code keeps what it is indented by."""
    respondent = Respondent(model.loaded, model.read(*parts))
    text = " the code for A is 1.\n the code for B is 2.\n then: 3\n 4\n    x = 5\n"
    said, shown = Said(), ""
    for token in model.loaded.tokenizer.encode(text):
        said.tokens.append(int(token))
        shown += respondent._piece(said, ())
    assert shown == "The code for A is 1.\nThe code for B is 2.\nthen: 3\n4\n    x = 5\n"


def test_chosen_tells_every_token(model, parts):
    reading = model.read(*parts)
    got = model.ask(reading, QUESTION, Sampling(max_tokens=5, alternatives=3))
    assert len(got.chosen) >= got.tokens
    assert got.probability == min(chosen.probability for chosen in got.chosen)
    for chosen in got.chosen:
        assert chosen.alternatives[0] == (chosen.token, chosen.logprob)
        assert [p for _, p in chosen.alternatives] == sorted(
            (p for _, p in chosen.alternatives), reverse=True
        )


def test_reading_of_other_weights_is_refused(model, parts):
    reading = model.read(parts[1])
    store = reading.stores[0]
    foreign = dataclasses.replace(store.manifest, weights_fingerprint="0" * 16)
    other = pollux.Reading((dataclasses.replace(store, manifest=foreign),))
    with pytest.raises(pollux.ReadingError, match="other weights"):
        model.ask(other, QUESTION)


@pytest.fixture(scope="module")
def definitions(model):
    texts = "def grind(x):\n    return 1\n\nvalue = grind(x)\nother = grind(y)\n", "grind(z)\n"
    parts = [pollux.Part(name=f"{i}.py", kind="code", text=t) for i, t in enumerate(texts)]
    return model.read(*parts)


@pytest.mark.parametrize(("heaviest", "found"), [(0, 0), (1, 0), (2, 0), (3, 0)])
def test_a_place_is_where_most_words_stand(model, definitions, heaviest, found):
    """However heavy recall found the others: a call at a part's beginning among them."""
    encode, decode = model.loaded.tokenizer.encode, model.loaded.tokenizer.decode
    opening = int(encode("def grind(")[-1])
    positions = np.flatnonzero(definitions.tokens == opening) + 1
    assert len(positions) == 4
    weights = np.full(4, 0.1, np.float32)
    weights[heaviest] = 0.7
    words = [int(t) for t in encode("def grind(")]
    at = pointed_at(definitions, words, (positions, weights))
    assert at == positions[found]
    assert decode(definitions.tokens[at - len(words) : at]) == "def grind("


def test_the_heaviest_of_places_with_the_same_words(model, definitions):
    opening = int(model.loaded.tokenizer.encode("def grind(")[-1])
    positions = np.flatnonzero(definitions.tokens == opening) + 1
    weights = np.array([0.1, 0.2, 0.4, 0.3], np.float32)
    assert pointed_at(definitions, [opening], (positions, weights)) == positions[2]
    assert pointed_at(definitions, [5, 6], (positions, weights)) == positions[2]
