# SPDX-License-Identifier: Apache-2.0
"""Kalamang, a language of West Papua with some 130 speakers, as it is given to a model to learn.

After "machine translation from one book" (Tanzer et al. 2023, arXiv 2309.16575): a grammar, a word
list and sentences with their translation in the context, other sentences to translate. Files are
those of POLLUX_DATA, for evaluation only. The sentences to translate occur in nothing that is
given.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from pollux.evals import haystack
from pollux.media.part import Part

NAME = "Kalamang"
FILES = {
    kind: f"text/kalamang-{kind}-eval.jsonl.xz"
    for kind in ("dictionary", "sentences", "grammar", "stories")
}
SOURCE = "dictionaria/kalamang, langsci/344, Multi-CAST"
CONTEXTS = ("none", "words", "all")
SENTENCES = 375  # with their translation among the context "all", as for Gemini 1.5
WORDS = (3, 12)  # of a sentence to translate
LONGEST = 3  # words of a meaning that gets a line


@dataclass(frozen=True, kw_only=True)
class Pair:
    kalamang: str
    english: str


@dataclass(frozen=True, kw_only=True)
class Materials:
    """`words`: from Kalamang and from English; the first meaning, the first word."""

    to_english: dict[str, str]
    to_kalamang: dict[str, str]
    examples: tuple[Pair, ...]
    tests: tuple[Pair, ...]
    grammar: str


def plain(text: str) -> str:
    """Words in lower case with single spaces, as the word list has them."""
    return " ".join(re.findall(r"[\w'’=-]+", text.lower()))


def meanings(sense: str) -> list[str]:
    """Short ones of an English sense: "to give (food); to feed" means "give" and "feed"."""
    found = []
    for piece in re.split(r"[;,]", re.sub(r"\([^)]*\)|\[[^\]]*\]", "", sense)):
        words = plain(re.sub(r"^\s*(to be|to|a|an|the) ", "", piece.strip() + " "))
        if words and len(words.split()) <= LONGEST:
            found.append(words)
    return found


def forms(word: str) -> list[str]:
    """Regular inflected forms of an English word, right or not: a list of words has all of them."""
    if " " in word or not word.isalpha():
        return []
    if word.endswith("e"):
        return [word + "s", word + "d", word[:-1] + "ing"]
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return [word[:-1] + "ies", word[:-1] + "ied", word + "ing"]
    ending = "es" if word.endswith(("s", "sh", "ch", "x", "z")) else "s"
    return [word + ending, word + "ed", word + "ing"]


def word_lists(rows: Sequence[dict]) -> tuple[dict[str, str], dict[str, str]]:
    """Kalamang to English and back, from rows of the dictionary; the first entry counts."""
    to_english: dict[str, str] = {}
    to_kalamang: dict[str, str] = {}
    inflected: dict[str, str] = {}
    for row in rows:
        heads = [plain(row["headword"]), *map(plain, row["variants"].split(";"))]
        found = [m for sense in row["senses"] for m in meanings(sense.get("en", ""))]
        if not heads[0] or not found:
            continue
        for head in filter(None, heads):
            to_english.setdefault(head, found[0])
        for meaning in found:
            to_kalamang.setdefault(meaning, heads[0])
            for form in forms(meaning):
                inflected.setdefault(form, heads[0])
    return to_english, {**inflected, **to_kalamang}


def load(tests: int, examples: int, seed: int) -> Materials:
    """Draws sentences; those to translate are nowhere else in the materials. InputError."""
    found = {
        kind: haystack.rows(file, SOURCE, "--language kalamang") for kind, file in FILES.items()
    }
    to_english, to_kalamang = word_lists(found["dictionary"])
    grammar = "\n\n".join(row["text"] for row in found["grammar"])
    elsewhere = plain(grammar) + " | " + " | ".join(plain(row["kgv"]) for row in found["stories"])
    rows = found["sentences"]
    rng = np.random.default_rng([seed, *map(ord, NAME)])
    drawn = [rows[i] for i in rng.permutation(len(rows))]
    pairs = [Pair(kalamang=row["kgv"], english=row["eng"]) for row in drawn]
    fit = (pair for pair in pairs if _fit(pair) and plain(pair.kalamang) not in elsewhere)
    chosen = list(islice(fit, tests))
    kept = {plain(text) for pair in chosen for text in (pair.kalamang, pair.english)}
    others = [pair for pair in pairs if not any(text in _said(pair) for text in kept)]
    return Materials(
        to_english=to_english,
        to_kalamang=to_kalamang,
        examples=tuple(others[:examples]),
        tests=tuple(chosen),
        grammar=grammar,
    )


def _said(pair: Pair) -> str:
    return f"{plain(pair.kalamang)} | {plain(pair.english)}"


def _fit(pair: Pair) -> bool:
    low, high = WORDS
    lengths = [len(plain(text).split()) for text in (pair.kalamang, pair.english)]
    return all(low <= n <= high for n in lengths) and not re.search(r"[\[\]()]", pair.english)


def parts(materials: Materials, context: str) -> list[Part]:
    """What is given: nothing but the language's name, the word lists, or all there is."""
    if context == "none":
        return [Part(name="kalamang.txt", kind="text", text=f"# {NAME}\n")]
    lines = [f"- {word} = {meaning}" for word, meaning in materials.to_english.items()]
    back = [f"- {word} = {meaning}" for word, meaning in materials.to_kalamang.items()]
    lists = "\n".join([f"# {NAME}", "", "## Meanings", *lines, "## Words", *back, ""])
    given = [Part(name="kalamang-words.txt", kind="text", text=lists)]
    if context == "all":
        sentences = "".join(
            f"{NAME}: {one.kalamang}\nEnglish: {one.english}\n" for one in materials.examples
        )
        given.append(Part(name="kalamang-sentences.txt", kind="text", text=sentences))
        given.append(Part(name="kalamang-grammar.txt", kind="text", text=materials.grammar))
    return given


def looked_up(words: dict[str, str], text: str) -> str:
    """What a program gives that puts the list's word for each; the most spark could reach."""
    return " ".join(words.get(word, word) for word in plain(text).split())
