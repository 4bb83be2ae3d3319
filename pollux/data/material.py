# SPDX-License-Identifier: Apache-2.0
"""What scenes are made from: words, fonts, icons, photographs and voices, all of one side.

A material is for training or for evaluation, never for both: what is in it was split where it was
loaded, by `held_out`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pollux import prompt
from pollux.data import art, speech, voices
from pollux.data.art import Art
from pollux.data.skills import Kit
from pollux.data.speech import DIGITS, Clip
from pollux.errors import RecipeError

PICTURE_ENDS, SOUND_ENDS, FILM_ENDS = "png jpg webp".split(), "opus wav mp3".split(), ["mp4", "mkv"]


@dataclass(frozen=True, eq=False)
class Material:
    """`clips` of speech by what they hold; a kind that is empty is not used."""

    kit: Kit
    art: Art
    words: tuple[Clip, ...] = ()
    sentences: tuple[Clip, ...] = ()
    facts: tuple[Clip, ...] = ()
    digits: tuple[Clip, ...] = ()
    evaluation: bool = False

    @property
    def has_speech(self) -> bool:
        return bool(self.words or self.sentences or self.facts or self.digits)

    def name(self, rng: np.random.Generator, endings: Sequence[str]) -> str:
        """Of a file."""
        return self.kit.vocabulary.file_name(rng, endings)

    def header(self, name: str) -> np.ndarray:
        return prompt.part_header(self.kit.tokenizer, name)


def material(
    kit: Kit,
    folder: Path | None = None,
    evaluation: bool = False,
    sets: tuple[str, ...] = speech.ENGLISH,
) -> Material:
    """What `pollux data prepare` made, and recordings; `kit` must be of the same side.

    Raises RecipeError where something is missing.
    """
    try:
        made = voices.spoken(evaluation)
    except RecipeError:
        if not sets:
            raise
        made = []
    recorded = [clip for name in sets for clip in speech.clips(name, evaluation)]
    return sorted_out(kit, art.art(folder, evaluation), [*made, *recorded], evaluation)


def sorted_out(kit: Kit, drawn: Art, clips: list[Clip], evaluation: bool = False) -> Material:
    """Clips by what they hold: digits, single words, sentences, and facts to be asked for."""
    found: dict[str, list[Clip]] = {"words": [], "sentences": [], "facts": [], "digits": []}
    for clip in clips:
        if clip.fact:
            found["facts"].append(clip)
        elif clip.text in DIGITS:
            found["digits"].append(clip)
        else:
            found["sentences" if " " in clip.text else "words"].append(clip)
    return Material(
        kit=kit,
        art=drawn,
        words=tuple(found["words"]),
        sentences=tuple(found["sentences"]),
        facts=tuple(found["facts"]),
        digits=tuple(found["digits"]),
        evaluation=evaluation,
    )
