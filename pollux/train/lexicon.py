# SPDX-License-Identifier: Apache-2.0
"""The words of a listener's lexicon, counted in public texts and in what recordings say."""

import re
from collections.abc import Iterator
from pathlib import Path

from pollux.data import corpora, speech
from pollux.data.corpora import CORPORA, QUESTIONS
from pollux.model import lexicon
from pollux.model.lexicon import Lexicon
from pollux.tokenizer import Tokenizer

WORDS, PAIRS = 30_000, 110_000
SHARES = {"books": 1.0, "documentation": 1.0, "transcripts": 2.0}  # how often a text counts
ASKED, SAID = 4.0, 100.0  # the same of questions, and of recordings for training
PART = 4_000_000  # tokens counted at once
LEAST = 2  # letters of a word that may be rare
SHORT = frozenset("a i o".split())


def count(tokenizer: Tokenizer) -> Lexicon:
    """RecipeError where texts or recordings are missing."""
    return lexicon.counted(texts(tokenizer), WORDS, PAIRS)


def texts(tokenizer: Tokenizer) -> Iterator[tuple[list[str], float]]:
    kinds = [(CORPORA[name], share) for name, share in SHARES.items()]
    for corpus, share in (*kinds, (QUESTIONS, ASKED)):
        tokens = corpora.tokens(corpus, tokenizer)
        for start in range(0, len(tokens), PART):
            yield words(tokenizer.decode(tokens[start : start + PART])), share
    for name in speech.ENGLISH:
        for clip in speech.clips(name):
            yield words(clip.text), SAID


def words(text: str) -> list[str]:
    """In small letters, apostrophes within them kept; single letters that are no words are not."""
    found = re.findall(r"[a-z]+(?:'[a-z]+)*", text.lower().replace("’", "'"))
    return [word for word in found if len(word) >= LEAST or word in SHORT]


def made(tokenizer: Tokenizer, path: Path) -> Lexicon:
    """Counted and written to `path`."""
    counted = count(tokenizer)
    lexicon.save(
        path, counted, {"words": str(len(counted.words)), "pairs": str(len(counted.pairs))}
    )
    return counted
