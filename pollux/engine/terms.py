# SPDX-License-Identifier: Apache-2.0
"""Words of a question, in whatever form they stand in a reading, and how rare they are there.

What was learnt of a language says little of which words are rare in this text; the text says it
itself. Each word of the question counts by how few blocks have it, as in BM25 (Robertson and
Zaragoza 2009).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64, Integer, UInt64

from pollux.config import BLOCK
from pollux.memory.reading import Reading
from pollux.tokenizer import Tokenizer

WORD = re.compile(r"[^\W_\u2e80-\u9fff]+")  # Han characters are no words by themselves
FACTOR = np.uint64(1_099_511_628_211)  # of a word's hash, by letter
PIECES = 8  # that a word is looked for in
PART = 1 << 20  # tokens looked at together
OFTEN = 0.2  # share of all blocks: what more of them have says nothing
FULL = 1.5  # k1 of BM25: how soon a second mention counts for little
LENGTH = 0.75  # b of BM25: how far more is expected of a longer stretch
STOP = frozenset(
    "a about all am an and any are as at be been but by can could did do does ever for from had "
    "has have he her him his how i if in into is it its me my no nor not of off on or our shall "
    "she should so some such than that the their them then there these they this those to us was "
    "we were what when where which who whom whose why will with would you your".split()
)  # words that say nothing of what a passage is about, however rare they are in it
ENDINGS = "'s s es ed ing ly er ers d ment ments ion ions".split()
LEAST_STEM = 3  # letters


@dataclass(frozen=True, eq=False)
class Pieces:
    """Of each id of a vocabulary: its first run of letters and digits, and how it joins others.

    `begins`: a word begins in it, whatever came before; `goes_on`: its run is the piece's
    beginning, which belongs to the word before, if that is open; `is_open`: its run is its end.
    """

    hash: UInt64[np.ndarray, " V"]
    power: UInt64[np.ndarray, " V"]  # FACTOR to the power of the run's length
    begins: Bool[np.ndarray, " V"]
    goes_on: Bool[np.ndarray, " V"]
    is_open: Bool[np.ndarray, " V"]
    texts: list[str]  # in small letters

    def words(self, tokens: Integer[np.ndarray, " N"], first: Bool[np.ndarray, " V"]):
        """Where words begin whose first piece is one of `first`, and the hash of each.

        Of `tokens` the first is what stands before, the last PIECES what follows: 0 is the second.
        """
        at = 1 + np.flatnonzero(first[tokens[1:-PIECES]])
        at = at[self.begins[tokens[at]] | ~self.is_open[tokens[at - 1]]]
        found, open_ = self.hash[tokens[at]], self.is_open[tokens[at]]
        for n in range(1, PIECES):
            after = tokens[at + n]
            joins = open_ & self.goes_on[after] & ~self.begins[after]
            found = np.where(joins, found * self.power[after] + self.hash[after], found)
            open_ = joins & self.is_open[after]
        return at - 1, found


def pieces(tokenizer: Tokenizer) -> Pieces:
    size = tokenizer.vocab_size
    hashes, powers = np.zeros(size, np.uint64), np.ones(size, np.uint64)
    begins, goes_on, is_open = (np.zeros(size, bool) for _ in range(3))
    texts = [held.decode("utf-8", "replace").lower() for held in tokenizer.piece_bytes]
    for number, text in enumerate(texts):
        run = WORD.search(text)
        if run:
            hashes[number], powers[number] = hashed(run[0]), FACTOR ** np.uint64(len(run[0]))
            begins[number], goes_on[number] = run.start() > 0, run.start() == 0
            is_open[number] = run.end() == len(text)
    return Pieces(hashes, powers, begins, goes_on, is_open, texts)


def hashed(word: str) -> np.uint64:
    value = np.uint64(0)
    with np.errstate(over="ignore"):
        for letter in word:
            value = value * FACTOR + np.uint64(ord(letter))
    return value


def forms(word: str) -> set[str]:
    """A word in other endings: no grammar, but what most English words allow."""
    word = word.lower()
    stems = {word}
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= LEAST_STEM:
            stem = word.removesuffix(ending)
            stems |= {stem, stem + "e"}
            if stem[-1] == stem[-2]:  # stopping
                stems.add(stem[:-1])
            if stem.endswith("i"):  # families
                stems.add(stem[:-1] + "y")
    made = set(stems)
    for stem in stems:
        if len(stem) >= LEAST_STEM and stem.isalpha():
            made |= {stem + ending for ending in ENDINGS[1:]}
            if stem.endswith("e"):
                made |= {stem[:-1] + ending for ending in ("ing", "ion", "ions")}
            if stem.endswith("y"):
                made |= {stem[:-1] + "ies", stem[:-1] + "ied"}
    return made


@dataclass(frozen=True, eq=False)
class Terms:
    """`at[w]`: where word w stands in the reading; `rare[w]`: its weight; `blocks`: how many."""

    at: list[Int64[np.ndarray, " _"]]
    rare: Float32[np.ndarray, " W"]
    blocks: int

    def counts(self) -> Float32[np.ndarray, "W B"]:
        """How often each word is in each block."""
        made = [np.bincount(at // BLOCK, minlength=self.blocks) for at in self.at]
        return np.array(made, np.float32).reshape(len(self.at), self.blocks)

    def within(self, start: int, end: int) -> list[tuple[int, float]]:
        """Of each word that is there, its first place and its weight."""
        found = []
        for at, rare in zip(self.at, self.rare.tolist(), strict=True):
            here = at[(at >= start) & (at < end)]
            found += [(int(here[0]), rare)] if len(here) else []
        return found

    def between(self, start: int, end: int) -> Float32[np.ndarray, " W"]:
        """How often each is from `start` to before `end`."""
        edges = [np.searchsorted(at, (start, end)) for at in self.at]
        return np.array([high - low for low, high in edges], np.float32)

    def score(
        self, counts: Float32[np.ndarray, "W S"], length: float | np.ndarray = 1.0
    ) -> Float32[np.ndarray, " S"]:
        """BM25's sum for stretches of text; `length` is theirs, as a share of what is usual."""
        full = FULL * (1 - LENGTH + LENGTH * np.asarray(length, np.float32))
        return self.rare @ (counts * (1 + FULL) / (counts + full))


def terms(reading: Reading, known: Pieces, question: str) -> Terms:
    """One pass over the reading's tokens; what has none of the question's letters costs nothing.

    Of a question that is hardly of words, a Chinese one with a number in it, they hardly count.
    """
    said = WORD.findall(question.lower())
    words = [word for word in dict.fromkeys(said) if word not in STOP]
    found = _words_in(reading, known, [forms(word) for word in words])
    blocks = -(-len(reading) // BLOCK)
    having = np.array([len(np.unique(at // BLOCK)) for at in found], np.float32)
    rare = np.log(1 + (blocks - having + 0.5) / (having + 0.5)) * (having > 0)
    rare[having > OFTEN * blocks] = 0.0
    share = sum(map(len, said)) / max(1, sum(map(str.isalnum, question)))
    return Terms(found, (share * rare).astype(np.float32), blocks)


def _words_in(reading: Reading, known: Pieces, words: list[set[str]]) -> list[np.ndarray]:
    """Where each word stands, in any of its forms."""
    asked, every = [_hashes(one) for one in words], set().union(*words)
    wanted, first = _hashes(every), _may_begin(known, every)
    spots, hashes = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    for start, tokens in _parts(reading):
        at, found = known.words(tokens, first)
        kept = np.isin(found, wanted)
        spots.append(at[kept] + start)
        hashes.append(found[kept])
    place, found = np.concatenate(spots), np.concatenate(hashes)
    return [place[np.isin(found, one)] for one in asked]


def _parts(reading: Reading) -> Iterator[tuple[int, np.ndarray]]:
    """Tokens from a position on, the one before them in front, and PIECES more behind."""
    size, tokens = len(reading), reading.tokens
    for start in range(0, size, PART):
        end = min(start + PART, size)
        before, after = tokens[max(0, start - 1) : start], tokens[end : end + PIECES]
        lack = PIECES - len(after)
        yield (
            start,
            np.pad(np.concatenate([before, tokens[start:end], after]), (int(start == 0), lack)),
        )


def _hashes(words: Iterable[str]) -> UInt64[np.ndarray, " _"]:
    return np.array(sorted(map(hashed, words)), np.uint64)


def _may_begin(known: Pieces, words: Iterable[str]) -> Bool[np.ndarray, " V"]:
    """Pieces whose run is the beginning of a word, or all of it."""
    starts = {word[:size] for word in words for size in range(1, len(word) + 1)}
    return (known.begins | known.goes_on) & np.isin(known.hash, _hashes(starts))
