# SPDX-License-Identifier: Apache-2.0
"""Three ways to find a passage: Pollux's recall, BM25, MiniLM embeddings."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import jax
import numpy as np

import pollux
from pollux.config import BLOCK
from pollux.engine.answer import question_tokens
from pollux.engine.survey import RARE, survey
from pollux.errors import InputError
from pollux.evals import minilm
from pollux.media.part import Part
from pollux.memory.reading import Reading
from pollux.tokenizer import Tokenizer

SYSTEMS = "pollux", "bm25", "minilm"
SHOWN = 5  # passages
LIKELY = 100  # passages whose exact score is computed
# Of every size that MiniLM's batches have, so that nothing is compiled while the clock runs.
WARM_UP = "Nobody knew that the rain would go on until Sunday. ", (2, 4, 7, 10, 14, 20)


class Index(Protocol):
    """What a system makes of the passages."""

    @property
    def nbytes(self) -> int: ...

    def best(self, question: str) -> list[int]: ...


class PolluxIndex:
    """A reading of all passages as one text, a blank line between."""

    def __init__(self, model: pollux.Model, passages: Sequence[str]):
        text = "\n\n".join(passages)
        self.reading = model.read(Part(name="passages.txt", kind="text", text=text))
        self.passage = passage_numbers(self.reading, model.loaded.tokenizer, passages)
        self.respondent = model.respondent(self.reading)
        inside = np.flatnonzero(self.passage >= 0)
        first = np.flatnonzero(np.diff(self.passage[inside], prepend=-1))
        self.first = inside[first]
        self.end = np.append(inside[first[1:] - 1], inside[-1]) + 1

    @property
    def nbytes(self) -> int:
        return self.reading.nbytes

    def best(self, question: str) -> list[int]:
        """The passages by how well the question's tokens match in them; exactly, of the best."""
        made, model = self.respondent, self.respondent.model
        found = survey(model, self.reading, made.stretches, question_tokens(model, question))
        words = found.terms.at
        block = np.stack([self.first // BLOCK, (self.end - 1) // BLOCK + 1], 1).ravel()
        padded = np.pad(found.best, ((0, 0), (0, 2)), constant_values=-1.0)
        roughly = found.weight @ np.maximum.reduceat(padded, block, 1)[:, ::2]
        length = self.end - self.first
        usual = float(length.mean())
        counts = [np.searchsorted(at, self.end) - np.searchsorted(at, self.first) for at in words]
        counts = np.array(counts, np.float32).reshape(-1, len(length))
        said = found.terms.score(counts, length / usual)
        nats = roughly * model.survey_scale + RARE * said
        likely = np.argsort(-nats, kind="stable")[:LIKELY].tolist()
        exact = {i: found.stretch(int(self.first[i]), int(self.end[i]), usual) for i in likely}
        return sorted(exact, key=lambda i: -exact[i])[:SHOWN]

    def answers_with_passages(self, question: str) -> bool:
        """Whether that is how the model answers: the question is none of its skills'."""
        return self.respondent.ask(question, pollux.Sampling(max_tokens=1)).kind == "other"


def passage_numbers(reading: Reading, tokenizer: Tokenizer, passages: Sequence[str]) -> np.ndarray:
    """The passage that each position of the reading is in; -1 between them, in header, padding."""
    part = reading.parts[0]
    newline = reading.tokens[part.text_start : part.end] == tokenizer.newline
    line = np.cumsum(newline) - newline  # that a token is in; newlines belong to the line they end
    lines = [len(text.split("\n")) for text in passages]
    owner = np.concatenate([[i] * n + [-1] for i, n in enumerate(lines)])  # a blank line after each
    numbers = np.full(len(reading), -1)
    numbers[part.text_start : part.end] = owner[line]
    return numbers


class Bm25Index:
    """BM25 as bm25s has it by default (Lucene's form, k1 1.5, b 0.75) over stems and Han pairs."""

    def __init__(self, passages: Sequence[str]):
        import bm25s
        import Stemmer
        from bm25s.stopwords import STOPWORDS_EN

        self.stop, self.stemmer = frozenset(STOPWORDS_EN), Stemmer.Stemmer("english")
        self.index = bm25s.BM25()
        self.index.index([self.tokens(text) for text in passages], show_progress=False)

    def tokens(self, text: str) -> list[str]:
        """Lower-case words without stop words, stemmed; Han characters alone and in pairs."""
        text = text.lower()
        words = [w for w in re.findall(r"[^\W_\u4e00-\u9fff]+", text) if w not in self.stop]
        runs = re.findall(r"[\u4e00-\u9fff]+", text)
        pairs = [run[i : i + 2] for run in runs for i in range(len(run) - 1)]
        return [*self.stemmer.stemWords(words), *"".join(runs), *pairs]

    @property
    def nbytes(self) -> int:
        """Of the scores and of the vocabulary's letters."""
        arrays = [a for a in self.index.scores.values() if isinstance(a, np.ndarray)]
        return sum(a.nbytes for a in arrays) + sum(map(len, map(str, self.index.vocab_dict)))

    def best(self, question: str) -> list[int]:
        if not (asked := self.tokens(question)):  # which bm25s does not take
            return []
        scores = self.index.get_scores(asked)
        return [int(i) for i in np.argsort(-scores, kind="stable")[:SHOWN] if scores[i] > 0]


class MiniLmIndex:
    """Embeddings; a passage in several stretches counts by the best of them."""

    def __init__(self, model: minilm.MiniLM, passages: Sequence[str]):
        self.model, self.count = model, len(passages)
        self.vectors, self.owner = model.embed(passages)

    @property
    def nbytes(self) -> int:
        return self.vectors.nbytes + self.owner.nbytes

    def best(self, question: str) -> list[int]:
        cosine = self.vectors @ self.model.embed([question])[0][0]
        best = np.full(self.count, -np.inf)
        np.maximum.at(best, self.owner, cosine)
        return np.argsort(-best, kind="stable")[:SHOWN].tolist()


def builder(
    system: str, weights: Path | None, wheel: Path | None
) -> tuple[Callable[[Sequence[str]], Index], int]:
    """What makes a system's index from passages, warm, and the bytes of its weights."""
    match system:
        case "pollux":
            model = pollux.load(weights)
            leaves = jax.tree.leaves(model.loaded.weights)
            build, size = partial(PolluxIndex, model), sum(leaf.nbytes for leaf in leaves)
        case "minilm":
            encoder = minilm.load(wheel)
            build, size = partial(MiniLmIndex, encoder), encoder.nbytes
        case _:
            build, size = Bm25Index, 0
    sentence, repeats = WARM_UP
    index = build([sentence * n for n in repeats for _ in range(2)])
    for question in (sentence, sentence * 4):
        index.best(question)
    return build, size


def missing(system: str, wheel: Path | None) -> str | None:
    """Why a system cannot be measured here, if so."""
    if system == "bm25":
        try:
            import bm25s  # noqa: F401
            import Stemmer  # noqa: F401
        except ImportError as error:
            return f"bm25 is left out: there is no {error.name}; pip install bm25s PyStemmer"
    if system == "minilm":
        try:
            minilm.find(wheel)
        except InputError as error:
            return f"minilm is left out: {error}"
    return None
