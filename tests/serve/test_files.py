# SPDX-License-Identifier: Apache-2.0
"""Files: uploads in pieces, what is kept of them, and what is refused."""

import io
import time
from urllib.parse import quote

import pytest
from google.genai import errors, types

from pollux.serve.files import safe_name
from pollux.serve.store import after
from tests.serve.conftest import FACT, MIB, NUMBER, QUESTION, asked, running

START = {"x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start"}


def started(http, size, **body):
    """The address that an upload goes on at."""
    headers = START | {"x-goog-upload-header-content-length": str(size)}
    reply = http.post("/upload/v1beta/files", headers=headers, json=body)
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["x-goog-upload-status"] == "active"
    return reply.headers["x-goog-upload-url"]


def sent(http, url, data, command="upload, finalize", offset=0):
    headers = {"x-goog-upload-command": command, "x-goog-upload-offset": str(offset)}
    headers["content-type"] = "application/json"  # as the SDK sends it
    return http.post(url, headers=headers, content=data)


def test_upload_ask_and_delete(client, book):
    file = client.files.upload(
        file=io.BytesIO(book.encode()),
        config={"name": "files/mine", "display_name": "book.txt", "mime_type": "text/plain"},
    )
    assert (file.name, file.display_name, file.state) == ("files/mine", "book.txt", "ACTIVE")
    assert file.size_bytes == len(book.encode())
    kept = (file.expiration_time - file.create_time).total_seconds()
    assert kept == pytest.approx(48 * 3600, abs=5)
    response = client.models.generate_content(model="spark", contents=[file, QUESTION])
    assert NUMBER in response.text
    [chunk, *_] = response.candidates[0].grounding_metadata.grounding_chunks
    assert chunk.retrieved_context.title == "book.txt"
    line = book[: book.index(FACT)].count("\n")
    assert chunk.retrieved_context.uri == f"files/mine#line={line},{line + 1}"
    assert response.usage_metadata.cached_content_token_count > 3_000
    assert client.files.get(name="files/mine").sha256_hash
    assert "files/mine" in [one.name for one in client.files.list()]
    assert client.files.download(file=file) == book.encode()
    client.files.delete(name="files/mine")
    with pytest.raises(errors.ClientError, match="404"):
        client.files.get(name="files/mine")
    with pytest.raises(errors.ClientError):
        client.models.generate_content(model="spark", contents=[file, QUESTION])


def test_large_files_come_in_pieces(client, tmp_path):
    path = tmp_path / "clip.bin"
    path.write_bytes(b"\x7fELF" + bytes(8 * MIB + 5))
    file = client.files.upload(file=path, config={"mime_type": "application/octet-stream"})
    assert file.size_bytes == 8 * MIB + 9
    deadline = time.monotonic() + 20
    while file.state == "PROCESSING" and time.monotonic() < deadline:
        file = client.files.get(name=file.name)
    assert file.state == "FAILED"  # the reason is told, and no path of the server
    assert file.error.message.startswith("clip.bin is a program")
    with pytest.raises(errors.ClientError, match="is a program"):
        client.models.generate_content(model="spark", contents=[file, "What is it?"])
    client.files.delete(name=file.name)


def test_an_upload_goes_on_where_it_broke_off(http):
    url = started(http, 10, file={"displayName": "ten.txt"})
    reply = sent(http, url, b"01234", "upload")
    assert reply.headers["x-goog-upload-size-received"] == "5"
    assert sent(http, url, b"", "query").headers["x-goog-upload-size-received"] == "5"
    assert sent(http, url, b"x", "upload", offset=7).status_code == 400
    assert sent(http, url, b"", "finalize").status_code == 400  # not whole yet
    reply = sent(http, url, b"3456789", offset=3)  # what came twice counts once
    assert reply.headers["x-goog-upload-status"] == "final"
    file = reply.json()["file"]
    assert file["sizeBytes"] == "10"
    assert http.get(f"/v1/{file['name']}:download").content == b"0123456789"
    assert sent(http, url, b"x").status_code == 404  # it is over


def test_uploads_as_the_shell_sends_them(http):
    body = "{'file': {'display_name': 'TEXT'}}"
    reply = http.post("/upload/v1beta/files", headers=START, content=body)
    url = reply.headers["x-goog-upload-url"]
    file = sent(http, url, b"hello there").json()["file"]
    assert file["displayName"] == "TEXT"
    raw = {"x-goog-upload-protocol": "raw", "content-type": "text/plain"}
    reply = http.post("/upload/v1beta/files", headers=raw, content=b"hello there")
    assert reply.json()["file"]["mimeType"] == "text/plain"


def test_an_upload_can_be_cancelled(http):
    url = started(http, 10)
    assert sent(http, url, b"", "cancel").headers["x-goog-upload-status"] == "cancelled"
    assert sent(http, url, b"0123456789").status_code == 404


def test_too_much_is_refused(http, server):
    headers = START | {"x-goog-upload-header-content-length": str(13 * MIB)}
    reply = http.post("/upload/v1beta/files", headers=headers)
    assert reply.status_code == 400
    assert f"{12 * MIB:,}" in reply.json()["error"]["message"]
    url = started(http, 3)
    assert sent(http, url, b"four").status_code == 400


@pytest.mark.parametrize("name", ["files/../../x", "files/UP", "files/a/b", "files/" + "a" * 41])
def test_names_are_checked(http, name):
    reply = http.post("/upload/v1beta/files", headers=START, json={"file": {"name": name}})
    assert reply.status_code == 400
    assert reply.json()["error"]["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("name", ["..", "../../etc/passwd", "%2e%2e%2fabout.json", "x\x01y", ""])
def test_no_path_is_opened(http, name):
    assert http.get(f"/v1beta/files/{quote(name) or '%00'}").status_code in (400, 404)
    uri = {"file_data": {"file_uri": f"files/{name}"}}
    body = {"contents": [{"parts": [uri, {"text": "What is a?"}]}]}
    assert http.post("/v1beta/models/spark:generateContent", json=body).status_code == 404


def test_no_address_is_fetched(client):
    part = types.Part.from_uri(file_uri="http://127.0.0.1:1/files/x", mime_type="text/plain")
    with pytest.raises(errors.ClientError, match="never opened"):
        client.models.generate_content(model="spark", contents=[part, "What is a?"])


def test_display_names_lead_nowhere(http, server):
    url = started(http, 5, file={"display_name": "../../../etc/cron.d/x"})
    file = sent(http, url, b"hello").json()["file"]
    number = file["name"].removeprefix("files/")
    stored = [
        p for p in server.hub.files.path(number).rglob("*") if p.name == "x.txt" or p.name == "x"
    ]
    assert len(stored) == 1
    assert file["displayName"] == "../../../etc/cron.d/x"


@pytest.mark.parametrize(
    ("wanted", "mime", "name"),
    [
        ("a.txt", "", "a.txt"),
        ("/etc/passwd", "text/plain", "passwd.txt"),
        ("..\\..\\x.py", "", "x.py"),
        ("...", "text/plain", "file.txt"),
        ("a\nb.txt", "", "a\ufffdb.txt"),
        ("", "application/pdf", "file.pdf"),
    ],
)
def test_safe_names(wanted, mime, name):
    assert safe_name(wanted, mime) == name


def test_lists_come_in_pages(http):
    for number in range(3):
        sent(http, started(http, 3, file={"name": f"files/page-{number}"}), b"abc")
    seen, token = [], ""
    while True:
        page = http.get("/v1beta/files", params={"pageSize": 2, "pageToken": token}).json()
        assert len(page["files"]) <= 2
        seen += [file["name"] for file in page["files"]]
        if not (token := page.get("nextPageToken", "")):
            break
    assert len(seen) == len({*seen})
    assert {f"files/page-{number}" for number in range(3)} <= {*seen}
    assert http.get("/v1beta/files?pageSize=-1").status_code == 400
    assert http.get("/v1beta/files?pageToken=zzz").status_code == 400
    taken = http.post("/upload/v1/files", headers=START, json={"file": {"name": "files/page-0"}})
    assert taken.json()["error"]["status"] == "ALREADY_EXISTS"


def test_what_has_expired_is_gone(http, server):
    file = sent(http, started(http, 3, file={"name": "files/old"}), b"abc").json()["file"]
    server.hub.files.change("old", expires=after(-1.0))
    assert http.get(f"/v1/{file['name']}").status_code == 404
    assert server.hub.files.sweep() == ["old"]
    assert not server.hub.files.path("old").exists()


def test_files_and_half_uploads_outlive_the_server(spark, tmp_path, book):
    with running(spark, tmp_path) as first, first.http() as http:
        file = sent(http, started(http, len(book.encode())), book.encode()).json()["file"]
        half = started(http, 10)
        sent(http, half, b"01234", "upload")
        first.hub.files.change(file["name"].removeprefix("files/"), state="PROCESSING")
    with running(spark, tmp_path) as second, second.http() as http:
        half = half.replace(first.url, second.url)
        assert sent(http, half, b"56789", offset=5).json()["file"]["sizeBytes"] == "10"
        parts = [{"fileData": {"fileUri": file["uri"]}}, {"text": QUESTION}]
        url = "/v1/models/spark:generateContent"
        found = http.post(url, json={"contents": [{"parts": parts}]}).json()
        assert NUMBER in found["candidates"][0]["content"]["parts"][0]["text"]
        state = http.get(f"/v1/{file['name']}").json()["state"]
        assert state == "ACTIVE"
        assert http.post(url, json=asked("What is a?")).status_code == 200
