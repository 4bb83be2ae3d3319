# SPDX-License-Identifier: Apache-2.0
"""Requests with something wrong in them: an answer that says so, never a failure of the server."""

import copy
import json
import random

import pytest

from tests.serve.conftest import MIB, asked

ODD = [None, True, -1, 0, 3.5, 1e300, 2**70, "", "x", "\ud800", "models/../..", "\0", [], [[]], {}]
ODD += [{"x": 1}, {"text": 5}, ["a", 1], "9" * 400, "files/x", "cachedContents/x", "²"]
BODIES = {
    "/v1beta/models/spark:generateContent": asked(
        "The code is 5.",
        "What is the code?",
        generationConfig={
            "temperature": 0.5,
            "maxOutputTokens": 2,
            "stopSequences": ["x"],
            "responseMimeType": "application/json",
            "responseSchema": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}},
        },
        tools=[{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}],
        toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        systemInstruction={"parts": [{"inlineData": {"mimeType": "text/plain", "data": "YQ=="}}]},
    ),
    "/v1beta/models/spark:countTokens": asked("a", "b"),
    "/v1beta/models/spark:batchEmbedContents": {
        "requests": [{"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 3}]
    },
    "/v1beta/cachedContents": {"model": "models/spark", "ttl": "3s", **asked("a")},
    "/v1beta/models/spark:batchGenerateContent": {
        "batch": {"displayName": "d", "inputConfig": {"requests": {"requests": [{"request": 1}]}}}
    },
    "/upload/v1beta/files": {"file": {"name": "files/x", "mimeType": "a/b", "sizeBytes": 5}},
    "/openai/v1/chat/completions": {
        "model": "spark",
        "messages": [
            {"role": "system", "content": "The code is 5."},
            {"role": "user", "content": [{"type": "text", "text": "What?"}]},
        ],
        "max_tokens": 2,
        "stop": "x",
        "response_format": {"type": "json_schema", "json_schema": {"schema": {}}},
        "tool_choice": "auto",
        "tools": [{"type": "function", "function": {"name": "f"}}],
    },
}


def nodes(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from nodes(value[key], (*path, key))


def spoilt(body, rng):
    """With something odd in one place."""
    made = copy.deepcopy(body)
    *before, last = rng.choice([path for path in nodes(made) if path])
    at = made
    for key in before:
        at = at[key]
    match rng.randrange(4):
        case 0 if isinstance(at, dict):
            at[rng.choice(["x", "snake_case", "", "\ud800"])] = at.pop(last)
        case 1:
            del at[last]
        case _:
            at[last] = rng.choice(ODD)
    return made


@pytest.mark.parametrize("url", BODIES)
def test_spoilt_requests(http, server, url):
    rng = random.Random(url)
    headers = {"content-type": "application/json"}
    headers |= {"x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start"}
    codes = set()
    for _ in range(60):
        body = json.dumps(spoilt(BODIES[url], rng))
        reply = http.post(url, content=body, headers=headers)
        codes.add(reply.status_code)
        assert reply.status_code in (200, 400, 404, 409, 501), (body, reply.text)
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
