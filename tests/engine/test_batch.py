# SPDX-License-Identifier: Apache-2.0
"""Answers made together are those made alone, whoever joins, leaves or fails beside them."""

import random
import threading
from concurrent.futures import CancelledError

import numpy as np
import pytest

import pollux
from pollux import Sampling
from pollux.engine import batch as batches
from pollux.engine import scan, scheduler
from pollux.engine.answer import Respondent
from pollux.engine.batch import Batch
from pollux.engine.continuation import Continuation
from tests.engine.conftest import WORDS

FEW = Sampling(max_tokens=6)


@pytest.fixture(scope="module")
def respondents(model, parts):
    """Of three readings, one of them combined."""
    readings = [model.read(parts[0]), model.read(parts[1])]
    readings.append(pollux.Reading.combine([*readings, model.read(parts[2])]))
    return [Respondent(model.loaded, reading) for reading in readings]


def asked(number: int) -> str:
    words = random.Random(number).choices(WORDS, k=3 + number % 4)
    return f"Where does it say {' '.join(words)}?"


def sampled(number: int) -> Sampling:
    return Sampling(max_tokens=4 + number % 5, temperature=(number % 3) / 2, seed=number)


def assert_alike(got: pollux.Answer, alone: pollux.Answer) -> None:
    assert [one.token for one in got.chosen] == [one.token for one in alone.chosen]
    logprobs = [[one.logprob for one in answer.chosen] for answer in (got, alone)]
    np.testing.assert_allclose(*logprobs, rtol=0.02, atol=0.02)
    assert (got.text, got.kind, got.finish) == (alone.text, alone.kind, alone.finish)
    assert [s.place for s in got.sources] == [s.place for s in alone.sources]


class Kept:
    """What was delivered of one answer."""

    def __init__(self):
        self.items: list[str | pollux.Answer | Exception] = []

    @property
    def answer(self) -> pollux.Answer:
        assert isinstance(self.items[-1], pollux.Answer)
        return self.items[-1]


def finish(batch: Batch) -> None:
    for _ in range(1_000):
        if not batch.busy:
            return
        batch.step()
    raise AssertionError("no end")


def test_together_as_alone(model, respondents):
    reading = respondents[2].reading
    questions = [asked(number) for number in range(10)]
    together = model.ask_many(reading, questions, FEW)
    for question, got in zip(questions, together, strict=True):
        assert_alike(got, model.ask(reading, question, FEW))


@pytest.mark.parametrize("seed", [0, 1])
def test_joining_and_leaving_changes_nothing_for_the_others(respondents, seed):
    """Random questions to random readings at random times; every fifth is cancelled."""
    rng = random.Random(seed)
    batch, tasks, kept, asking = Batch(), {}, {}, []
    for number in range(14):
        for _ in range(rng.randrange(4)):
            batch.step()
        respondent, kept[number] = rng.choice(respondents), Kept()
        asking.append((number, respondent))
        deliver = kept[number].items.append
        tasks[number] = batch.add(respondent, asked(number), deliver, sampled(number))
        if number % 5 == 4:
            tasks[number - rng.randrange(3)].gone = True
    finish(batch)
    assert sum(not task.gone for task in tasks.values()) == 0
    answered = 0
    for number, respondent in asking:
        *pieces, last = kept[number].items or [None]
        if isinstance(last, pollux.Answer):
            alone = respondent.ask(asked(number), sampled(number))
            assert_alike(last, alone)
            assert last.kind not in ("answer", "unsure") or "".join(pieces) == last.text
            answered += 1
    assert answered >= 10


def test_pauses_in_a_pass_change_nothing(respondents, monkeypatch):
    """A pass in many steps, with questions that come while it is under way."""
    monkeypatch.setattr(scan, "PAUSE", 1)
    respondent, kept = respondents[2], [Kept() for _ in range(5)]
    batch, steps = Batch(), 0
    for number, one in enumerate(kept):
        batch.add(respondent, asked(number), one.items.append, FEW)
        batch.step()
        steps += bool(batch.passes)
    assert steps
    finish(batch)
    for number, one in enumerate(kept):
        assert_alike(one.answer, respondent.ask(asked(number), FEW))


def test_one_pass_serves_all(respondents, monkeypatch):
    passes = []
    plain = scan.recall

    def counted(scans):
        passes.append(len(scans))
        return plain(scans)

    monkeypatch.setattr(scan, "recall", counted)
    batch = Batch()
    for number in range(6):
        batch.add(respondents[0], asked(number), lambda item: None, Sampling(max_tokens=1))
    finish(batch)
    assert max(passes) == 6


def test_one_that_fails_hurts_no_other(respondents):
    def breaks(tokens, logits):
        if len(tokens) == 2:
            raise ArithmeticError("broken guide")
        return logits

    batch, kept = Batch(), [Kept() for _ in range(5)]
    for number, one in enumerate(kept):
        guide = breaks if number == 2 else None
        batch.add(respondents[number % 2], asked(number), one.items.append, FEW, guide)
    finish(batch)
    assert isinstance(kept[2].items[-1], ArithmeticError)
    for number in (0, 1, 3, 4):
        assert_alike(kept[number].answer, respondents[number % 2].ask(asked(number), FEW))


@pytest.mark.parametrize("where", ["lane", "row"])
def test_what_fails_among_several_fails_alone(respondents, monkeypatch, where):
    plain, broken = getattr(Continuation, where), []

    def breaks(made, *arguments):
        if not broken:
            broken.append(made)
        if made is broken[0]:
            raise OSError("the disk is gone")
        return plain(made, *arguments)

    batch, kept = Batch(), [Kept() for _ in range(4)]
    for number, one in enumerate(kept):
        batch.add(respondents[0], asked(number), one.items.append, FEW)
    monkeypatch.setattr(Continuation, where, breaks)
    finish(batch)
    monkeypatch.undo()
    failed = [number for number, one in enumerate(kept) if isinstance(one.items[-1], OSError)]
    assert len(failed) == 1
    for number in {*range(4)} - {*failed}:
        assert_alike(kept[number].answer, respondents[0].ask(asked(number), FEW))


def test_small_ones_do_not_wait_for_room(respondents, monkeypatch):
    """Large ones find room one after another; small ones go on meanwhile."""
    small = respondents[1]
    large = Respondent(small.model, pollux.Reading.combine([respondents[0].reading] * 9))
    size = scan.total_bytes(large.model, large.stretches)
    monkeypatch.setattr(batches, "LARGE", scan.total_bytes(small.model, small.stretches))
    monkeypatch.setattr(batches, "ROOM", size + size // 2)
    assert size > batches.LARGE
    batch, ended = Batch(), []
    for number in range(6):
        who = small if number > 2 else large
        batch.add(who, asked(number), lambda item, n=number: ended.append((n, item)), FEW)
    most = 0
    while batch.busy:
        batch.step()
        most = max(most, sum(task.respondent is large for task in batch.running))
    order = [n for n, item in ended if isinstance(item, pollux.Answer)]
    assert most == 1
    assert sorted(order) == [*range(6)]
    assert order.index(2) > max(order.index(n) for n in (3, 4, 5))


def test_ask_many_takes_a_reading_for_each_question(model, respondents):
    readings = [one.reading for one in respondents]
    answers = model.ask_many([*readings, readings[0]], [asked(n) for n in range(4)], FEW)
    for number, (got, reading) in enumerate(zip(answers, [*readings, readings[0]], strict=True)):
        assert_alike(got, model.ask(reading, asked(number), FEW))
    with pytest.raises(pollux.InputError, match="3 readings for 1"):
        model.ask_many(readings, [asked(0)])
    with pytest.raises(pollux.InputError, match="empty"):
        model.ask_many(readings[0], [asked(0), " "])
    assert model.ask_many(readings[0], []) == []


def test_scheduler_answers_many_threads(model, respondents):
    readings = [one.reading for one in respondents]
    got: dict[int, list] = {}

    def ask(number):
        handle = made.submit(readings[number % 3], asked(number), sampled(number))
        got[number] = list(handle)

    with model.scheduler() as made:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number in range(9):
            *pieces, last = got[number]
            assert_alike(last, respondents[number % 3].ask(asked(number), sampled(number)))
            assert last.kind not in ("answer", "unsure") or "".join(pieces) == last.text
        assert not made._handles


def test_cancelled_ends_without_an_answer(model, respondents, monkeypatch):
    made = model.scheduler()
    held, entered = threading.Event(), threading.Event()
    step = Batch.step

    def slow(batch):
        entered.set()
        assert held.wait(60)
        step(batch)

    monkeypatch.setattr(Batch, "step", slow)
    first, second = (made.submit(respondents[0], asked(number), FEW) for number in range(2))
    assert entered.wait(60)
    first.cancel()
    with pytest.raises(CancelledError):
        first.answer()
    assert list(first) == []
    held.set()
    assert_alike(second.answer(), respondents[0].ask(asked(1), FEW))
    second.cancel()
    made.close()
    with pytest.raises(pollux.BusyError, match="closed"):
        made.submit(respondents[0], asked(0))


def test_closing_ends_what_is_under_way(model, respondents):
    made = model.scheduler()
    handle = made.submit(respondents[0], asked(0), Sampling(max_tokens=200, temperature=2))
    made.close()
    made.close()
    items = list(handle)
    assert not items or isinstance(items[-1], str | pollux.Answer)


def test_an_error_reaches_whom_it_concerns(model, respondents, monkeypatch):
    with model.scheduler() as made:
        with pytest.raises(pollux.InputError, match="empty"):
            made.submit(respondents[0], "  ")
        monkeypatch.setattr(scheduler, "WAITING", 0)
        with pytest.raises(pollux.BusyError, match="ask again later"):
            made.submit(respondents[0], asked(0))
        monkeypatch.undo()
        monkeypatch.setattr(Batch, "_start", lambda batch: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            made.submit(respondents[0], asked(0)).answer()
        monkeypatch.undo()
        assert made.submit(respondents[0], asked(0), FEW).answer().chosen
