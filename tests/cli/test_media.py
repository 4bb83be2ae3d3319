# SPDX-License-Identifier: Apache-2.0
"""Pictures and sound on the command line: how they are looked at, and what is left out."""

import json
import os
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pollux
from pollux.memory.reading import Reading

QUESTION = ("-q", "What is said?", "--max-tokens", "2")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """But for compiled code, which all tests share."""
    (tmp_path / "cache").mkdir()
    compiled = Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    compiled.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache" / "compiled").symlink_to(compiled)
    monkeypatch.setenv("POLLUX_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def model(sensing):
    return pollux.load(sensing).loaded


@pytest.fixture
def run(monkeypatch, command, model):
    def call(*arguments):
        monkeypatch.setattr(pollux, "load", lambda path: pollux.Model(model))  # compiled already
        code, out, err = command(*arguments)
        return code, out, " ".join(err.split())

    return call


@pytest.fixture
def talk(tmp_path):
    """Three seconds of a tone."""
    path = tmp_path / "talk.wav"
    tone = (8_000 * np.sin(np.arange(48_000) / 9)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(tone.tobytes())
    return path


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (128, 128), "navy").save(path)
    return path


def test_how_media_are_looked_at(run, talk, photo, tmp_path):
    out = tmp_path / "a.reading"

    def sizes(*options):
        assert run("read", talk, photo, "-o", out, *options)[0] == 0
        return [part.end - part.text_start for part in Reading.open(out).parts]

    assert sizes() == [75 + 2, 64 + 2]
    assert sizes("--start", "1", "--end", "00:02", "--media-resolution", "low") == [27, 18]
    assert sizes("--update", "--fps", "2") == [77, 66]


def test_answers_name_the_second(run, talk, photo):
    code, out, _ = run("ask", talk, photo, *QUESTION, "--json", "--start", "2")
    answer = json.loads(out)
    assert code == 0
    for source in answer["sources"]:
        place = source["place"]
        assert place["medium"] == {"talk.wav": "audio", "photo.png": "image"}[place["part"]]
        if place["part"] == "talk.wav":
            assert place["time"] == "00:02" and 2_000 <= place["milliseconds"] < 3_000
    _, out, _ = run("ask", talk, *QUESTION)
    assert "  [1] talk.wav 00:0" in out


def test_chat_looks_as_it_is_told(run, talk, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda _: "")
    code, _, err = run("chat", talk, "--end", "1")
    assert code == 0 and "34 tokens read" in err


def test_what_is_damaged_ends_there_when_asked(run, talk, photo):
    photo.write_bytes(photo.read_bytes()[:-40])
    code, _, err = run("ask", talk, photo, *QUESTION)
    assert code == 1 and err.endswith("pollux: photo.png is cut short or damaged; fetch it again")
    for _ in range(2):  # read, and from the shelf
        code, out, err = run("ask", talk, photo, *QUESTION, "--skip-unreadable")
        assert code == 0 and "photo.png: is cut short or damaged" in err and out.strip()
    code, _, err = run("ask", talk, photo, *QUESTION)
    assert code == 1 and "photo.png is cut short or damaged" in err


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--start", "soon"), 1, "'soon' is no time, as in 90, 01:30 or 01:30:00"),
        (("--start", "5", "--end", "00:05"), 1, "an end of 5 s is not after the start, 5 s"),
        (("--fps", "0"), 1, "0 frames a second cannot be taken"),
        (("--start", "4"), 1, "talk.wav ends before 00:04; begin earlier"),
        (("--media-resolution", "huge"), 2, "'huge'"),
    ],
)
def test_what_cannot_be(run, talk, options, code, told):
    found, _, err = run("ask", talk, *QUESTION, *options)
    assert found == code and told in err and err.count("pollux: ") == 1
