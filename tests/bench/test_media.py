# SPDX-License-Identifier: Apache-2.0
"""The decoding benchmark on a second of everything: what it counts, and that it is reported."""

import json

import pytest
from typer.testing import CliRunner

from pollux.bench import media
from pollux.bench.command import app
from pollux.media.view import View


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(media, "FILM_SECONDS", 1)
    monkeypatch.setattr(media, "SOUND_SECONDS", 2)
    monkeypatch.setattr(media, "PHOTO", (400, 300))


def test_what_is_counted():
    found = {one.kind: one for one in media.bench_media([], View(), repeats=1)}
    film, recording, photo = found["video"], found["audio"], found["image"]
    assert film.pictures == 1 and 25 + 60 <= film.tokens <= 64 + 2 * 25 + 10
    assert recording.pictures == 0 and recording.tokens == 50 and recording.played == 2
    assert photo.pictures == 1 and photo.tokens <= 64 and photo.played == 0
    assert all(one.seconds > 0 and one.tokens_per_second > 0 for one in found.values())
    assert all(one.written_seconds > 0 for one in found.values())


def test_command(tmp_path):
    note = tmp_path / "numbers.json"
    run = CliRunner().invoke(app, ["media", "--repeats", "1", "-o", str(note)])
    assert run.exit_code == 0 and "recording.opus" in run.output
    record = json.loads(note.read_text())
    assert [one["kind"] for one in record["decoded"]] == ["video", "audio", "image"]
    assert record["view"]["resolution"] == "medium" and "av " in record["machine"]
