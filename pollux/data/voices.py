# SPDX-License-Identifier: Apache-2.0
"""Words and sentences spoken by programs, for volume and for words that nobody recorded.

espeak-ng and flite are run if they are installed (Debian: `apt-get install espeak-ng flite`); what
they said is kept in the cache by `pollux data prepare`, so training needs neither. Speech for
evaluation is made of other voices and other words.
"""

import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pollux.cache import cache_directory
from pollux.data import held_out
from pollux.data.facts import ADJECTIVES, NOUNS, Vocabulary
from pollux.data.speech import Clip, decoded, keep, plain, stored
from pollux.errors import RecipeError

PATIENCE = 30  # seconds for a sentence
_ESPEAK = (
    "en-us+m1 en-us+m3 en-us+m7 en-us+f1 en-us+f2 en-us+f3 en-us+f4 en-gb+m2 en-gb+f2 en-gb+Andy "
    "en-us+Annie en-gb-scotland+m4 en-us+klatt3 en-us+Michael en-us+Alicia en-us+Gene"
).split()
_FLITE = "kal16 rms slt".split()
VOICES = (*(f"espeak-ng:{voice}" for voice in _ESPEAK), *(f"flite:{voice}" for voice in _FLITE))
WORDS, SENTENCES, FACTS = 400, 400, 120  # of each voice
STATEMENTS = (
    "the {f} is {v}",
    "remember that the {f} is {v}",
    "and the {f} is {v}",
    "please note the {f} is {v}",
    "the {f} today is {v}",
)
UNSEEN_STATEMENTS = ("you will need the {f} which is {v}", "listen the {f} will be {v}")


def voices_path(evaluation: bool = False) -> Path:
    return cache_directory() / "voices" / ("evaluation.npy" if evaluation else "training.npy")


def spoken(evaluation: bool = False) -> list[Clip]:
    """What `prepare` kept. RecipeError where there is nothing."""
    path = voices_path(evaluation)
    if not path.is_file():
        raise RecipeError("no voices were prepared: pollux data prepare")
    samples, rows = stored(path)
    return [
        Clip(row["text"], row["voice"], samples[row["from"] : row["to"]], row["fact"], row["value"])
        for row in rows
    ]


def prepare(
    vocabulary: Vocabulary,
    sentences: Sequence[str],
    evaluation: bool = False,
    report: Callable[[str], None] = lambda line: None,
    size: tuple[int, int, int] = (WORDS, SENTENCES, FACTS),
) -> Path:
    """Has words, sentences and facts spoken by every voice; returns what they were written to.

    `sentences` are taken as far as `held_out.word` allows. RecipeError without a program.
    """
    chosen = [v for v in (held_out.VOICES if evaluation else VOICES) if _program(v)]
    if not chosen:
        raise RecipeError("neither espeak-ng nor flite is installed: apt-get install espeak-ng")
    report(f"{len(chosen)} voices: {', '.join(chosen)}")
    path = voices_path(evaluation)
    keep(path, _all_said(vocabulary, sentences, evaluation, chosen, size))
    return path


def _all_said(
    vocabulary: Vocabulary,
    sentences: Sequence[str],
    evaluation: bool,
    voices: Sequence[str],
    size: tuple[int, int, int],
) -> Iterator[tuple[dict, np.ndarray]]:
    own = [text for text in map(plain, sentences) if text]
    for voice in voices:
        rng = np.random.default_rng(zlib.crc32(voice.encode()))
        lines: list[tuple[str, str, str]] = []
        for _ in range(size[0]):
            lines.append((vocabulary.pick(rng, vocabulary.lower), "", ""))
        for _ in range(min(size[1], len(own))):
            lines.append((vocabulary.pick(rng, own), "", ""))
        for _ in range(size[2]):
            lines.append(stated(vocabulary, rng, evaluation))
        for text, fact, value in lines:
            samples = say(voice, text, rng)
            if len(samples):
                yield {"text": text, "voice": voice, "fact": fact, "value": value}, samples


def stated(
    vocabulary: Vocabulary, rng: np.random.Generator, evaluation: bool
) -> tuple[str, str, str]:
    """A statement, what it states and its value: the secret keyword is garden."""
    adjective = vocabulary.pick(rng, ADJECTIVES)
    noun = vocabulary.pick(rng, ("keyword", "word", *NOUNS))
    fact, value = f"{adjective} {noun}", vocabulary.pick(rng, vocabulary.lower)
    wording = vocabulary.pick(rng, UNSEEN_STATEMENTS if evaluation else STATEMENTS)
    return wording.format(f=fact, v=value), f"the {fact}", value


def _program(voice: str) -> str | None:
    return shutil.which(voice.split(":")[0])


def say(voice: str, text: str, rng: np.random.Generator) -> np.ndarray:
    """16 kHz, int16, at a speed and pitch of its own. RecipeError if the program fails."""
    program, name = voice.split(":")
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        if program == "espeak-ng":
            speed, pitch = int(rng.integers(120, 190)), int(rng.integers(30, 70))
            manner = ["-v", name, "-s", str(speed), "-p", str(pitch), "-w", file.name]
        else:
            manner = ["-voice", name, "-o", file.name, "-t"]
        command = [_program(voice) or program, *manner, text]
        try:
            done = subprocess.run(command, capture_output=True, timeout=PATIENCE)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RecipeError(f"{program} did not speak ({error})") from None
        if done.returncode:
            raise RecipeError(f"{voice} cannot be spoken by this {program}: update it")
        return decoded(Path(file.name).read_bytes())
