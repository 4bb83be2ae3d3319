# SPDX-License-Identifier: Apache-2.0
import http.server
import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from pollux.bench import command, serve, serve_kill
from pollux.bench.load import PROMPTS, Load, Refused, drive, percentiles, prompts
from pollux.bench.serve_process import Served, send, stream
from pollux.errors import PolluxError


def test_percentiles():
    assert percentiles([]) == (0.0, 0.0, 0.0)
    assert percentiles([float(n) for n in range(100, 0, -1)]) == (51.0, 96.0, 100.0)


def test_every_prompt_has_its_fact():
    found = prompts()
    assert len(found) == PROMPTS == len({question for _, question in found})
    for text, question in found:
        name = question.removeprefix("What is the access code for ").rstrip("?")
        assert f"The access code for {name} is: " in text


def test_clients_ask_one_after_another():
    asked = set()

    def ask(client, number):
        asked.add((client, number))
        assert number % 3 == client
        for piece in range(4):
            time.sleep(0.001)
            yield piece

    found = drive(3, 0.3, ask)
    assert found.requests > 10 and found.pieces == 4 * found.requests
    assert {(client, client) for client in range(3)} <= asked
    assert found.requests_per_second == pytest.approx(found.requests / 0.3)
    assert 0.001 <= found.first[0] <= found.first[2]
    assert not found.errors and not found.refused


def test_what_is_refused_or_fails_is_counted():
    def ask(client, number):
        yield 1
        raise Refused if client else ValueError("broken")

    found = drive(2, 0.2, ask)
    assert (found.requests, found.refused) == (0, 1)
    assert found.errors == {"ValueError: broken": 1}


def load(**more):
    given = {"clients": 8, "seconds": 2.0, "requests": 60, "pieces": 600, "refused": 0}
    times = {"first": (0.1, 0.2, 0.3), "between": (0.01, 0.02, 0.03)}
    return Load(**given | {"errors": {}} | times | more)


def test_the_share_that_gets_through(tmp_path, monkeypatch):
    row = serve.Row(
        load=load(), own=load(requests=75), long_tokens_per_second=0.0, resident_mebibytes=900.0
    )
    beside = serve.Row(
        load=load(errors={"OSError: gone": 2}),
        own=None,
        long_tokens_per_second=5_000.0,
        resident_mebibytes=950.0,
    )
    minute = serve.Minute(load=load(clients=256), resident_mebibytes=960.0)
    found = serve.Found(rows=[row, beside], minutes=[minute])
    assert (row.share, beside.share) == (0.8, 0.0)
    monkeypatch.setattr(serve, "bench_serve", lambda *given: found)
    path = tmp_path / "serve.json"
    shown = CliRunner().invoke(command.app, ["serve", "-o", str(path)])
    assert shown.exit_code == 0, shown.output
    assert "80%" in shown.output and "8 clients, 2 times: OSError: gone" in shown.output
    saved = json.loads(path.read_text())
    assert [one["share"] for one in saved["rows"]] == [0.8, 0.0]
    assert saved["minutes"][0]["load"]["clients"] == 256


class Stub(http.server.BaseHTTPRequestHandler):
    """A server with one file, one cache, and an answer of three events."""

    protocol_version = "HTTP/1.1"
    replies = {
        "/v1beta/models": {"models": [{"name": "models/tiny"}]},
        "/v1beta/files/a:download?alt=media": b"abc",
        "/v1beta/files/a": {"state": "ACTIVE"},
        "/v1beta/cachedContents/b": {"usageMetadata": {"totalTokenCount": 7}},
        "/v1beta/models/tiny:generateContent": {"usageMetadata": {"cachedContentTokenCount": 7}},
        "/v1beta/models/tiny:streamGenerateContent?alt=sse": b'data: {"x": 1}\r\n\r\n' * 3,
        "/v1beta/models/torn:streamGenerateContent?alt=sse": b'data: {"error": {}}\r\n\r\n',
    }

    def do_GET(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        busy, found = "busy" in self.path, self.replies.get(self.path)
        body = found if isinstance(found, bytes) else json.dumps(found or {}).encode()
        self.send_response(429 if busy else 404 if found is None else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *given):
        pass


@contextmanager
def stub():
    process = subprocess.Popen([sys.executable, "-c", ""], text=True)
    process.wait()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stub) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Served(process, "127.0.0.1", server.server_address[1], [])
        finally:
            server.shutdown()
            thread.join()


def test_what_a_server_answers():
    with stub() as served:
        connection = served.connect()
        for _ in range(2):
            assert len(list(stream(connection, "models/tiny", {}))) == 3
        with pytest.raises(PolluxError, match="error"):
            list(stream(connection, "models/torn", {}))
        with pytest.raises(Refused):
            list(stream(connection, "models/busy", {}))
        with pytest.raises(PolluxError, match="404"):
            list(stream(connection, "models/none", {}))
        with pytest.raises(Refused):
            send(connection, "GET", "/busy")
        connection.close()


def test_what_is_lost_is_named():
    import hashlib
    import random

    whole = {"files/a": hashlib.sha256(b"abc").hexdigest()}
    kept = serve_kill.Kept(files=whole, caches={"cachedContents/b": 7})
    with stub() as served:
        serve_kill._check(served, kept, random.Random(0))
        assert kept.lost == []
        kept.files["files/c"] = kept.files["files/a"] = "0"
        kept.caches["cachedContents/b"] = 8
        serve_kill._check(served, kept, random.Random(0))
    assert [line.split()[0] for line in kept.lost] == [
        "files/a",
        "files/c",
        "cachedContents/b",
        "cachedContents/b",
    ]


def test_a_campaign_with_losses_fails(monkeypatch, tmp_path):
    lost = serve_kill.Kept(kills=2, files={"files/a": ""}, lost=["files/a after 1 kills: 404"])
    monkeypatch.setattr(serve_kill, "campaign", lambda *given: lost)
    path = tmp_path / "kill.json"
    shown = CliRunner().invoke(command.app, ["serve", "--kill", "2", "-o", str(path)])
    assert shown.exit_code == 1
    assert "2 kills: 1 files, 0 caches" in shown.output and "after 1 kills: 404" in shown.output
    assert json.loads(path.read_text())["kills"] == 2


@pytest.mark.slow
def test_a_real_server_under_load_and_killed(weights):
    found = serve.bench_serve((1, 2), 5.0, 2_000, 0, weights)
    assert [row.load.clients for row in found.rows] == [1, 2, 1, 2]
    assert [row.load.errors for row in found.rows] == [{}] * 4
    assert all(row.load.requests for row in found.rows)
    assert found.rows[0].share > 0 and found.rows[0].resident_mebibytes > 100
    kept = serve_kill.campaign(2, weights)
    assert kept.kills == 2 and not kept.lost
    assert kept.files or kept.caches
