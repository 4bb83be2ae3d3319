# SPDX-License-Identifier: Apache-2.0
"""Cached contents: readings with a name, an end, and a life beyond the process."""

import pytest
from google.genai import errors

from pollux.memory.reading import Reading
from pollux.serve.store import after
from tests.serve.conftest import FACT, NUMBER, QUESTION, asked, running


def test_the_life_of_a_cache(client, book):
    cache = client.caches.create(
        model="spark",
        config={
            "contents": [book],
            "system_instruction": "The access code for Lima is 90817.",
            "display_name": "a book",
            "ttl": "300s",
        },
    )
    assert cache.model == "models/spark"
    assert cache.usage_metadata.total_token_count > 3_000
    left = (cache.expire_time - cache.create_time).total_seconds()
    assert left == pytest.approx(300, abs=5)
    config = {"cached_content": cache.name}
    response = client.models.generate_content(model="spark", contents=QUESTION, config=config)
    assert NUMBER in response.text
    usage = response.usage_metadata
    assert usage.cached_content_token_count == cache.usage_metadata.total_token_count
    assert usage.prompt_token_count < usage.cached_content_token_count + 50
    more = ["The access code for Oslo is 5512.", "What is the access code for Oslo?"]
    response = client.models.generate_content(model="spark", contents=more, config=config)
    assert "5512" in response.text
    changed = client.caches.update(name=cache.name, config={"ttl": "600s"})
    assert changed.expire_time > cache.expire_time
    assert client.caches.get(name=cache.name).expire_time == changed.expire_time
    assert cache.name in [one.name for one in client.caches.list()]
    client.caches.delete(name=cache.name)
    with pytest.raises(errors.ClientError, match="404"):
        client.models.generate_content(model="spark", contents=QUESTION, config=config)


def test_a_cache_is_a_reading_and_outlives_the_server(spark, tmp_path, book):
    with running(spark, tmp_path) as first, first.sdk() as client:
        cache = client.caches.create(model="spark", config={"contents": [book]})
        number = cache.name.removeprefix("cachedContents/")
    reading = spark.open(tmp_path / "cachedContents" / number / "content.reading")
    assert reading.num_valid == cache.usage_metadata.total_token_count
    with running(spark, tmp_path) as second, second.sdk() as client:
        config = {"cached_content": cache.name}
        response = client.models.generate_content(model="spark", contents=QUESTION, config=config)
        assert NUMBER in response.text
        [chunk, *_] = response.candidates[0].grounding_metadata.grounding_chunks
        line = book[: book.index(FACT)].count("\n")
        assert chunk.retrieved_context.uri == f"{cache.name}#line={line},{line + 1}"


def test_a_cache_that_another_model_made_is_refused(spark, tmp_path, monkeypatch):
    with running(spark, tmp_path) as server, server.sdk() as client:
        cache = client.caches.create(model="spark", config={"contents": ["The code is 5."]})
        number = cache.name.removeprefix("cachedContents/")
        path = server.hub.caches.path(number) / "content.reading"
        reading = Reading.open(path)
        manifest = (path / "manifest.json").read_text("utf-8")
        (path / "manifest.json").write_text(
            manifest.replace(reading.weights_fingerprint, "0" * 16), "utf-8"
        )
        with pytest.raises(errors.ClientError, match="create it again"):
            client.models.generate_content(
                model="spark", contents=QUESTION, config={"cached_content": cache.name}
            )


@pytest.mark.parametrize(
    "body",
    [
        {"contents": []},
        {"contents": [{"parts": [{"text": "a"}]}], "ttl": "5 minutes"},
        {"contents": [{"parts": [{"text": "a"}]}], "ttl": "-3s"},
        {"contents": [{"parts": [{"text": "a"}]}], "expireTime": "2001-01-01T00:00:00Z"},
        {"contents": [{"parts": [{"text": "a"}]}], "ttl": "3s", "expireTime": "2099-01-01"},
        {"contents": [{"parts": [{"text": "a"}]}], "model": ""},
    ],
)
def test_what_cannot_be_cached(http, body):
    reply = http.post("/v1beta/cachedContents", json={"model": "models/spark", **body})
    assert reply.status_code == 400, reply.text


def test_an_expired_cache_is_gone(http, server):
    body = {"model": "models/spark", **asked("The code is 5."), "ttl": "300s"}
    name = http.post("/v1/cachedContents", json=body).json()["name"]
    number = name.removeprefix("cachedContents/")
    server.hub.caches.change(number, expires=after(-1.0))
    assert http.get(f"/v1/{name}").status_code == 404
    assert http.patch(f"/v1/{name}", json={"ttl": "9s"}).status_code == 404
    assert number in server.hub.caches.sweep()


def test_a_cache_and_instructions_exclude_each_other(http):
    body = {"model": "models/spark", **asked("The code is 5.")}
    name = http.post("/v1/cachedContents", json=body).json()["name"]
    both = asked(QUESTION, cachedContent=name, systemInstruction={"parts": [{"text": "a"}]})
    reply = http.post("/v1/models/spark:generateContent", json=both)
    assert reply.status_code == 400
    assert http.patch(f"/v1/{name}", json=asked("b")).status_code == 400
    assert http.delete(f"/v1/{name}").json() == {}
