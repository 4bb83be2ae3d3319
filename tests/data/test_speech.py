# SPDX-License-Identifier: Apache-2.0
"""Recordings, what is held out of them, and where in them each letter is heard."""

import json
import shutil
import tarfile
import wave

import numpy as np
import pytest

from pollux.data import held_out, speech, voices
from pollux.data.speech import RECORDINGS, Clip
from pollux.errors import RecipeError
from pollux.media.mel import RATE

HELD_OUT_SETS = ("kathleen-dev", "kerstin-de-dev", "fsdd-test")


def tone(seconds, hertz=440.0, level=8000):
    at = np.arange(round(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * hertz * at)).astype(np.int16)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A set of two prompts, one of them held out, as the tar and its list."""
    import av

    folder = tmp_path / "data" / "speech"
    folder.mkdir(parents=True)
    monkeypatch.setenv("POLLUX_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("POLLUX_CACHE", str(tmp_path / "cache"))
    keys = [key for key in map(str, range(10, 50)) if held_out.prompt(key)][:1]
    keys += [key for key in map(str, range(10, 50)) if not held_out.prompt(key)][:2]
    with tarfile.open(folder / "asterisk-en.tar", "w") as tar:
        rows = []
        for n, key in enumerate(keys):
            path = tmp_path / f"en_{key}.opus"
            with av.open(str(path), "w", format="ogg") as file:
                stream = file.add_stream("libopus", 16_000, layout="mono")
                frame = av.AudioFrame.from_ndarray(tone(0.5 + n)[None], "s16", "mono")
                frame.sample_rate = RATE
                file.mux([*stream.encode(frame), *stream.encode(None)])
            tar.add(path, path.name)
            rows.append({"id": path.stem, "text": f"Prompt {key}, please!", "prompt": key})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "asterisk-en.jsonl").write_text(lines)
    return keys


def test_prompts_are_split_by_key(data):
    trained, kept = (speech.clips("asterisk-en", evaluation) for evaluation in (False, True))
    assert [clip.text for clip in kept] == [f"prompt {data[0]} please"]
    assert [clip.text for clip in trained] == [f"prompt {key} please" for key in data[1:]]
    assert [round(clip.seconds, 1) for clip in trained] == [1.5, 2.5]
    assert trained[0].samples.dtype == np.int16


def test_decoded_once(data):
    first = speech.clips("asterisk-en")
    shutil.rmtree(speech.data_directory() / "speech")
    assert np.array_equal(speech.clips("asterisk-en")[1].samples, first[1].samples)


@pytest.mark.parametrize("name", HELD_OUT_SETS)
def test_sets_for_evaluation_are_refused(name):
    with pytest.raises(RecipeError, match="held out"):
        speech.clips(name)
    assert name not in speech.ENGLISH


def test_every_set_names_its_source_and_licence():
    for one in RECORDINGS.values():
        assert one.licence and one.source and one.file == f"speech/{one.name}.tar"


def test_missing_and_damaged_sets_are_told(data, tmp_path):
    with pytest.raises(RecipeError, match=r"kathleen-train.tar is not here.*CC0"):
        speech.clips("kathleen-train")
    (tmp_path / "data" / "speech" / "fsdd-train.tar").write_bytes(b"nothing")
    with pytest.raises(RecipeError, match="cannot read"):
        speech.clips("fsdd-train")


def test_text_is_as_it_is_heard():
    assert speech.plain("Lord, but I'm GLAD to see you—again, Phil.") == (
        "lord but i'm glad to see you again phil"
    )


def test_letters_are_where_sound_is():
    silence = np.zeros(RATE // 2, np.int16)
    clip = Clip("abcd", "test", np.concatenate([silence, tone(1.0), silence]))
    spans = speech.words_at(clip)
    assert spans.shape == (4, 2) and np.allclose(spans[[0, -1], [0, 1]], [0.5, 1.5], atol=0.04)
    assert np.allclose(np.diff(spans), 0.25, atol=0.02)
    assert abs(speech.trimmed(clip).seconds - 1) < 0.05


def test_variation_moves_the_letters_with_the_sound():
    clip = Clip("abcd", "test", np.concatenate([np.zeros(RATE, np.int16), tone(1.0)]))
    samples, spans = speech.varied(np.random.default_rng(5), clip)
    again = speech.varied(np.random.default_rng(5), clip)[0]
    assert np.array_equal(samples, again) and samples.dtype == np.float32
    assert abs(spans[-1, 1] - len(samples) / RATE) < 0.05 and np.abs(samples).max() < 1
    loud = np.flatnonzero(np.abs(samples) > 0.3 * np.abs(samples).max())[0] / RATE
    assert abs(spans[0, 0] - loud) < 0.05


def test_sound_of_any_length_is_whole_tokens():
    pieces = speech.seconds_of_sound(speech.spliced([np.ones(RATE + 100, np.float32)]))
    assert [len(piece.mel) for piece in pieces] == [100, 4]
    assert [piece.seconds for piece in pieces] == [0.0, 1.0]


def test_voices_are_kept_apart(kits, tmp_path, monkeypatch):
    """With a program that writes a tone: which voices and words it is given is what counts."""
    monkeypatch.setenv("POLLUX_CACHE", str(tmp_path))
    monkeypatch.setattr(voices, "_program", lambda voice: "espeak-ng" if "en-" in voice else None)
    monkeypatch.setattr(voices, "say", lambda voice, text, rng: tone(0.1))
    with pytest.raises(RecipeError, match="pollux data prepare"):
        voices.spoken()
    lines = [f"The {word} sat down" for word in ("river", "garden", "letter", "window")]
    for evaluation in (False, True):
        voices.prepare(kits[evaluation].vocabulary, lines, evaluation, size=(6, 4, 3))
        made = voices.spoken(evaluation)
        assert {clip.voice in held_out.VOICES for clip in made} == {evaluation}
        words = [clip.text for clip in made if " " not in clip.text]
        assert words and all(held_out.word(word) == evaluation for word in words)
        facts = [clip for clip in made if clip.fact]
        assert all(f"{clip.fact} " in clip.text and clip.value in clip.text for clip in facts)
        assert all(held_out.word(clip.value) == evaluation for clip in facts)
    assert not {*voices.VOICES} & {*held_out.VOICES}
    assert not {*voices.STATEMENTS} & {*voices.UNSEEN_STATEMENTS}


def test_no_program_is_told(kit, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RecipeError, match="apt-get install"):
        voices.prepare(kit.vocabulary, ["A sentence of words"])


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
def test_espeak_speaks(tmp_path):
    samples = voices.say(voices.VOICES[0], "needle", np.random.default_rng(0))
    assert 0.2 < len(samples) / RATE < 2 and np.abs(samples).max() > 1000
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    assert np.array_equal(speech.decoded((tmp_path / "a.wav").read_bytes()), samples)
