# SPDX-License-Identifier: Apache-2.0
"""curl, as Google's documentation for the shell uses it."""

import json
import shutil
import subprocess

import pytest

from tests.serve.conftest import asked

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
JSON = ("-H", "Content-Type: application/json")
CODE = "The access code for Lima is 90817."
ASK = "What is the access code for Lima?"


def curl(*given):
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "60", *given],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_question(server):
    url = f"{server.url}/v1beta/models/spark:generateContent?key=any"
    told = json.loads(curl(url, *JSON, "-X", "POST", "-d", json.dumps(asked(CODE, ASK))))
    assert "90817" in told["candidates"][0]["content"]["parts"][0]["text"]


def test_a_stream(server):
    url = f"{server.url}/v1beta/models/spark:streamGenerateContent?alt=sse&key=any"
    told = curl(url, "--no-buffer", *JSON, "-d", json.dumps(asked(CODE, ASK)))
    events = [one.removeprefix("data: ") for one in told.split("\n\n") if one]
    texts = [json.loads(one)["candidates"][0]["content"]["parts"][0]["text"] for one in events]
    assert "90817" in "".join(texts)


def test_an_upload(server, tmp_path):
    (tmp_path / "codes.txt").write_text(CODE)
    base = f"{server.url}/upload/v1beta/files?key=any"
    curl(
        base,
        *("--dump-header", str(tmp_path / "headers")),
        *("-H", "X-Goog-Upload-Protocol: resumable", "-H", "X-Goog-Upload-Command: start"),
        *("-H", f"X-Goog-Upload-Header-Content-Length: {len(CODE)}"),
        *("-H", "X-Goog-Upload-Header-Content-Type: text/plain"),
        *JSON,
        *("-d", "{'file': {'display_name': 'codes'}}"),
    )
    headers = (tmp_path / "headers").read_text().lower().splitlines()
    [url] = [one.split(": ", 1)[1] for one in headers if one.startswith("x-goog-upload-url: ")]
    told = curl(
        url,
        *("-H", "X-Goog-Upload-Offset: 0", "-H", "X-Goog-Upload-Command: upload, finalize"),
        *("--data-binary", f"@{tmp_path / 'codes.txt'}"),
    )
    file = json.loads(told)["file"]
    assert (file["displayName"], file["state"]) == ("codes", "ACTIVE")
    data = {"fileData": {"mimeType": "text/plain", "fileUri": file["uri"]}}
    body = {"contents": [{"parts": [data, {"text": ASK}]}]}
    told = curl(f"{server.url}/v1beta/models/spark:generateContent", *JSON, "-d", json.dumps(body))
    assert "90817" in told
    got = curl(f"{server.url}/v1beta/{file['name']}:download?alt=media")
    assert got == CODE
    assert curl("-X", "DELETE", f"{server.url}/v1beta/{file['name']}") == "{}"


def test_an_error(server):
    url = f"{server.url}/v1beta/models/none:generateContent"
    told = curl(url, "--write-out", "\n%{http_code}", *JSON, "-d", json.dumps(asked("a?")))
    body, code = told.rsplit("\n", 1)
    assert (code, json.loads(body)["error"]["status"]) == ("404", "NOT_FOUND")
