# SPDX-License-Identifier: Apache-2.0
"""Malformed requests: the same ones every time, and what counts as a failure."""

import json
import socket
import threading

from typer.testing import CliRunner

from pollux.bench import command, malformed_run
from pollux.bench.malformed import KINDS, Made, Tally, exchange, request


def test_a_number_and_a_seed_make_the_same_request():
    made = [request(number) for number in range(300)]
    assert made == [request(number) for number in range(300)]
    assert {one.what for one in made} == {*KINDS}
    assert made != [request(number, seed=1) for number in range(300)]


def test_what_counts_as_a_failure():
    tally, made = Tally(), Made("text", b"")
    for number, status in enumerate((200, 400, 0, 501, 503, 504, 500, None)):
        tally.note(number, made, status)
    assert tally.failures == ["number 6 (text): 500", "number 7 (text): no answer"]
    assert tally.statuses[0] == 2


def answering(reply):
    """A port where one client is answered so."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listener, listener.accept()[0] as client:
            client.recv(65_536)
            client.sendall(reply)

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


def test_what_came_back():
    made = Made("text", b"GET / HTTP/1.1\r\n\r\n", cut=True)
    again = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\nx"
    assert exchange("127.0.0.1", answering(again), made, 5.0) == 400
    assert exchange("127.0.0.1", answering(b""), made, 5.0) == 0


def test_a_campaign_that_broke_something_fails(monkeypatch, tmp_path):
    given = {"requests": 20, "seed": 0, "statuses": {0: 1, 400: 19}, "failures": []}
    grown = malformed_run.Found(**given, warm_mebibytes=500.0, end_mebibytes=900.0)
    path = tmp_path / "malformed.json"
    for found, code in (
        (grown, 1),
        (malformed_run.Found(**given, warm_mebibytes=1.0, end_mebibytes=1.0), 0),
    ):
        monkeypatch.setattr(malformed_run, "campaign", lambda *given, found=found: found)
        shown = CliRunner().invoke(command.app, ["malformed", "-o", str(path)])
        assert shown.exit_code == code
        assert "closed: 1, 400: 19" in shown.output
        assert json.loads(path.read_text())["held"] == (not code)
