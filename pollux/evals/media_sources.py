# SPDX-License-Identifier: Apache-2.0
"""Held-out speech and film for haystacks, and needles for them.

Needles are said by held-out voices or written in held-out fonts. Needs what `pollux data prepare`
laid out, and recordings (POLLUX_DATA).
"""

import shutil
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from PIL import Image

from pollux.data import art, films, held_out, pictures, speech, voices
from pollux.data.facts import Vocabulary, words
from pollux.data.material import Material
from pollux.data.skills import Kit
from pollux.data.speech import Clip, Samples
from pollux.errors import InputError
from pollux.evals.media_haystack import Scene, Shown, Source
from pollux.examples import war_and_peace
from pollux.media import stream
from pollux.media.mel import RATE, SECOND, log_mel
from pollux.media.part import Kind, Part
from pollux.media.piece import Picture, Sound
from pollux.tokenizer import Tokenizer

RECORDINGS = ("kathleen-dev", "kerstin-de-dev", "fsdd-test") + tuple(
    f"asterisk-{language}" for language in ("en", "es", "fr", "it", "ru")
)
SIZE = 160, 96  # pixels of a frame: 60 patches, as 16:9 is looked at by default
SPOTTED_SIZE = 320, 192  # of one that is only looked at for writing: less than by default
SCENES, SCENE = 40, 30  # of film that is drawn, and seconds of each
FACT = {"audio": "the secret keyword", "video": "the secret word"}
NEEDLE = {"audio": 'The secret keyword is "{word}"', "video": 'The secret word is "{word}"'}
LETTERS = range(3, 13)  # of a random word
LEVELS = -12.0, -3.0  # of the loudest sample, in dB
FONTS = 20  # tried, until one has room for the needle

Say = Callable[[str, str, np.random.Generator], np.ndarray]


def vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    """Words of War and Peace that training never says, shows or writes."""
    return Vocabulary(tokenizer, words(war_and_peace().text), [], evaluation=True)


def to_say(known: Vocabulary) -> list[str]:
    """Those of 3 to 12 plain letters."""
    return [w for w in known.lower if w.isascii() and w.isalpha() and len(w) in LETTERS]


def material(tokenizer: Tokenizer) -> Material:
    """What is held out to draw with."""
    kit = Kit(tokenizer, {}, vocabulary(tokenizer), [])
    return Material(kit=kit, art=art.art(evaluation=True), evaluation=True)


def speech_source(names: Sequence[str] = RECORDINGS) -> Source:
    """Recordings of people. RecipeError where they are missing."""
    clips = [clip for name in names for clip in speech.clips(name, evaluation=True)]
    return Source(kind="audio", names=tuple(names), scenes=tuple(map(scene_of_clip, clips)))


def scene_of_clip(clip: Clip) -> Scene:
    """Silence around it makes whole seconds of it, at least a quarter of one behind."""
    rng = np.random.default_rng(len(clip.samples))
    seconds = mel_seconds(spaced(rng, clip, 0.1))
    return Scene(seconds=seconds, free=(True, *[False] * (len(seconds) - 1)))


def spaced(rng: np.random.Generator, clip: Clip, lead: float) -> Samples:
    """A clip at a level of its own, with so many seconds of silence before it."""
    raw = speech.trimmed(clip).samples.astype(np.float32) / 32768
    loudest = max(1e-3, float(np.abs(raw).max()))
    level = np.float32(10 ** (rng.uniform(*LEVELS) / 20) / loudest)
    return np.concatenate([speech.silence(lead), raw * level, speech.silence(0.25)])


def mel_seconds(samples: Samples, least: int = 0) -> tuple[Shown, ...]:
    """Log-mel of whole seconds, silence filling up the last, or as many as `least`."""
    size = max(least, -(-len(samples) // RATE)) * RATE
    mel = log_mel(np.pad(samples, (0, size - len(samples))))
    return tuple(mel[at : at + SECOND] for at in range(0, len(mel), SECOND))


def film_source(
    given: Material,
    scenes: int = SCENES,
    seconds: int = SCENE,
    size: tuple[int, int] = SIZE,
) -> Source:
    """Drawn films without sound, none of which states what needles do."""
    found: list[Scene] = []
    said: set[str] = set()
    number = 0
    while len(found) < scenes:
        rng, number = np.random.default_rng([7, number]), number + 1
        frames, marks = films.drawn_frames(given, rng, seconds, *size)
        facts = {mark.fact for _, _, mark in marks if mark.fact}
        if FACT["video"] in facts:
            continue
        said |= facts
        written = {second for _, second, mark in marks if mark.kind == "written"}
        free = tuple(second not in written for second in range(seconds))
        found.append(Scene(seconds=tuple(frames), free=free))
    return Source(kind="video", names=("drawn films",), scenes=tuple(found), said=frozenset(said))


def source_of_parts(kind: Kind, parts: Iterable[Part]) -> Source:
    """Recordings or films of one's own. InputError for other parts, or less than a second."""
    names: list[str] = []
    seconds: list[Shown] = []
    for part in parts:
        if part.kind not in ("audio", "video"):
            raise InputError(f"{part.name} is {part.kind}: name a recording or a film")
        names.append(part.name)
        for piece in stream.pieces(part):
            if kind == "audio" and isinstance(piece, Sound) and len(piece.mel) == SECOND:
                seconds.append(piece.mel)
            elif kind == "video" and isinstance(piece, Picture):
                seconds.append(piece.pixels)
    if not seconds:
        raise InputError(f"there is no second of {kind} in the haystack; name other files")
    scene = Scene(seconds=tuple(seconds), free=(True,) * len(seconds))
    return Source(kind=kind, names=tuple(names), scenes=(scene,))


def speakers() -> list[str]:
    """The held-out voices whose program is installed; InputError when there is none."""
    found = [voice for voice in held_out.VOICES if shutil.which(voice.partition(":")[0])]
    if not found:
        raise InputError("needles are spoken by espeak-ng and flite: apt-get install espeak-ng")
    return found


def spoken(
    rng: np.random.Generator, word: str, voice: str, say: Say = voices.say
) -> tuple[Samples, float, float]:
    """The needle said: samples, and when it begins and ends, in seconds."""
    text = NEEDLE["audio"].format(word=word)
    clip = Clip(speech.plain(text), voice, say(voice, speech.plain(text), rng))
    lead = float(rng.uniform(0.1, 0.6))
    samples = spaced(rng, clip, lead)
    return samples, lead, len(samples) / RATE - 0.25


def overlaid(
    given: Material, rng: np.random.Generator, frame: Shown, word: str
) -> tuple[Shown, str]:
    """The frame with the needle written on it, and the font's family. InputError without room."""
    size = frame.shape[1] * pictures.SCALE, frame.shape[0] * pictures.SCALE
    canvas = Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)
    text = NEEDLE["video"].format(word=word)
    for _ in range(FONTS):
        font = pictures.any_font(given.art, rng)
        caption = films.Caption(text, 0, 1, float(rng.uniform(0.3, 0.7)), 0)
        if films.overlaid(given, canvas, rng, font, caption):
            return pictures.finished(canvas, rng, worn=0.2), font.family
    raise InputError("no font has room for the needle on a frame; take a film with larger ones")
