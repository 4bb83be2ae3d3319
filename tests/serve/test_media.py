# SPDX-License-Identifier: Apache-2.0
"""Pictures and sound through the API: mediaResolution, videoMetadata, and where answers point."""

import base64
import io
import time
import wave

import numpy as np
import pytest
from PIL import Image

import pollux
from tests.serve.conftest import running

URL = "/v1beta/models/tiny-senses:generateContent"


@pytest.fixture(scope="module")
def http(sensing, tmp_path_factory):
    state = tmp_path_factory.mktemp("state")
    with running(pollux.load(sensing), state, context=20_000) as one, one.http() as http:
        yield http


@pytest.fixture(scope="module")
def photo():
    file = io.BytesIO()
    Image.new("RGB", (128, 128), "navy").save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def talk():
    """Three seconds of a tone."""
    tone = (8_000 * np.sin(np.arange(48_000) / 9)).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(tone.tobytes())
    return file.getvalue()


def inline(data, mime, name, **more):
    data = base64.b64encode(data).decode()
    return {"inlineData": {"mimeType": mime, "data": data, "displayName": name}, **more}


def asked(*parts, **config):
    contents = [{"role": "user", "parts": [*parts, {"text": "What is said?"}]}]
    return {"contents": contents, "generationConfig": {"maxOutputTokens": 2, **config}}


def tokens(http, body):
    """Of the prompt, by modality; counting says the same."""
    response = http.post(URL, json=body)
    assert response.status_code == 200, response.text
    usage = response.json()["usageMetadata"]
    count = {"generateContentRequest": {"model": "models/tiny-senses", **body}}
    counted = http.post(URL.replace("generateContent", "countTokens"), json=count).json()
    assert counted["totalTokens"] == usage["promptTokenCount"]
    assert counted["promptTokensDetails"] == usage["promptTokensDetails"]
    return {one["modality"]: one["tokenCount"] for one in usage["promptTokensDetails"]}


def test_how_pictures_and_sound_are_looked_at(http, photo, talk):
    whole = tokens(http, asked(inline(photo, "image/png", "a.png"), inline(talk, "", "b.wav")))
    seen = {"media_resolution": {"level": "MEDIA_RESOLUTION_LOW"}}
    heard = {"videoMetadata": {"startOffset": "1s", "endOffset": "2.00s"}}
    parts = inline(photo, "image/png", "a.png", **seen), inline(talk, "", "b.wav", **heard)
    less = tokens(http, asked(*parts))
    assert whole["IMAGE"] - less["IMAGE"] == 64 - 16
    assert whole["AUDIO"] - less["AUDIO"] == 2 * 25
    low = asked(inline(photo, "image/png", "a.png"), mediaResolution="MEDIA_RESOLUTION_LOW")
    assert tokens(http, low)["IMAGE"] == less["IMAGE"]


def test_uploaded_sound_is_cut_as_asked(http, talk):
    headers = {"x-goog-upload-protocol": "raw", "x-goog-upload-file-name": "talk.wav"}
    file = http.post("/upload/v1beta/files", content=talk, headers=headers).json()["file"]
    while file["state"] == "PROCESSING":
        time.sleep(0.05)
        file = http.get(f"/v1beta/{file['name']}").json()
    assert file["state"] == "ACTIVE", file
    part = {"fileData": {"fileUri": file["uri"]}}
    whole = tokens(http, asked(part))["AUDIO"]
    for _ in range(2):
        cut = asked({**part, "videoMetadata": {"endOffset": "1s"}})
        assert whole - tokens(http, cut)["AUDIO"] == 50
    found = http.post(URL, json=asked({**part, "videoMetadata": {"startOffset": "2s"}})).json()
    chunks = found["candidates"][0]["groundingMetadata"]["groundingChunks"]
    for context in (chunk["retrievedContext"] for chunk in chunks):
        place = context["place"]
        assert (place["medium"], place["time"]) == ("audio", "00:02")
        assert context["uri"] == f"{file['name']}#t={place['milliseconds'] / 1000:g}"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"mediaResolution": "MEDIA_RESOLUTION_HUGE"}, "'MEDIA_RESOLUTION_HUGE' is no level"),
        ({"mediaResolution": {"level": 3}}, "'3' is no level"),
        ({"videoMetadata": {"startOffset": "1:30"}}, "'1:30' is no offset, as in 12.5s"),
        ({"videoMetadata": {"startOffset": "2s", "endOffset": "1s"}}, "is not after the start"),
        ({"videoMetadata": {"fps": 0}}, "0 frames a second cannot be taken"),
        ({"videoMetadata": {"startOffset": "9s"}}, "b.wav ends before 00:09"),
    ],
)
def test_what_cannot_be(http, talk, more, told):
    response = http.post(URL, json=asked(inline(talk, "audio/wav", "b.wav", **more)))
    assert response.status_code == 400 and told in response.json()["error"]["message"]


def test_too_much_sound_is_refused_before_it_is_read(http):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(1)
        out.setframerate(2_000)
        out.writeframes(bytes([128]) * 2_000 * 850)
    response = http.post(URL, json=asked(inline(file.getvalue(), "audio/wav", "long.wav")))
    assert response.status_code == 400
    assert "more than the 20,000 of this server" in response.json()["error"]["message"]


def test_damaged_pictures_are_refused_by_name(http, photo):
    response = http.post(URL, json=asked(inline(photo[:-40], "image/png", "a.png")))
    assert response.status_code == 400
    assert "a.png is cut short or damaged" in response.json()["error"]["message"]


def test_metadata_of_what_is_text(http):
    body = asked({"text": "a long text", "videoMetadata": {"fps": 1}})
    response = http.post(URL, json=body)
    assert response.status_code == 400
    assert "videoMetadata is for film and sound" in response.json()["error"]["message"]
