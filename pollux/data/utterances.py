# SPDX-License-Identifier: Apache-2.0
"""Speech by the hour: what a listener is trained on.

Recordings and voices of programs, one after another with pauses, faster and slower, through poor
microphones and telephones, in noise; with the letters of what is said and no word of when.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32

from pollux.config import MEL_BINS, MEL_OWN, SPOKEN
from pollux.data import speech, voices
from pollux.data.speech import Clip, Samples
from pollux.errors import RecipeError
from pollux.media.mel import FLOOR, HOP, RATE, TOKEN_FRAMES, log_mel

SHARES = {"kathleen": 0.36, "asterisk": 0.16, "fsdd": 0.08, "programs": 0.4}  # of the clips
PAUSE = 0.05, 0.9  # seconds between clips
PER_SECOND = 24  # letters, at most
TELEPHONE, HUM = 0.15, 0.25  # shares of the rows
HIDDEN_BINS, HIDDEN_TOKENS = 10, 8  # at most, of a stripe that is left out (Park et al. 2019)


class Utterances(NamedTuple):
    """`letters`: classes of a listener, NOTHING behind their end."""

    mel: Float32[np.ndarray, "N T 64"]
    letters: Int32[np.ndarray, "N L"]


@dataclass(frozen=True)
class Speech:
    """Clips by where they are from; `evaluation`: of what is held out, and not disturbed."""

    clips: Mapping[str, list[Clip]]
    evaluation: bool = False


def speech_of(evaluation: bool = False) -> Speech:
    """Recordings, and what `pollux data prepare` had spoken. RecipeError where one is missing."""
    names = speech.UNSEEN if evaluation else speech.ENGLISH
    found: dict[str, list[Clip]] = {
        name.split("-")[0]: speech.clips(name, evaluation) for name in names
    }
    found["programs"] = voices.spoken(evaluation)
    sayable = {name: [c for c in clips if spelled(c.text)] for name, clips in found.items()}
    if missing := [name for name, clips in sayable.items() if not clips]:
        raise RecipeError(f"nothing is said in English by {missing[0]}: pollux data prepare")
    return Speech(sayable, evaluation)


def spelled(text: str) -> bool:
    """Whether all of it can be said in a listener's letters."""
    return bool(text) and not set(text) - set(SPOKEN)


def classes(text: str) -> list[int]:
    return [1 + SPOKEN.index(letter) for letter in text]


def batch(given: Speech, rng: np.random.Generator, rows: int, tokens: int) -> Utterances:
    """Rows of that many tokens of sound, 40 ms each."""
    made = [row(given, rng, tokens) for _ in range(rows)]
    letters = np.zeros((rows, round(PER_SECOND * tokens * MEL_OWN * HOP / RATE)), np.int32)
    for number, (_, text) in enumerate(made):
        letters[number, : len(text)] = classes(text)
    return Utterances(np.stack([mel for mel, _ in made]), letters)


def row(given: Speech, rng: np.random.Generator, tokens: int) -> tuple[np.ndarray, str]:
    """Log-mel frames, and all that is said in them."""
    size, most = tokens * TOKEN_FRAMES * HOP, PER_SECOND * tokens * TOKEN_FRAMES * HOP // RATE
    samples, said = np.zeros(size, np.float32), ""
    at = pause(rng)
    while True:
        clip = any_clip(given, rng)
        sound = _plainly(clip) if given.evaluation else speech.varied(rng, clip)[0]
        text = f"{said} {clip.text}".strip()
        if at + len(sound) > size or len(text) > most:
            if said:
                break
            continue
        samples[at : at + len(sound)] = sound
        at, said = at + len(sound) + pause(rng), text
    if given.evaluation:
        return log_mel(samples), said
    return hidden(rng, log_mel(through(rng, samples))), said


def any_clip(given: Speech, rng: np.random.Generator) -> Clip:
    names = [*given.clips]
    shares = np.array([SHARES[name] for name in names])
    clips = given.clips[names[int(rng.choice(len(names), p=shares / shares.sum()))]]
    return clips[int(rng.integers(len(clips)))]


def pause(rng: np.random.Generator) -> int:
    return round(rng.uniform(*PAUSE) * RATE)


def _plainly(clip: Clip) -> Samples:
    return clip.samples.astype(np.float32) / 32768


def through(rng: np.random.Generator, samples: Samples) -> Samples:
    """A microphone that takes low or high sounds better, a telephone, noise of the place."""
    tilt = np.float32(rng.uniform(-0.6, 0.6))
    samples = samples + tilt * np.concatenate([samples[:1], samples[:-1]])
    if rng.random() < TELEPHONE:
        spectrum = np.fft.rfft(samples)
        hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
        spectrum[(hertz < 250) | (hertz > 3_600)] = 0
        samples = np.fft.irfft(spectrum, len(samples)).astype(np.float32)
    if rng.random() < HUM:
        at = np.arange(len(samples), dtype=np.float32) / RATE
        waves = sum(np.sin(2 * np.pi * n * rng.uniform(45, 400) * at) / n for n in (1, 2, 3))
        samples = samples + waves * np.float32(10 ** rng.uniform(-4, -2))
    return speech.noisy(rng, samples.astype(np.float32))


def hidden(
    rng: np.random.Generator, mel: Float32[np.ndarray, "T 64"]
) -> Float32[np.ndarray, "T 64"]:
    """Stripes of it as if nothing were heard there."""
    mel, silence = mel.copy(), np.float32(np.log(FLOOR))
    for _ in range(int(rng.integers(3))):
        wide = int(rng.integers(1, HIDDEN_BINS + 1))
        low = int(rng.integers(MEL_BINS - wide))
        mel[:, low : low + wide] = silence
    for _ in range(int(rng.integers(5))):
        long = int(rng.integers(1, HIDDEN_TOKENS * TOKEN_FRAMES + 1))
        begin = int(rng.integers(len(mel) - long))
        mel[begin : begin + long] = silence
    return mel
