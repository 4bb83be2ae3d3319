# SPDX-License-Identifier: Apache-2.0
"""Needles in sound and film: where they are put, that a splice is a full reading, how it is judged.

Untrained weights, tones for speech, noise for film: the machinery is tested, not the model.
"""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import pollux
from pollux import cli
from pollux.data import art
from pollux.data.material import Material
from pollux.data.skills import Kit
from pollux.data.speech import Clip
from pollux.engine.media import STEP
from pollux.evals import media_haystack as grid
from pollux.evals import media_needle, media_sources, needle, needle_results
from pollux.evals.media_haystack import Planted, Scene, Source
from pollux.media.mel import BINS
from pollux.media.part import Part
from pollux.memory.place import Place, place_of

SECONDS = 90


def tone(text, rng):
    at = np.arange(len(text) * 1_300) / 16_000
    return (8_000 * np.sin(2 * np.pi * rng.uniform(200, 800) * at)).astype(np.int16)


def say(voice, text, rng):
    return tone(text, rng)


@pytest.fixture(autouse=True)
def short_answers(monkeypatch):
    """Untrained weights never end one."""
    monkeypatch.setattr(media_needle, "ANSWER", pollux.Sampling(max_tokens=3))


@pytest.fixture(scope="module")
def model(sensing):
    return pollux.load(sensing).loaded


@pytest.fixture(scope="module")
def sources():
    rng = np.random.default_rng(0)
    texts = ["a short one", "another that takes a little longer than that", "the third of them"]
    said = tuple(media_sources.scene_of_clip(Clip(t, "x", tone(t, rng))) for t in texts)
    films = []
    for size in (7, 11):
        frames = rng.integers(0, 256, (size, 96, 160, 3)).astype(np.uint8)
        films.append(Scene(seconds=tuple(frames), free=(False, *[True] * (size - 1))))
    return {
        "audio": Source(kind="audio", names=("tones",), scenes=said),
        "video": Source(
            kind="video", names=("noise",), scenes=tuple(films), said=frozenset(["the lucky key"])
        ),
    }


@pytest.fixture(scope="module")
def haystacks(model, sources):
    rng = np.random.default_rng(1)
    return {kind: grid.read(model, source, SECONDS, rng) for kind, source in sources.items()}


@pytest.fixture(scope="module")
def needles(model, tmp_path_factory):
    kit = Kit(model.tokenizer, {}, media_sources.vocabulary(model.tokenizer), [])
    plain = art.art(tmp_path_factory.mktemp("art"), evaluation=True)
    given = Material(kit=kit, art=plain, evaluation=True)
    words = media_sources.to_say(kit.vocabulary)
    return {
        kind: media_needle.Needles(
            kind=kind, words=words, voices=("a", "b"), material=given, say=say
        )
        for kind in ("audio", "video")
    }


def held(haystack):
    return [array.copy() for array in haystack.reading.stores[0].arrays]


def nearly(left, right):
    """Equal but for what rounding does, where chunks were packed otherwise."""
    assert np.array_equal(left.tokens, right.tokens) and left.parts == right.parts
    for what in ("keys", "values"):
        steps = np.abs(getattr(left, what).astype(int) - getattr(right, what))
        assert steps.max() <= 1 and (steps > 0).mean() < 0.01
    return True


@pytest.mark.parametrize("depth", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["audio", "video"])
def test_overwritten_is_a_full_reading_and_is_put_back(haystacks, needles, kind, depth):
    haystack = haystacks[kind]
    before, opened = held(haystack), list(haystack.respondent.stretches)
    planted, word, _ = needles[kind].plant(haystack, np.random.default_rng(2), depth, 0)
    assert abs(planted.depth - depth) < 0.15 and 3 <= len(word) <= 12
    with grid.overwritten(haystack, planted):
        assert nearly(haystack.reading, grid.read_anew(haystack, planted))
        changed = [not np.array_equal(a, b) for a, b in zip(before, held(haystack), strict=True)]
        assert changed == [True, True, True, True, False]  # all tokens are the same
        assert haystack.respondent.stretches[0] is not opened[0]
    after = held(haystack)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert haystack.respondent.stretches == opened


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_only_what_is_exchanged_differs(haystacks, needles, kind):
    haystack, reach = haystacks[kind], haystacks[kind].model.config.receptive_field
    planted, *_ = needles[kind].plant(haystack, np.random.default_rng(2), 0.5, 1)
    first, last = min(planted.seconds), max(planted.seconds) + 1
    before = haystack.reading.keys.copy()
    with grid.overwritten(haystack, planted):
        changed = np.flatnonzero(np.any(before != haystack.reading.keys, 1))
    assert haystack.starts[first] <= changed[0]
    assert changed[-1] < haystack.starts[last] + reach
    assert first <= planted.begins < planted.ends <= last


def test_speech_is_exchanged_by_whole_clips(haystacks, needles):
    haystack = haystacks["audio"]
    begins = set(np.flatnonzero(haystack.second == 0).tolist()) | {SECONDS}
    for turn in range(4):
        planted, *_ = needles["audio"].plant(haystack, np.random.default_rng(turn), 0.4, turn)
        first, last = min(planted.seconds), max(planted.seconds) + 1
        assert first in begins and (last in begins or last == SECONDS)
        silent = np.concatenate([planted.seconds[at] for at in range(first, last)])
        loud = np.flatnonzero(silent.max(1) > -9)
        assert abs(first + loud[0] / 100 - planted.begins) < 0.1
        assert abs(first + loud[-1] / 100 - planted.ends) < 0.1


def test_only_the_frame_with_the_needle_is_another(haystacks, needles):
    haystack = haystacks["video"]
    planted, *_ = needles["video"].plant(haystack, np.random.default_rng(3), 0.3, 0)
    [(at, frame)] = planted.seconds.items()
    assert haystack.is_free[at] and frame.shape == haystack.shown(at).shape
    assert (planted.begins, planted.ends) == (at, at + 1)
    reading, tokenizer = haystack.reading, haystack.model.tokenizer
    place = place_of(reading, tokenizer, int(haystack.starts[at]))
    assert (place.milliseconds, place.frame) == (1000 * at, at * grid.FRAME_RATE)
    heard = haystacks["audio"]
    place = place_of(heard.reading, tokenizer, int(heard.starts[40]) + 3)
    assert place.milliseconds == 40_000 + 3 * STEP


def test_what_is_too_short_is_taken_again_in_another_order(sources):
    source = sources["audio"]
    scene, second = grid.order(source, 20 * source.seconds, np.random.default_rng(0))
    rounds = scene[second == 0].reshape(20, len(source.scenes))
    assert all(sorted(one) == [0, 1, 2] for one in rounds.tolist())
    assert len({tuple(one) for one in rounds.tolist()}) > 1
    assert all(len(mel) == 100 and mel.shape[1] == BINS for s in source.scenes for mel in s.seconds)


@pytest.mark.parametrize(
    ("text", "kind", "at", "right", "placed"),
    [
        ('the secret keyword is "garden"', "answer", 11_500, True, True),
        ("The secret keyword is Garden.", "unsure", 13_900, True, True),
        ("the secret keyword is gardens", "answer", 14_100, False, False),
        ("the secret keyword — not in the text. garden", "absent", 9_000, False, True),
        ("garden", "answer", 8_900, True, False),
        ("garden", "answer", None, True, False),
    ],
)
def test_judging(text, kind, at, right, placed):
    planted = Planted(seconds={}, begins=10.0, ends=13.0, depth=0.5)
    place = Place(part="a", line=1, column=1, byte=0, medium="audio", milliseconds=at)
    answer = SimpleNamespace(text=text, kind=kind, sources=[SimpleNamespace(place=place)])
    plain = getattr(media_needle.judged, "__wrapped__", media_needle.judged)
    assert plain("garden", planted, answer) == (right, placed)


def test_what_cannot_be_run(model, sources, needles):
    for bad, told in (
        ({"lengths": (30,)}, "a length of 30 s cannot be"),
        ({"lengths": (10**9,)}, "cannot be: give 1 min to 240 h"),
        ({"trials": 0}, "--trials must be 1 or more"),
        ({"audit": 2}, "--audit must be a share"),
        ({"seed": -1}, "--seed must be 0 or more"),
    ):
        with pytest.raises(pollux.InputError, match=told):
            media_needle.Grid(**{"kind": "audio", "lengths": (60,)} | bad)
    with pytest.raises(pollux.InputError, match="soon is no number of hours"):
        media_needle.lengths_of(["soon"])
    assert media_needle.lengths_of(["1h", "0.05", "10.5"]) == (180, 3_600, 37_800)
    short = grid.read(model, sources["audio"], 2, np.random.default_rng(0))
    with pytest.raises(pollux.InputError, match="no room for the needle"):
        needles["audio"].plant(short, np.random.default_rng(0), 0.5, 0)
    with pytest.raises(pollux.InputError, match=r"a\.txt is text: name a recording or a film"):
        media_sources.source_of_parts("audio", [Part(name="a.txt", kind="text", text="x")])


def test_nobody_to_speak(monkeypatch):
    monkeypatch.setattr(media_sources.shutil, "which", lambda name: None)
    with pytest.raises(pollux.InputError, match="apt-get install espeak-ng"):
        media_sources.speakers()


def test_command(model, sources, needles, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pollux, "load", lambda path: pollux.Model(model))  # compiled already
    monkeypatch.setattr(media_needle, "needles", lambda model, kind: needles[kind])
    monkeypatch.setattr(media_needle, "DEPTHS", 2)
    monkeypatch.setattr(needle, "DEPTHS", 2)
    monkeypatch.setattr(media_sources, "film_source", lambda given, size: sources["video"])
    out = tmp_path / "out"

    def call(*more):
        given = "pollux eval needle --modality video --length 0.02 --trials 1 -o".split()
        monkeypatch.setattr(sys, "argv", [*given, str(out), *more])
        try:
            cli.main()
            return 0, capsys.readouterr()
        except SystemExit as stop:
            return stop.code or 0, capsys.readouterr()

    code, told = call()
    assert code == 0 and "1.2 min" in told.out and "1 with the identical answer" in told.err
    made = json.loads((out / needle_results.FILE).read_text())
    assert made["settings"]["modality"] == "video"
    assert [cell["depth"] for cell in made["cells"]] == [0.0, 1.0, None]
    trials = [trial for cell in made["cells"][:2] for trial in cell["trials"]]
    assert all({"expected", "placed", "at", "by"} <= set(trial) for trial in trials)
    assert all((out / trial["picture"]).is_file() for trial in trials)
    assert sum("audit" in trial for trial in trials) == 1
    page = (out / "needle.html").read_text()
    assert page.count('src="data:image/jpeg;base64,') == 2 and "<script" not in page
    assert "at its place" in page and (out / "needle.png").exists()
    assert call()[0] == 1
    assert call("--resume")[0] == 0
    code, told = call("--family", "needles")
    assert code == 1 and "no family 'needles' of video; there are needle and control" in told.err


def test_without_eyes_the_writing_is_read(weights, needles):
    """A frame with the needle on it gives a line; without it the film has none."""
    blind = pollux.load(weights).loaded
    frames = tuple(np.full((192, 320, 3), 40 + n, np.uint8) for n in range(6))
    source = Source(
        kind="video", names=("dark",), scenes=(Scene(seconds=frames, free=(True,) * 6),)
    )
    haystack = grid.read(blind, source, SECONDS, np.random.default_rng(0))

    def told(reading):
        part = reading.parts[0]
        return blind.tokenizer.decode(reading.tokens[part.text_start : part.end])

    assert told(haystack.reading) == ""
    planted, word, _ = needles["video"].plant(haystack, np.random.default_rng(4), 0.5, 0)
    with grid.overwritten(haystack, planted) as respondent:
        line = told(respondent.reading)
    at = int(planted.begins)
    assert line.startswith(f"00:{at:02} " if at < 60 else f"01:{at - 60:02} ")
    assert len(line) > len(word) + 10 and told(haystack.reading) == ""
    assert place_of(respondent.reading, blind.tokenizer, len(line) // 2).milliseconds == 1000 * at
