# SPDX-License-Identifier: Apache-2.0
"""What the server gives the Studio, asked for without a browser."""

import re
from pathlib import Path

import httpx
import pytest

import pollux
from pollux.examples import war_and_peace
from pollux.serve import studio

BUILT = Path(pollux.__file__).parent / "studio"
LARGEST = 400_000  # bytes of all that is built


@pytest.fixture(scope="module")
def http(server):
    with httpx.Client(base_url=server.url, timeout=60) as http:
        yield http


def upload(http: httpx.Client, name: str, text: str) -> str:
    headers = {"x-goog-upload-protocol": "raw", "x-goog-upload-file-name": name}
    reply = http.post("/upload/v1beta/files", content=text.encode(), headers=headers)
    return reply.json()["file"]["name"]


def save(http: httpx.Client, *names: str, text: str = "") -> str:
    parts = [{"fileData": {"fileUri": name}} for name in names] + ([{"text": text}] if text else [])
    body = {"model": "models/spark", "contents": [{"parts": parts}]}
    return http.post("/v1beta/cachedContents", json=body).json()["name"]


def test_the_page_allows_nothing_from_elsewhere(http):
    reply = http.get("/")
    assert reply.status_code == 200 and reply.headers["content-type"].startswith("text/html")
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in reply.text and "style=" not in reply.text
    assert not re.findall(r"(?:src|href)=\"(?!/)", reply.text)


def test_all_that_the_page_names_is_there(http):
    named = re.findall(r"/assets/[\w.-]+", http.get("/").text)
    assert len(named) >= 3
    for path in named:
        reply = http.get(path)
        assert reply.status_code == 200 and "immutable" in reply.headers["cache-control"]
    assert http.get(named[0]).headers["cross-origin-resource-policy"] == "same-origin"


def test_what_is_built_is_small_and_asks_nobody_else():
    files = [path for path in BUILT.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < LARGEST
    script = next(BUILT.glob("assets/*.js")).read_text("utf-8")
    # What is left of addresses are names: of XML, and of React's pages about errors.
    hosts = set(re.findall(r"https?://([\w.-]+)", script))
    assert hosts <= {"www.w3.org", "react.dev"}


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../index.html",
        "/assets/..%2f..%2f__init__.py",
        "/assets/%2e%2e/%2e%2e/cli.py",
        "/assets/%2fetc%2fpasswd",
        "/assets/..\\..\\cli.py",
        "/assets/",
        "/assets/nothing.js",
        "/studio/../cli.py",
    ],
)
def test_no_path_leads_out(server, http, path):
    assert http.get(httpx.URL(server.url).copy_with(raw_path=path.encode())).status_code == 404
    assert set(studio.ASSETS) == {file.name for file in (BUILT / "assets").iterdir()}


def test_lines_around_one(http):
    name = upload(http, "hundred.txt", "".join(f"line {n}\n" for n in range(1, 101)))
    found = http.get("/studio/lines", params={"name": name, "line": 50, "margin": 2}).json()
    assert found["lines"] == [f"line {n}" for n in range(48, 53)]
    assert (found["line"], found["total"], found["part"]) == (48, 100, "hundred.txt")
    last = http.get("/studio/lines", params={"name": name, "line": 10**6, "margin": 1}).json()
    assert last["lines"] == ["line 99", "line 100"]


def test_a_text_without_an_end_of_line_and_an_empty_one_have_a_line(http):
    for text, lines in (("one", ["one"]), ("\n", [""]), ("a\n\nb", ["a", "", "b"])):
        name = upload(http, "short.txt", text)
        found = http.get("/studio/lines", params={"name": name}).json()
        assert (found["lines"], found["total"]) == (lines, len(lines))


def test_an_endless_line_is_cut(http):
    name = upload(http, "long.txt", "word " * 8_000)
    [line] = http.get("/studio/lines", params={"name": name}).json()["lines"]
    assert line.startswith("word word") and line.endswith("…") and len(line) < 20_000


def test_lines_of_what_is_not_there(http):
    name = upload(http, "a.txt", "a\n")
    for params in ({"name": "files/none"}, {"name": name, "part": "b.txt"}, {"name": "../a.txt"}):
        assert http.get("/studio/lines", params=params).status_code == 404
    assert http.get("/studio/lines", params={"name": "https://x/files/a"}).status_code == 403
    assert http.get("/studio/lines", params={"name": name, "line": 0}).status_code == 400


def test_readings_combine_and_keep_their_texts(http):
    berlin = upload(http, "a.txt", "The access code for Berlin is 5591823.\n")
    first, second = save(http, berlin), save(http, text="The access code for Paris is 7740216.\n")
    together = http.post("/studio/readings", json={"names": [first, second], "displayName": "both"})
    made = together.json()
    assert made["displayName"] == "both" and made["usageMetadata"]["totalTokenCount"] > 20
    body = {
        "cachedContent": made["name"],
        "contents": [{"parts": [{"text": "What is the access code for Paris?"}]}],
    }
    for name in (first, second):
        assert http.delete(f"/v1beta/{name}").status_code == 200
    [answer] = http.post("/v1beta/models/spark:generateContent", json=body).json()["candidates"]
    assert "7740216" in answer["content"]["parts"][0]["text"]
    [chunk] = answer["groundingMetadata"]["groundingChunks"]
    source = chunk["retrievedContext"]
    # Of a reading that is gone the line is found in the one that has its text too.
    params = {"name": source["uri"].partition("#")[0], "part": source["title"]}
    params |= {"within": made["name"]}
    assert "Paris" in http.get("/studio/lines", params=params).json()["lines"][0]
    http.delete(f"/v1beta/{berlin}")
    params = {"name": berlin, "part": "a.txt", "within": made["name"]}
    assert "Berlin" in http.get("/studio/lines", params=params).json()["lines"][0]


def test_what_cannot_be_combined(http):
    name = save(http, text="one\n")
    for names, code in (([name], 400), ([name, "cachedContents/none"], 404), ([name, "../x"], 404)):
        reply = http.post("/studio/readings", json={"names": names})
        assert reply.status_code == code
    long = save(http, text="word " * 9_000)
    reply = http.post("/studio/readings", json={"names": [long, long, long]})
    assert reply.status_code == 400 and "20,000" in reply.json()["error"]["message"]


def test_the_novel(http):
    assert http.get("/studio/war-and-peace.txt").text == war_and_peace().text


def test_a_key_is_wanted_for_all_but_the_page(locked):
    with httpx.Client(base_url=locked) as http:
        page = http.get("/")
        assert page.status_code == 200
        assert http.get(re.findall(r"/assets/[\w.-]+", page.text)[0]).status_code == 200
        for path in ("/studio/lines?name=files/a", "/studio/war-and-peace.txt", "/v1beta/files"):
            assert http.get(path).status_code == 401
        assert http.post("/studio/readings", json={}).status_code == 401
