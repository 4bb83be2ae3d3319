# SPDX-License-Identifier: Apache-2.0
"""Requests with something wrong in them: an answer that says so, never a failure of the server."""

import json
import random
from urllib.parse import urlsplit

import pytest

from pollux.bench.malformed import BODIES, KINDS, Made, Tally, exchange, request, spoilt
from tests.serve.conftest import MIB, asked


@pytest.mark.parametrize("url", BODIES)
def test_spoilt_requests(http, server, url):
    rng = random.Random(url)
    headers = {"content-type": "application/json", "x-server-timeout": "1"}
    headers |= {"x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start"}
    codes = set()
    for _ in range(40):
        body = json.dumps(spoilt(BODIES[url], rng))
        reply = http.post(url, content=body, headers=headers)
        codes.add(reply.status_code)
        assert reply.status_code in (200, 400, 404, 409, 501, 504), (body, reply.text)
        assert str(server.hub.settings.state) not in reply.text
        assert reply.status_code == 200 or reply.json()["error"]["message"], body
    assert 400 in codes


@pytest.mark.parametrize(
    "headers",
    [
        {"x-server-timeout": "²"},
        {"x-server-timeout": "9" * 400},
        {"x-goog-api-key": "\xff" * 9},
        {"content-type": "text/plain"},
        {"accept": "image/png"},
    ],
)
def test_odd_headers(http, headers):
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    url = "/v1/models/spark:countTokens"
    reply = http.post(url, json=asked("a"), headers=raw)
    assert reply.status_code in (200, 400)


def test_odd_uploads(http):
    start = {"x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start"}
    url = http.post("/upload/v1/files", headers=start).headers["x-goog-upload-url"]
    for offset in ("-1", "²".encode("latin-1"), "9" * 50, "x", "1"):
        headers = {"x-goog-upload-command": "upload", "x-goog-upload-offset": offset}
        assert http.post(url, headers=headers, content=b"a").status_code == 400
    assert http.post(url, headers={"x-goog-upload-command": "dance"}).status_code == 400
    assert http.post("/upload/v1/files?upload_id=../../x", content=b"a").status_code == 404
    assert http.post("/upload/v1/files?upload_id=abc", content=b"a").status_code == 404
    assert http.post("/upload/v1/files", headers=start, content=b"a" * MIB).status_code == 400
    assert http.post("/upload/v1/files", headers=start, content=b"{no json").status_code == 400
    large = start | {"x-goog-upload-header-content-length": "9" * 40}
    assert http.post("/upload/v1/files", headers=large).status_code == 400


def test_malformed_requests_of_every_kind(server):
    address = urlsplit(server.url)
    tally, kinds = Tally(), set()
    for number in range(200):
        made = request(number)
        kinds.add(made.what)
        tally.note(number, made, exchange(address.hostname, address.port, made, 20.0))
    assert kinds == {*KINDS}
    assert not tally.failures
    assert tally.statuses[400] > 50


def test_half_a_handshake_is_a_plain_request(server):
    address = urlsplit(server.url)
    data = b"GET /health HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n"
    data += b"connection: upgrade, close\r\n\r\n"
    assert exchange(address.hostname, address.port, Made("headers", data), 5.0) == 200
