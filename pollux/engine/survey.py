# SPDX-License-Identifier: Apache-2.0
"""The passages that a question is about, when it is none that the model answers.

Every token of the question finds its best match in every block of the reading; a window of two
blocks scores their sum (model/survey.py), and that of the question's words in it, each by how rare
it is in the reading (engine/terms.py). What is shown is where in the best windows the matches are.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from pollux.config import BLOCK
from pollux.engine.model import Loaded
from pollux.engine.scan import Stretch
from pollux.engine.source import Source
from pollux.engine.terms import Terms, terms
from pollux.memory.place import context, place_of
from pollux.memory.reading import Reading
from pollux.model.survey import windows

AT_ONCE = 16  # tokens of the question that one pass over the keys takes
WINDOW = 2 * BLOCK
MARGIN = 40  # tokens around the matches that are shown
RARE = 3.0  # nats that a nat of a rare word counts, beside those of the matches


@dataclass(frozen=True, eq=False)
class Survey:
    """How well M tokens of a question match. A match is a cosine, -1 where there is nothing."""

    model: Loaded
    reading: Reading
    query: np.ndarray  # [M, key_dim]; its product with a key is the match
    weight: np.ndarray  # [M]
    best: np.ndarray  # [M, B], the best match in each block
    starts: np.ndarray  # int64 [B]: position of each block, ascending
    terms: Terms

    def windows(self) -> np.ndarray:
        """Nats [B] of the windows that begin with each block."""
        begins = np.isin(self.starts, [part.start for part in self.reading.parts])
        matches = self.weight @ np.asarray(windows(self.best, begins))
        counts = self.terms.counts()[:, self.starts // BLOCK]
        after = np.where(begins[1:], 0, counts[:, 1:])
        counts = counts + np.pad(after, ((0, 0), (0, 1)))
        return matches * self.model.survey_scale + RARE * self.terms.score(counts)

    def stretch(self, start: int, end: int, usual: float) -> float:
        """Nats of the text from `start` to before `end`; `usual`: tokens of others beside it."""
        matches = self.matches(start, end).max(1).sum() * self.model.survey_scale
        counts = self.terms.between(start, end)[:, None]
        return float(matches + RARE * self.terms.score(counts, (end - start) / usual)[0])

    def matches(self, start: int, end: int) -> np.ndarray:
        """Weighted matches [M, end - start] of every position from `start` to before `end`."""
        rows = self.reading.take(np.arange(start, end))
        keys = rows.keys.astype(np.float32) * rows.key_scales.astype(np.float32)[:, None]
        match = np.where(rows.key_scales > 0, self.query @ keys.T, -1.0)
        return match * self.weight[:, None]


def survey(
    model: Loaded, reading: Reading, stretches: list[Stretch], question: np.ndarray
) -> Survey:
    """`question`: its tokens with the control tokens around them."""
    asked = question[1:-1]
    digits, scale, weight = (np.asarray(x) for x in model.survey_queries(*_padded(question)))
    real = slice(1, 1 + len(asked))
    digits, scale, weight = digits[real], scale[real], weight[real]
    room = -len(asked) % AT_ONCE
    of_tokens = jnp.asarray(np.pad(digits, ((0, room), (0, 0))))
    best, starts = [], []
    for stretch in stretches:
        passes = [
            model.survey_scan(
                of_tokens[at : at + AT_ONCE], stretch.keys, stretch.key_scales, stretch.valid
            )
            for at in range(0, len(of_tokens), AT_ONCE)
        ]
        there = np.asarray(stretch.valid).reshape(-1, BLOCK).any(1)
        best.append(np.concatenate([np.asarray(x) for x in passes])[: len(asked), there])
        starts.append(stretch.positions.reshape(-1, BLOCK)[there, 0])
    order = np.argsort(np.concatenate(starts))
    return Survey(
        model=model,
        reading=reading,
        query=digits.astype(np.float32) * scale[:, None],
        weight=weight,
        best=np.maximum(np.concatenate(best, 1)[:, order] * scale[:, None], -1.0),
        starts=np.concatenate(starts)[order],
        terms=terms(reading, model.pieces, model.tokenizer.decode(asked)),
    )


def _padded(question: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and segments of a few sizes, so that few shapes are compiled."""
    size = max(BLOCK, 1 << (len(question) - 1).bit_length())
    tokens = np.zeros(size, np.int32)
    tokens[: len(question)] = question
    return tokens, np.where(np.arange(size) < len(question), 0, -1).astype(np.int32)


def passages(found: Survey, most: int = 5) -> tuple[Source, ...]:
    """The best windows that do not overlap, best first, each with where its matches are."""
    score = found.windows()
    chosen: list[int] = []
    for at in np.argsort(-score, kind="stable")[: 8 * most].tolist():
        begin, end = _text_of(found, int(found.starts[at]))
        apart = all(abs(found.starts[at] - found.starts[other]) >= WINDOW for other in chosen)
        if begin < end and apart:  # a part may be empty, or its name fill a window
            chosen.append(at)
    chosen = chosen[:most]
    if not chosen:
        return ()
    share = np.exp(score[chosen] - score[chosen].max())
    return tuple(
        _source(found, int(found.starts[at]), float(weight))
        for at, weight in zip(chosen, share / share.sum(), strict=True)
    )


def _text_of(found: Survey, start: int) -> tuple[int, int]:
    """Positions of the text in the window at `start`; none where the first is not below."""
    part = found.reading.part_of(start)
    return max(start, part.text_start), min(start + WINDOW, part.end)


def _source(found: Survey, start: int, weight: float) -> Source:
    reading, tokenizer = found.reading, found.model.tokenizer
    begin, end = _text_of(found, start)
    match = found.matches(begin, end)
    at, nats = match.argmax(1) + begin, match.max(1) * found.model.survey_scale
    rare = found.terms.within(begin, end)
    at = np.concatenate([at, [one for one, _ in rare]]).astype(np.int64)
    nats = np.concatenate([nats, [RARE * weight for _, weight in rare]])
    heavy = np.sort(at[nats >= 0.5 * nats.max()])
    # A key says what came before its token.
    first, middle = (max(int(at) - 1, begin) for at in (heavy[0], heavy[len(heavy) // 2]))
    last = int(heavy[-1])
    return Source(
        place=place_of(reading, tokenizer, middle),
        text=context(reading, tokenizer, first, last, MARGIN).strip(),
        weight=weight,
        start=first,
        end=last,
    )
