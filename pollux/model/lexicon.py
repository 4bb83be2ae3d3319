# SPDX-License-Identifier: Apache-2.0
"""A lexicon: words, how often they are said, and which follow which.

A bigram model with absolute discounting (Ney, Essen and Kneser 1994): a listener hears letters, and
writes down the words that are likely to be meant.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from heapq import nlargest
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Float32, Int32

from pollux.errors import SpaceError, WeightsError

FORMAT = "pollux-lexicon-1"
DISCOUNT = 0.75  # of each pair's count, given to what was not met
MOST_WORDS = 1 << 16


@dataclass(frozen=True, eq=False)
class Lexicon:
    """`words` in order of the alphabet; all else in nats.

    `alone[w]`: of a word; `after[n]`: of word `pairs[n, 1]` behind word `pairs[n, 0]`; `others[w]`:
    of all pairs that begin with w and are not listed.
    """

    words: tuple[str, ...]
    alone: Float32[np.ndarray, " V"]
    others: Float32[np.ndarray, " V"]
    pairs: Int32[np.ndarray, "N 2"]
    after: Float32[np.ndarray, " N"]

    @cached_property
    def _known(self) -> dict[tuple[int, int], float]:
        ends = zip(*self.pairs.T.tolist(), strict=True)
        return dict(zip(ends, self.after.tolist(), strict=True))

    def following(self, before: int | None, word: int) -> float:
        """Nats of a word behind another one, or behind one that is not known."""
        if before is None:
            return float(self.alone[word])
        found = self._known.get((before, word))
        return float(self.others[before] + self.alone[word]) if found is None else found


def counted(texts: Iterable[tuple[list[str], float]], words: int, pairs: int) -> Lexicon:
    """The most frequent words and pairs of texts, each with a weight."""
    single: defaultdict[str, float] = defaultdict(float)
    double: defaultdict[tuple[str, str], float] = defaultdict(float)
    for said, weight in texts:
        for word, count in Counter(said).items():
            single[word] += weight * count
        for pair, count in Counter(zip(said, said[1:], strict=False)).items():
            double[pair] += weight * count
    kept = sorted(nlargest(min(words, MOST_WORDS), single, key=single.__getitem__))
    number = {word: n for n, word in enumerate(kept)}
    counts = np.array([single[word] for word in kept])
    alone = np.log(counts / counts.sum())
    known = {pair: count for pair, count in double.items() if number.keys() >= {*pair}}
    often = sorted((pair, known[pair]) for pair in nlargest(pairs, known, key=known.__getitem__))
    ends = np.array([[number[a], number[b]] for (a, b), _ in often], np.int32).reshape(-1, 2)
    shares = np.array([max(count - DISCOUNT, 1e-3) for _, count in often]) / counts[ends[:, 0]]
    listed = np.bincount(ends[:, 0], shares, len(kept))
    others = np.log(np.maximum(1 - listed, 1e-3))
    after = np.logaddexp(np.log(shares), others[ends[:, 0]] + alone[ends[:, 1]])
    return Lexicon(tuple(kept), *(x.astype(np.float32) for x in (alone, others)), ends, _f32(after))


def save(path: Path, lexicon: Lexicon, about: dict[str, str]) -> None:
    """Beside `path`, then renamed. SpaceError where it cannot be written."""
    arrays = {
        "words": np.frombuffer("\n".join(lexicon.words).encode(), np.uint8),
        "alone": lexicon.alone.astype(np.float16),
        "others": lexicon.others.astype(np.float16),
        "pairs": lexicon.pairs.astype(np.uint16),
        "after": lexicon.after.astype(np.float16),
    }
    beside = path.with_name(path.name + ".partial")
    try:
        safetensors.numpy.save_file(arrays, beside, {**about, "format": FORMAT})
        os.replace(beside, path)
    except (OSError, safetensors.SafetensorError) as error:
        with suppress(OSError):
            beside.unlink()
        raise SpaceError(f"cannot write {path} ({error}); free space or name another") from None


def load(path: Path) -> Lexicon:
    """WeightsError where it is missing or damaged."""
    try:
        with safetensors.safe_open(path, "numpy") as file:
            if (found := (file.metadata() or {}).get("format")) != FORMAT:
                raise WeightsError(f"{path} holds no lexicon (format {found!r})")
            arrays = {name: file.get_tensor(name) for name in file.keys()}
        words = tuple(arrays["words"].tobytes().decode().split("\n"))
        alone, others, after = (_f32(arrays[name]) for name in ("alone", "others", "after"))
        pairs = arrays["pairs"].astype(np.int32)
    except (OSError, KeyError, ValueError, safetensors.SafetensorError) as error:
        raise WeightsError(f"cannot read {path} ({error}); install it again") from None
    fits = len(alone) == len(others) == len(words) and pairs.shape == (len(after), 2)
    if not fits or (len(pairs) and pairs.max() >= len(words)) or list(words) != sorted(words):
        raise WeightsError(f"{path} is damaged: its words and pairs do not fit; install it again")
    return Lexicon(words, alone, others, pairs, after)


def _f32(x: np.ndarray) -> Float32[np.ndarray, " N"]:
    return x.astype(np.float32)
