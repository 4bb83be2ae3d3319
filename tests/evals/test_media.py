# SPDX-License-Identifier: Apache-2.0
"""pollux eval media: what is asked and how it is judged; untrained weights, tones for speech."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import pollux
from pollux import cli
from pollux.data import held_out, pictures
from pollux.data.scene import Event, Place, Scene
from pollux.data.speech import Clip
from pollux.engine.answer import Respondent
from pollux.evals import media, media_report
from pollux.evals.media import Asked, Bench, Case, Trie
from pollux.evals.score import edits, resampled
from pollux.media.piece import Picture, Sound


@pytest.fixture(autouse=True)
def short_answers(monkeypatch):
    """Untrained weights never end one."""
    monkeypatch.setattr(media, "ANSWER", pollux.Sampling(max_tokens=3))


@pytest.fixture(scope="module")
def model(sensing):
    return pollux.load(sensing).loaded


@pytest.fixture(scope="module")
def bench(model, tmp_path_factory):
    """Plain fonts, and no icons."""
    made = media.bench(model, tmp_path_factory.mktemp("art"))
    return Bench(model=made.model, kit=made.kit, given=made.given, known=frozenset(["key", "cat"]))


def answer(text="", kind="answer", places=()):
    return SimpleNamespace(text=text, kind=kind, probability=0.5, seconds=0.1, places=places)


def judged(*given):
    return getattr(media.judged, "__wrapped__", media.judged)(*given)


def test_edits():
    assert [edits(a, b) for a, b in (("", "abc"), ("abc", ""), ("kitten", "sitting"))] == [3, 3, 3]
    assert edits("the old key".split(), "the key is".split()) == 2
    low, high = resampled(np.array([0, 1, 0, 3]), np.array([4, 4, 4, 4]))
    assert 0 <= low < 0.25 < high <= 0.75


@pytest.mark.parametrize(
    ("said", "kind", "right", "letters", "words"),
    [
        ("three five", "answer", True, 0, 0),
        ("Three, five.", "unsure", True, 0, 0),
        ("three nine", "answer", False, 2, 1),
        ("three five — not in the text.", "absent", False, 10, 2),
    ],
)
def test_transcripts(said, kind, right, letters, words):
    asked = Asked(question=media.senses.HEAR_ONLY[0], expected="three five")
    made = judged(asked, answer(said, kind), [])
    assert (made["right"], made["letters"], made["words"]) == (right, [letters, 10], [words, 2])
    row = media.scored("digits", [made, judged(asked, answer("three five"), [])])
    assert row["wer"] == words / 4 and row["cer"] == letters / 20
    assert row["right"] == 1 + right and len(row["cer_interval"]) == 2


def test_writing_keeps_its_case():
    asked = Asked(question=media.senses.READ_ONLY[0], expected="Harbour")
    assert judged(asked, answer("Harbour"), [])["right"]
    assert not judged(asked, answer("harbour"), [])["right"]


@pytest.mark.parametrize(
    ("at", "right"), [(900, False), (1_000, True), (4_500, True), (4_600, False), (None, False)]
)
def test_times(at, right):
    asked = Asked(question="When?", expected="x", between=(2.0, 3.5))
    places = (SimpleNamespace(milliseconds=at),) if at is not None else ()
    made = judged(asked, answer(places=places), [])
    assert made["right"] == right and media.told(made).startswith("x (2.0 to 3.5 s): ")


def test_times_are_those_of_the_scene():
    def event(kind, text, piece, end, seconds, to=None):
        places = (Place(piece, 3, end),)
        return Event(kind=kind, text=text, places=places, name="a", seconds=seconds, to=to)

    mel, pixels = np.zeros((100, 64), np.float32), np.zeros((16, 16, 3), np.uint8)
    pieces = [np.zeros(3, np.int32), *(Sound(mel=mel, seconds=float(i)) for i in range(3))]
    events = [event("said", "one", 2, 20, 1.12), *[event("said", "two", 1, 5, 0.2)] * 2]
    rng = np.random.default_rng(0)
    [case] = media._timed(Scene("recording", pieces, events), rng, "audio", {"said": "{t}?"})
    assert case.asked == [Asked(question="one?", expected="one", between=(1.12, 1.8))]
    assert len(case.pieces) == 3
    pieces = [Picture(pixels=pixels, seconds=float(i)) for i in range(60, 64)]
    events = [event("shown", "key", 1, 4, 61.0, to=Place(2, 0, 4))]
    [case] = media._timed(Scene("film", pieces, events), rng, "video", {"shown": "{t}?"})
    assert case.asked[0].between == (61.0, 63.0)


def test_words_are_held_out_and_whole(bench):
    rng = np.random.default_rng(0)
    for _, case in zip(range(8), media.written(bench, rng), strict=False):
        [asked], [piece] = case.asked, case.pieces
        assert 3 <= len(asked.expected) <= 12 and held_out.word(asked.expected.lower())
        assert piece.pixels.shape[0] * piece.pixels.shape[1] <= pictures.PATCHES_MOST * 256


def test_best_names_are_names_and_differ(bench, monkeypatch):
    trie = Trie({(5, 6): "a", (5, 7): "b", (8,): "c", (5, 6, 9): "d"}, end=1)
    logits = np.arange(10.0)

    def allowed(said, without=()):
        return np.flatnonzero(np.isfinite(trie.guide(without)(said, logits))).tolist()

    assert allowed([]) == [5, 8] and allowed([5]) == [6, 7] and allowed([5, 6]) == [1, 9]
    assert allowed([], [(8,)]) == [5] and allowed([5, 6], [(5, 6)]) == [9]
    assert allowed([5], [(5, 6), (5, 6, 9)]) == [7]
    case = next(media.written(bench, np.random.default_rng(0)))
    [reading] = media.readings(bench.model, [case])
    asked = Asked(question="What is it?", expected="key", names=True)
    monkeypatch.setattr(media, "ANSWER", pollux.Sampling(max_tokens=8))
    told, best = media.answers(bench, Respondent(bench.model, reading), asked)
    assert sorted(best) == ["cat", "key"]
    made = media.judged(asked, told, best)
    assert made["among"] and made["right"] == (best[0] == "key")
    assert media.scored("icons", [made])["among"] == 1


def test_each_is_read_by_itself(bench):
    rng = np.random.default_rng(0)
    cases = [next(media.written(bench, rng)) for _ in range(3)]
    for case, reading in zip(cases, media.readings(bench.model, cases), strict=True):
        [part] = reading.parts
        shape = case.pieces[0].pixels.shape
        assert part.end - part.text_start == shape[0] * shape[1] // 256 + 2
        assert part.kind == "image" and part.start == 0


def test_weights_without_the_sense(weights, bench):
    blind = Bench(
        model=pollux.load(weights).loaded, kit=bench.kit, given=bench.given, known=bench.known
    )
    with pytest.raises(pollux.InputError, match="have no eyes for 'when-shown'"):
        next(media.run(blind, "when-shown", 1, 0))
    with pytest.raises(pollux.InputError, match="no icons to be named"):
        next(media.run(bench, "icons-style", 1, 0))


def test_names_by_a_namer(weights, bench, monkeypatch):
    """Without eyes the names are a namer's; what the model answers is kept beside them."""
    blind = Bench(
        model=pollux.load(weights).loaded, kit=bench.kit, given=bench.given, known=bench.known
    )
    asked = Asked(question="What is it?", expected="key", names=True)
    case = Case(
        kind="image", pieces=[Picture(pixels=np.zeros((64, 64, 3), np.uint8))], asked=[asked]
    )
    monkeypatch.setitem(media.ROWS, "icons-style", lambda bench, rng: iter([case] * 2))
    monkeypatch.setattr(media.naming, "best", lambda pixels, many: ["cat", "key", "fox"])
    [(_, made), _] = media.run(blind, "icons-style", 2, 0)
    assert not made["right"] and made["among"] and made["best"][0] == "cat"
    assert media.scored("icons-style", [made])["among"] == 1


def test_command(model, bench, tmp_path, monkeypatch, capsys):
    clips = [Clip(text, "x", np.full(8_000, 9_000, np.int16)) for text in ("one", "two")]
    monkeypatch.setattr(pollux, "load", lambda path: pollux.Model(model))  # compiled already
    monkeypatch.setattr(media, "bench", lambda model, folder: bench)
    monkeypatch.setattr(media.speech, "clips", lambda name, evaluation: clips)
    out = tmp_path / "out"

    def call(*more):
        monkeypatch.setattr(sys, "argv", ["pollux", "eval", "media", "-o", str(out), *more])
        try:
            cli.main()
            return 0, capsys.readouterr()
        except SystemExit as stop:
            return stop.code or 0, capsys.readouterr()

    code, told = call("--row", "digits", "--row", "written", "--trials", "3")
    assert code == 0 and "digits" in told.out and "CER" in told.out
    made = json.loads((out / "media.json").read_text())
    assert [(row["row"], row["count"], len(row["trials"])) for row in made["rows"]] == [
        ("digits", 3, 3),
        ("written", 3, 3),
    ]
    for name in ("digits", "written"):
        with Image.open(out / f"{name}.png") as sheet:
            assert sheet.width > 50
    assert not list(out.glob("*.partial"))
    assert "no row 'x'; there are digits, prompts," in call("--row", "x")[1].err
    assert "--trials must be 1 or more" in call("--trials", "0")[1].err


def test_sheets_of_long_sound_show_what_is_asked_for():
    mel = np.zeros((100, 64), np.float32)
    pieces = [Sound(mel=mel + i, seconds=float(i)) for i in range(40)]
    case = Case(kind="audio", pieces=pieces, asked=[])
    shown = media_report._mel(case, {"between": [20.0, 21.0]})
    assert len(shown) == media_report.FRAMES and shown[0, 0] == 19 and shown[-1, 0] == 23
