# SPDX-License-Identifier: Apache-2.0
"""Pictures among the parts of an answer, by untrained weights that are made to draw."""

import base64
import io

import pytest
from google.genai import errors, types
from PIL import Image

import pollux
from tests.serve.conftest import asked, running

URL = "/v1beta/models/tiny-draws:generateContent"
DRAW = "Draw a red apple."


@pytest.fixture(scope="module")
def drawer(drawing_weights, tmp_path_factory):
    with running(pollux.load(drawing_weights), tmp_path_factory.mktemp("state")) as one:
        yield one


@pytest.fixture
def http(drawer):
    with drawer.http() as http:
        yield http


def generated(http, *modalities, url=URL, **config):
    body = asked(DRAW, generationConfig={"responseModalities": modalities, **config})
    return http.post(url, json=body)


def kinds(parts):
    return ["text" if "text" in part else part["inlineData"]["mimeType"] for part in parts]


@pytest.mark.usefixtures("wants_to_draw")
def test_text_and_pictures(http):
    found = generated(http, "TEXT", "IMAGE").json()
    (one,), usage = found["candidates"], found["usageMetadata"]
    parts = one["content"]["parts"]
    assert kinds(parts) == ["text", "image/png", "text", "image/png"]
    picture = Image.open(io.BytesIO(base64.b64decode(parts[1]["inlineData"]["data"])))
    assert (picture.format, picture.size) == ("PNG", (64, 64))
    assert one["finishReason"] == "STOP" and one["tokenCount"] == 134
    counted = {x["modality"]: x["tokenCount"] for x in usage["candidatesTokensDetails"]}
    assert counted == {"IMAGE": 132, "TEXT": 2} and usage["candidatesTokenCount"] == 134
    stream = URL.replace("generate", "streamGenerate")
    chunks = generated(http, "TEXT", "IMAGE", url=stream).json()
    assert [p for c in chunks for p in c["candidates"][0]["content"]["parts"]] == parts


@pytest.mark.usefixtures("wants_to_draw")
def test_pictures_alone(drawer):
    with drawer.sdk() as client:
        config = types.GenerateContentConfig(response_modalities=["IMAGE"])
        answer = client.models.generate_content(model="tiny-draws", contents=DRAW, config=config)
        assert [part.as_image().mime_type for part in answer.parts] == ["image/png"] * 2


def test_no_picture_where_none_comes_or_none_is_wanted(http):
    one = generated(http, "IMAGE", maxOutputTokens=4).json()["candidates"][0]
    assert one["finishReason"] == "NO_IMAGE" and not one["content"].get("parts")
    one = generated(http, maxOutputTokens=4, responseLogprobs=True, logprobs=5).json()
    assert kinds(one["candidates"][0]["content"]["parts"]) == ["text"]


def test_what_cannot_be_drawn_is_refused(http, client):
    with pytest.raises(errors.ClientError) as raised:
        config = types.GenerateContentConfig(response_modalities=["TEXT", "IMAGE"])
        client.models.generate_content(model="spark", contents=DRAW, config=config)
    assert (raised.value.code, raised.value.status) == (400, "INVALID_ARGUMENT")
    assert "IMAGE are not supported by the model; spark accepts TEXT" in raised.value.message
    error = generated(http, "AUDIO").json()["error"]
    assert error["code"] == 400 and error["message"].endswith("tiny-draws accepts TEXT, IMAGE")
    error = generated(http, "IMAGE", responseMimeType="application/json").json()["error"]
    assert error["code"] == 400 and "responseMimeType" in error["message"]
