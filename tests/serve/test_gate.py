# SPDX-License-Identifier: Apache-2.0
"""Who may ask, what is no request, and what is published."""

import io
import logging
import socket

import httpx
import pytest
from google.genai import errors

from pollux.errors import InputError
from pollux.serve.app import create
from pollux.serve.settings import Settings
from tests.serve.conftest import MIB, asked, running

URL = "/v1beta/models/spark:generateContent"
KEY = "a-key-of-some-length"


@pytest.fixture(scope="module")
def locked(spark, tmp_path_factory):
    with running(spark, tmp_path_factory.mktemp("locked"), keys=(KEY, "another-key")) as one:
        yield one


def test_keys(locked):
    with locked.http() as http:
        refused = [
            http.get("/v1/models"),
            http.get("/v1/models?key=wrong-key"),
            http.get("/v1/models", headers={"x-goog-api-key": KEY[:-1]}),
            http.get("/openai/v1/models", headers={"authorization": "Bearer x"}),
            http.post("/upload/v1/files"),
        ]
        assert [one.status_code for one in refused] == [401] * 5
        assert refused[0].json()["error"]["status"] == "UNAUTHENTICATED"
        allowed = [
            http.get("/v1/models", headers={"x-goog-api-key": KEY}),
            http.get("/v1/models?key=another-key"),
            http.get("/openai/v1/models", headers={"authorization": f"Bearer {KEY}"}),
            http.get("/health"),
        ]
        assert [one.status_code for one in allowed] == [200] * 4
    with locked.sdk(api_key="not-the-right-key") as client:
        with pytest.raises(errors.ClientError, match="401"):
            list(client.models.list())


def test_an_upload_goes_on_without_a_key(locked):
    with locked.sdk(api_key=KEY) as client:
        file = client.files.upload(file=io.BytesIO(b"abc"), config={"mime_type": "text/plain"})
        assert file.size_bytes == 3


def test_no_key_is_logged(locked, caplog):
    caplog.set_level(logging.DEBUG)
    with locked.http() as http:
        http.get(f"/v1/models?key={KEY}", headers={"x-goog-api-key": KEY})
        http.post(f"{URL}?key={KEY}", content=b"{")
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("pollux")]
    assert any("/v1/models 200" in line for line in ours)
    assert not any(KEY in line for line in ours)


def test_pages_of_other_origins_may_not_ask(http, server):
    for headers in (
        {"origin": "https://example.org"},
        {"origin": "null"},
        {"host": "pollux.example.org"},
    ):
        reply = http.post(URL, json=asked("a"), headers=headers)
        assert reply.status_code == 403, headers
    assert http.get("/v1/models", headers={"origin": server.url}).status_code == 200
    preflight = http.options(URL, headers={"origin": "https://example.org"})
    assert "access-control-allow-origin" not in preflight.headers
    assert http.get("/health").headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "required"),
        (b"{", "JSON"),
        (b"[" * 100_000, "parsing the body"),
        (b"\xff\xfe", "JSON"),
        (b"[]", "dictionary"),
        (b'{"contents": []}', "contents"),
        (b'{"contents": [{"parts": []}]}', "at least one part"),
        (b'{"contents": [{"parts": [{}]}]}', "holds one thing"),
        (b'{"contents": "hi"}', "list"),
        (b'{"contents": [{"parts": [{"text": "a"}]}], "contentz": 1}', "contentz"),
        (b'{"contents": [{"parts": [{"text": "a"}], "role": "nobody"}]}', "role"),
        (b'{"contents": [{"parts": [{"text": "a"}]}], "tools": [{"x": {}}]}', "tools[0].x"),
    ],
)
def test_what_is_no_request(http, body, told):
    reply = http.post(URL, content=body, headers={"content-type": "application/json"})
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert told in error["message"]
    assert "Traceback" not in reply.text


@pytest.mark.parametrize(
    "config",
    [
        {"temperature": 9},
        {"topP": -1},
        {"candidateCount": 0},
        {"maxOutputTokens": -5},
        {"stopSequences": [""]},
        {"stopSequences": ["a"] * 17},
        {"logprobs": 3},
        {"seed": 2**40},
        {"responseMimeType": "application/json", "responseSchema": {"type": "NOTHING"}},
        {"responseMimeType": "text/x.enum"},
        {"responseSchema": {"type": "STRING"}},
        {"responseMimeType": "application/json", "responseJsonSchema": 5},
    ],
)
def test_settings_out_of_bounds(http, config):
    reply = http.post(URL, json=asked("a", "What?", generationConfig=config))
    assert reply.status_code == 400, reply.text


def test_bad_base64(http):
    blob = {"inlineData": {"mimeType": "text/plain", "data": "*no base64*"}}
    body = {"contents": [{"parts": [blob, {"text": "What is a?"}]}]}
    error = http.post(URL, json=body).json()["error"]
    assert (error["code"], "base64" in error["message"]) == (400, True)
    [violation] = error["details"][0]["fieldViolations"]
    assert violation["field"] == "contents[0].parts[0].inlineData.data"


def test_too_large_a_request(http):
    reply = http.post(URL, json=asked("a" * 2 * MIB))
    assert reply.status_code == 400
    assert f"{2 * MIB:,}" in reply.json()["error"]["message"]

    def pieces():
        for _ in range(40):
            yield b"a" * 65_536

    assert http.post(URL, content=pieces()).status_code == 400  # no length is announced


def test_what_is_not_there(http):
    body = asked("a")
    assert http.post("/v1/models/gpt-9:generateContent", json=body).status_code == 404
    assert http.get("/v1/models/gpt-9").status_code == 404
    assert http.get("/v1/nothing").json()["error"]["status"] == "NOT_FOUND"
    assert http.delete("/v1/models").status_code == 405
    assert http.get("/v1/cachedContents/none").status_code == 404
    assert http.post("/v1/models/spark:makeTea", json={}).status_code == 404
    for left_out in ("/v1/interactions", "/v1beta/models/spark:predict", "/v1/tunedModels"):
        error = http.post(left_out, json={}).json()["error"]
        assert (error["code"], error["status"]) == (501, "UNIMPLEMENTED")


def test_a_time_limit(http):
    headers = {"x-server-timeout": "0"}
    error = http.post(URL, json=asked("a", "What is a?"), headers=headers).json()["error"]
    assert (error["code"], error["status"]) == (504, "DEADLINE_EXCEEDED")


def test_too_many_at_once(http, server):
    lane = server.hub.short
    lane.most, most = 0, lane.most
    try:
        error = http.post(URL, json=asked("a", "What is a?")).json()["error"]
    finally:
        lane.most = most
    assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert error["details"][0]["retryDelay"] == "2s"


def test_who_goes_away_is_not_worked_for(server):
    host, port = server.url.removeprefix("http://").split(":")
    line = f"POST /v1/models/spark:streamGenerateContent?alt=sse HTTP/1.1\r\nHost: {host}\r\n"
    body = b'{"contents": [{"parts": [{"text": "a b c"}, {"text": "What is a?"}]}]}'
    head = f"{line}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    for _ in range(3):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head.encode() + body)
    for lane in (server.hub.short, server.hub.answers):
        for _ in range(100):
            if not lane.inside:
                break
            httpx.get(f"{server.url}/health")
        assert lane.inside == 0


def test_what_is_published(http):
    document = http.get("/openapi.json").json()
    paths = document["paths"]
    assert "/v1beta/models/{model}:generateContent" in paths
    assert "/upload/v1beta/files" in paths
    assert "/openai/v1/chat/completions" in paths
    schemas = document["components"]["schemas"]
    assert "systemInstruction" in schemas["GenerateContentRequest"]["properties"]


def test_settings_that_would_be_open(tmp_path):
    with pytest.raises(InputError, match="POLLUX_API_KEY"):
        Settings(state=tmp_path, host="0.0.0.0")
    with pytest.raises(InputError, match="8 characters"):
        Settings(state=tmp_path, keys=("short",))
    assert Settings(state=tmp_path, host="::1").loopback


def test_two_servers_do_not_share_a_state(spark, server):
    with pytest.raises(InputError, match="another server"):
        create(spark, Settings(state=server.hub.settings.state))
