# SPDX-License-Identifier: Apache-2.0
"""Speech for a listener: all that is said has its letters; what is held out is not disturbed."""

import numpy as np
import pytest

from pollux.config import MEL_BINS, MEL_OWN, SPOKEN
from pollux.data import speech, utterances, voices
from pollux.data.speech import Clip
from pollux.data.utterances import Speech
from pollux.errors import RecipeError
from pollux.media.mel import RATE

TOKENS = 100
TEXTS = {"kathleen": "good morning", "asterisk": "press one", "fsdd": "seven", "programs": "a word"}


def tone(text, seconds=0.7):
    at = np.arange(round(seconds * RATE)) / RATE
    samples = 8_000 * np.sin(2 * np.pi * (200 + 10 * len(text)) * at)
    return Clip(text, "nobody", samples.astype(np.int16))


@pytest.fixture(scope="module")
def given():
    return Speech({name: [tone(text)] for name, text in TEXTS.items()})


def said(letters):
    return "".join(SPOKEN[kind - 1] for kind in letters if kind)


def test_rows_have_whole_clips_and_their_letters(given):
    made = utterances.batch(given, np.random.default_rng(0), 6, TOKENS)
    assert made.mel.shape == (6, TOKENS * MEL_OWN, MEL_BINS) and made.mel.dtype == np.float32
    for letters in made.letters:
        words = said(letters)
        for text in TEXTS.values():
            words = words.replace(text, "")
        assert said(letters) and not words.strip()


def test_the_same_seed_is_the_same_speech(given):
    one, same, other = (
        utterances.batch(given, np.random.default_rng(seed), 2, TOKENS) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one.mel, same.mel)
    assert not np.array_equal(one.mel, other.mel)


def test_evaluation_is_not_disturbed(given):
    plain = Speech(given.clips, evaluation=True)
    made = utterances.batch(plain, np.random.default_rng(1), 4, TOKENS)
    quiet = made.mel.min()
    for mel, letters in zip(made.mel, made.letters, strict=True):
        sounding = (mel.max(1) > quiet + 3).sum() / 100
        clips = said(letters).count(" ") + 1
        assert sounding == pytest.approx(0.7 * len(_clips(said(letters))), rel=0.1), clips


def _clips(text):
    found = []
    while text:
        clip = next(one for one in TEXTS.values() if text.startswith(one))
        found.append(clip)
        text = text.removeprefix(clip).strip()
    return found


def test_what_has_no_letters_is_left_out(monkeypatch):
    assert utterances.spelled("don't stop") and not utterances.spelled("call 500")
    assert not utterances.spelled("") and not utterances.spelled("naïve")
    clips = {name: [tone(text)] for name, text in TEXTS.items()}
    clips["asterisk"] = [tone("dial 500")]
    monkeypatch.setattr(speech, "clips", lambda name, evaluation=False: clips[name.split("-")[0]])
    monkeypatch.setattr(voices, "spoken", lambda evaluation=False: clips["programs"])
    with pytest.raises(RecipeError, match="by asterisk: pollux data prepare"):
        utterances.speech_of()
    clips["asterisk"].append(tone("press one"))
    assert [c.text for c in utterances.speech_of().clips["asterisk"]] == ["press one"]


def test_digits_are_words():
    assert speech.plain("Press 1, or 12!") == "press one or 12"
