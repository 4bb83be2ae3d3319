# SPDX-License-Identifier: Apache-2.0
"""One answer in the making: its own memory beside the reading's, several positions at a time.

Two things make it quick. Answers repeat what was read, so the tokens to come are guessed: what
follows where the last one was recalled; what turns out otherwise is forgotten (speculative
decoding, Leviathan et al. 2023, with the text itself as the draft). And a run of words is recalled,
so the keys that matter next are those after the keys that mattered last: every key is scored again
only where neither they nor the question's own words settle it. `pollux bench read` measures how
often that changes an answer (docs/decisions/0009-answering.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from pollux.config import BLOCK
from pollux.engine import scan
from pollux.engine.model import Answered, Followed, Loaded, Own, Queries
from pollux.engine.scan import Scan, Stretch
from pollux.engine.source import Look
from pollux.memory.reading import Reading
from pollux.model import decoder

GUESS = 8  # positions at a time
SETTLED = 0.9  # certainty from which on nothing else is sought


@dataclass(frozen=True, eq=False)
class Position:
    """The logits of a next token, and what the last layer's pointer head recalled for it."""

    logits: np.ndarray
    look: Look  # in the reading
    near: np.ndarray  # weights of the tokens of question and answer
    certainty: float  # weight of what was scored, whatever else there may be


class Continuation:
    """`advance` with tokens that go on, beginning with the question's last; `keep` what holds."""

    def __init__(
        self,
        model: Loaded,
        reading: Reading,
        stretches: list[Stretch],
        asked: np.ndarray,
        max_tokens: int,
    ):
        """The question is padded in front to whole blocks; what is in front is never seen."""
        cfg = model.config
        self.model, self.reading = model, reading
        self.sharper = decoder.sharpness(cfg, reading.num_valid)
        before = asked[:-1]
        size = max(BLOCK, 1 << (len(before) - 1).bit_length())
        capacity = size + max(256, 1 << (max_tokens + GUESS - 1).bit_length())
        own = Own(
            jnp.zeros((capacity, cfg.key_dim)),
            jnp.zeros((capacity, cfg.value_dim)),
            jnp.zeros(capacity, bool),
        )
        self.tokens = np.zeros(capacity, np.int32)
        self.tokens[size - len(before) : size] = before
        segment = np.where(np.arange(size) < size - len(before), -1, 0).astype(np.int32)
        _, _, ahead, self.own = model.read_own(
            self.tokens[:size], segment, model.empty_state(), own, 0
        )
        self.state, self.used = model.after(ahead, size), size
        heads = model.query_heads
        self.followed = Followed(jnp.zeros((heads, capacity)), jnp.zeros(heads))
        self.scan = Scan(model, stretches)
        self.keys = np.zeros((heads, cfg.recall_top_k), np.int64)  # that mattered last
        self.ends = np.zeros_like(self.keys)  # of their parts: nothing goes on beyond
        self.totals: jax.Array | np.ndarray = np.zeros(self.keys.shape, np.float32)

    def advance(self, tokens: Sequence[int]) -> list[Position]:
        """Positions after each of up to GUESS tokens: the last one said, then guesses."""
        size = 1 if len(tokens) == 1 else GUESS  # two sizes to compile
        padded = np.pad(np.asarray(tokens, np.int32), (0, size - len(tokens)))
        self.tokens[self.used : self.used + size] = padded
        self.x, gathered, self.ahead, self.own = self.model.read_own(
            padded, np.zeros(size, np.int32), self.state, self.own, self.used
        )
        self.queries, self.recalled = self.model.queries(self.x, gathered), -1
        self.next = self.keys + np.arange(1, size + 1)[:, None, None]
        held = scan.hold(self.reading, self.next, self.next < self.ends)
        self.sums = self.model.go_on(self.queries, held, self.totals)
        answered = self.model.answer(
            self.x,
            self.queries,
            held,
            self.sums,
            self.own,
            self.followed,
            self.used,
            self.sharper,
        )
        self.latest = answered.followed
        return self._positions(answered, np.where(held.valid, self.next, 0))[: len(tokens)]

    def recall(self, index: int) -> Position:
        """The position of that index again, with the best of all keys."""
        here = slice(index, index + 1)
        queries = Queries(*(x[here] for x in self.queries))
        self._wait(self.recalled + 1, index + 1)
        self.recalled, hits = index, self.scan.recall()
        self.keys, self.totals = hits.position, hits.total
        self.ends = self.reading.ends_of(self.keys)
        held = scan.hold(self.reading, self.keys[None], hits.total[None] > scan.NOTHING)
        before = self._followed(index - 1) if index else self.followed
        answered = self.model.answer(
            self.x[here],
            queries,
            held,
            hits.total[None],
            self.own,
            before,
            self.used + index,
            self.sharper,
        )
        return self._positions(answered, self.keys[None])[0]

    def keep(self, count: int) -> None:
        """Of the tokens that `advance` was given, the first `count`; none after one recalled."""
        self.state = self.model.after(self.ahead, count)
        self.used += count
        self.followed = self._followed(count - 1)
        self._wait(self.recalled + 1, count)
        if self.recalled < 0:
            self.keys, self.totals = self.next[count - 1], self.sums[count - 1]

    def guess(self, position: Position, token: int) -> list[int]:
        """What may follow `token`, just said at `position`: what does where it was recalled."""
        where, weights = position.look
        best, own = int(where[weights.argmax()]), int(position.near.argmax())
        if position.near[own] > weights.max():
            following = self.tokens[own : min(own + GUESS, self.used)]
        else:
            end = min(best + GUESS, self.reading.part_of(best).end)
            following = self.reading.take(np.arange(best, end)).tokens
        agrees = len(following) and following[0] == token
        return [int(t) for t in following[1:]] if agrees else []

    def _followed(self, index: int) -> Followed:
        return Followed(self.latest.total[index], self.latest.count[index])

    def _wait(self, start: int, end: int) -> None:
        if start < end:
            self.scan.add(Queries(*(x[start:end] for x in self.queries)))

    def _positions(self, answered: Answered, keys: np.ndarray) -> list[Position]:
        logits, far, near, certainty = map(np.asarray, answered[:4])
        looks = zip(keys[:, self.model.pointer], far, strict=True)
        rows = zip(logits, looks, near, certainty.tolist(), strict=True)
        return [Position(*row) for row in rows]
