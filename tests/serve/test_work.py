# SPDX-License-Identifier: Apache-2.0
"""Lanes, tickets, and what is stored: bounded, stopped in time, whole whatever happens."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pollux.media.part import Part
from pollux.serve.errors import ApiError
from pollux.serve.library import SHORT, Library
from pollux.serve.store import Store, after, now
from pollux.serve.work import Lane, Ticket, events, result


@pytest.fixture
def lane():
    made = Lane("test", 1, 1)
    yield made
    made.close()


def test_a_lane_takes_so_many_and_no_more(lane):
    gate = threading.Event()
    first = lane.submit(Ticket.of(9.0), gate.wait)
    lane.submit(Ticket.of(9.0), lambda: None)
    with pytest.raises(ApiError) as raised:
        lane.submit(Ticket.of(9.0), lambda: None)
    assert raised.value.status == "RESOURCE_EXHAUSTED"
    gate.set()
    first.result(5)
    deadline = time.monotonic() + 5
    while lane.inside and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lane.inside == 0


def test_what_a_job_yields_comes_in_order(lane):
    async def collect():
        return [one async for one in events(lane, Ticket.of(9.0), None, lambda: iter("abc"))]

    assert asyncio.run(collect()) == ["a", "b", "c"]
    assert asyncio.run(result(lane, Ticket.of(9.0), None, lambda: 5)) == 5


def test_an_error_in_a_job_reaches_who_waits(lane):
    def fails():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(result(lane, Ticket.of(9.0), None, fails))


def test_the_deadline_ends_a_job_that_gives_nothing(lane):
    ticket = Ticket.of(0.3)
    stopped = threading.Event()

    def endless():
        ticket.at_cancel(stopped.set)
        assert stopped.wait(9.0)

    with pytest.raises(ApiError) as raised:
        asyncio.run(result(lane, ticket, None, endless))
    assert raised.value.status == "DEADLINE_EXCEEDED"
    assert stopped.wait(1.0)


def test_who_stops_listening_stops_the_job(lane):
    ticket, ended = Ticket.of(9.0), threading.Event()

    def numbers():
        try:
            for number in range(1_000_000):
                time.sleep(0.001)
                yield number
                ticket.check()
        finally:
            ended.set()

    async def listen():
        coming = events(lane, ticket, None, numbers)
        assert await anext(coming) == 0
        await coming.aclose()

    asyncio.run(listen())
    assert ended.wait(2.0)


class Gone:
    async def receive(self):
        return {"type": "http.disconnect"}


def test_a_client_that_goes_away_is_noticed(lane):
    ticket = Ticket.of(60.0)
    release = threading.Event()
    ticket.at_cancel(release.set)
    with pytest.raises(ApiError) as raised:
        asyncio.run(result(lane, ticket, Gone(), lambda: release.wait(9.0)))  # type: ignore[arg-type]
    assert raised.value.status == "CANCELLED"


def record(**more):
    return {"created": now(), "updated": now(), "expires": after(60.0), **more}


def test_things_are_there_or_not_at_all(tmp_path):
    store = Store(tmp_path, "things")
    with store.making() as made:
        (made / "content").write_text("abc")
        store.add("one", made, record(bytes=3))
    with store.making() as made:
        (made / "content").write_text("abc")
    assert not made.exists()
    (tmp_path / "things" / ".half").mkdir()  # of a process that was stopped
    (tmp_path / "things" / "two").mkdir()  # no about.json
    (tmp_path / "things" / "three").mkdir()
    (tmp_path / "things" / "three" / "about.json").write_text("{torn")
    again = Store(tmp_path, "things")
    assert list(again.records) == ["one"]
    assert (again.path("one") / "content").read_text() == "abc"
    assert [path.name for path in (tmp_path / "things").iterdir()] == ["one"]
    assert again.stored_bytes() == 3
    again.remove("one")
    assert list((tmp_path / "things").iterdir()) == []
    with pytest.raises(ApiError):
        again.get("one")


KILLED = """
import sys
from pathlib import Path
from pollux.serve.store import Store, after, now
store = Store(Path(sys.argv[1]), "things")
for number in range(100_000):
    with store.making() as made:
        (made / "content").write_text(str(number) * 100)
        store.add(f"n{number}", made, {"created": now(), "expires": after(600.0), "bytes": 1})
    store.change(f"n{number}", bytes=2)
    print(f"n{number}", flush=True)
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path):
    for delay in (0.05, 0.17):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, tmp_path / str(delay)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": "."},
        ) as process:
            assert process.stdout
            told = [process.stdout.readline().strip()]
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            told += [line.strip() for line in process.stdout if line.endswith("\n")]
        store = Store(tmp_path / str(delay), "things")
        assert {*told} <= {*store.records}
        for number in told:
            assert store.records[number]["bytes"] == 2
            assert (store.path(number) / "content").read_text() == number[1:] * 100


class Counting:
    """What reads, counted."""

    def __init__(self, monkeypatch):
        from pollux.engine import reader

        self.read, self.names = reader.read, []
        monkeypatch.setattr(reader, "read", self)

    def __call__(self, model, parts, *rest, **more):
        parts = list(parts)
        self.names += [part.name for part in parts]
        return self.read(model, parts, *rest, **more)


def test_nothing_is_read_twice(spark, tmp_path, monkeypatch):
    counting = Counting(monkeypatch)
    library = Library(spark.loaded, tmp_path)
    short = library.piece(Part(name="short", kind="text", text="a b c"))
    long = library.piece(Part(name="long", kind="text", text="a b c\n" * (SHORT // 6 + 1)))
    ticket = Ticket.of(60.0)
    threads = [
        threading.Thread(target=library.readings, args=([short, long], ticket)) for _ in range(3)
    ]
    library.readings([short], ticket)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counting.names == ["short", "long"]
    readings, there = library.readings([long, short, long], ticket)
    assert there == [True] * 3
    assert readings[0].num_valid == library.count(long)
    again = Library(spark.loaded, tmp_path)
    assert again.readings([short, long], ticket)[1] == [False, True]  # the long one is on disk


def test_reading_stops_when_nobody_wants_it(spark, tmp_path):
    library = Library(spark.loaded, tmp_path)
    piece = library.piece(Part(name="long", kind="text", text="x y z\n" * 5_000))
    ticket = Ticket.of(60.0)
    ticket.cancel()
    with pytest.raises(ApiError):
        library.readings([piece], ticket)
    assert library.find(piece) is None
    assert list(tmp_path.iterdir()) == [] or all(p.suffix != ".reading" for p in tmp_path.iterdir())
