# SPDX-License-Identifier: Apache-2.0
"""Batches and embeddings."""

import io
import json
import time

import pytest
from google.genai import errors, types

from tests.serve.conftest import asked, running

LIMA = ["The access code for Lima is 90817.", "What is the access code for Lima?"]


def waited(client, name):
    for _ in range(600):
        job = client.batches.get(name=name)
        if job.done:
            return job
        time.sleep(0.05)
    raise AssertionError(job)


def test_inline_requests(client):
    requests = [
        types.InlinedRequest(contents=LIMA, metadata={"number": "0"}),
        types.InlinedRequest(contents=[types.Content(parts=[types.Part()])]),
    ]
    job = client.batches.create(model="spark", src=requests, config={"display_name": "two"})
    job = waited(client, job.name)
    assert (job.state, job.display_name) == ("JOB_STATE_SUCCEEDED", "two")
    first, second = job.dest.inlined_responses
    assert "90817" in first.response.text
    assert second.error.code == 3
    assert job.name in [one.name for one in client.batches.list()]
    client.batches.delete(name=job.name)
    with pytest.raises(errors.ClientError, match="404"):
        client.batches.get(name=job.name)


def test_requests_from_a_file(client):
    lines = [{"key": f"k{i}", "request": asked(*LIMA)} for i in range(2)]
    lines.append({"key": "bad", "request": asked("a", nothing=1)})
    text = "\n".join(json.dumps(line) for line in lines)
    file = client.files.upload(
        file=io.BytesIO(text.encode()), config={"mime_type": "application/jsonl"}
    )
    job = waited(client, client.batches.create(model="spark", src=file.name).name)
    answers = [json.loads(x) for x in client.files.download(file=job.dest.file_name).splitlines()]
    assert [one["key"] for one in answers] == ["k0", "k1", "bad"]
    assert "90817" in answers[1]["response"]["candidates"][0]["content"]["parts"][0]["text"]
    assert "nothing" in answers[2]["error"]["message"]


def test_a_batch_goes_on_after_a_restart(spark, tmp_path):
    with running(spark, tmp_path) as first, first.http() as http:
        requests = {"requests": [{"request": asked(*LIMA)} for _ in range(3)]}
        body = {"batch": {"inputConfig": {"requests": requests}}}
        url = "/v1/models/spark:batchGenerateContent"
        name = http.post(url, json=body).json()["name"]
        with first.sdk() as client:
            waited(client, name)
    number = name.removeprefix("batches/")
    results = tmp_path / "batches" / number / "results.jsonl"
    done = results.read_text("utf-8").splitlines(keepends=True)
    results.write_text(done[0] + done[1][:20], "utf-8")  # as if stopped while writing
    about = tmp_path / "batches" / number / "about.json"
    record = json.loads(about.read_text("utf-8")) | {"state": "BATCH_STATE_RUNNING"}
    about.write_text(json.dumps(record), "utf-8")
    with running(spark, tmp_path) as second, second.sdk() as client:
        job = waited(client, name)
        assert len(job.dest.inlined_responses) == 3
        assert all("90817" in one.response.text for one in job.dest.inlined_responses)


def test_a_batch_can_be_cancelled(http):
    requests = {"requests": [{"request": asked(*LIMA)} for _ in range(50)]}
    body = {"batch": {"inputConfig": {"requests": requests}}}
    name = http.post("/v1/models/spark:batchGenerateContent", json=body).json()["name"]
    assert http.post(f"/v1/{name}:cancel").json() == {}
    assert http.get(f"/v1/{name}").json()["metadata"]["state"] == "BATCH_STATE_CANCELLED"


def test_embeddings_are_near_for_texts_alike(client):
    texts = [
        "The old mill stood by the river after the rain.",
        "The old mill stood by the river after the snow.",
        "def main(arguments): return parse(arguments).run()",
    ]
    made = client.models.embed_content(model="spark", contents=texts).embeddings
    first, near, far = ([*one.values] for one in made)
    assert len(first) == 64

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert cosine(first, first) == pytest.approx(1.0)
    assert cosine(first, near) > cosine(first, far)
    cut = client.models.embed_content(
        model="spark", contents=texts[0], config={"output_dimensionality": 8}
    )
    assert len(cut.embeddings[0].values) == 8
    with pytest.raises(errors.ClientError, match="64 dimensions"):
        client.models.embed_content(
            model="spark", contents=texts[0], config={"output_dimensionality": 65}
        )


def test_one_embedding_over_http(http):
    body = {"content": {"parts": [{"text": "a mill"}]}}
    found = http.post("/v1beta/models/spark:embedContent", json=body).json()
    assert len(found["embedding"]["values"]) == 64


@pytest.mark.filterwarnings("ignore:batches.create_embeddings")
def test_a_batch_of_embeddings(client):
    src = {"inlined_requests": {"contents": ["a mill", "a river"]}}
    job = waited(client, client.batches.create_embeddings(model="spark", src=src).name)
    [first, second] = job.dest.inlined_embed_content_responses
    assert len(first.response.embedding.values) == 64 == len(second.response.embedding.values)
