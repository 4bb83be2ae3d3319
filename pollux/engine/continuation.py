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
from functools import lru_cache
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from pollux.config import BLOCK, Config
from pollux.engine import scan
from pollux.engine.model import Answered, Followed, Lane, Loaded, Own, Queries, Row, Stepped
from pollux.engine.scan import Hits, Scan, Stretch
from pollux.engine.source import Look
from pollux.memory.reading import Reading
from pollux.model import decoder
from pollux.model.read import ReadState

GUESS = 8  # positions at a time
LANES = 8  # answers that go through the weights together; one number to compile
WORTH = 3  # answers from which on that is quicker than one after another
SETTLED = 0.9  # certainty from which on nothing else is sought

Tree = TypeVar("Tree")


class Told(NamedTuple):
    """What is not to be recalled again: positions of the reading, and tokens of the answer."""

    read: list[int]
    said: list[int]


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
        self.sharper = _sharpness(cfg, reading.num_valid)
        before = asked[:-1]
        size = max(BLOCK, 1 << (len(before) - 1).bit_length())
        capacity = size + max(256, 1 << (max_tokens + GUESS - 1).bit_length())
        self.tokens = np.zeros(capacity, np.int32)
        self.tokens[size - len(before) : size] = before
        segment = np.where(np.arange(size) < size - len(before), -1, 0).astype(np.int32)
        self.state, self.own = model.begin(self.tokens[:size], segment, capacity)
        self.used = size
        self.first = size + 1  # token of the answer, behind the question's last
        heads = model.query_heads
        self.followed = _arrays(Followed(jnp.zeros((heads, capacity)), jnp.zeros(heads)))
        self.scan = Scan(model, stretches)
        self.keys = np.zeros((heads, cfg.recall_top_k), np.int64)  # that mattered last
        self.ends = np.zeros_like(self.keys)  # of their parts: nothing goes on beyond
        self.totals: np.ndarray = np.zeros(self.keys.shape, np.float32)
        self.told: Sequence[Told] = ()  # for each token of `advance`

    @property
    def capacity(self) -> int:
        return len(self.tokens)

    def advance(self, tokens: Sequence[int]) -> list[Position]:
        """Positions after each of up to GUESS tokens: the last one said, then guesses."""
        return advance([Advance(self, tokens)])[0]

    def lane(self, tokens: Sequence[int], size: int) -> Lane:
        """The tokens, as many as `size` with what is not used, and what they are to see."""
        padded = np.pad(np.asarray(tokens, np.int32), (0, size - len(tokens)))
        self.tokens[self.used : self.used + size] = padded
        self.next = self.keys + np.arange(1, size + 1)[:, None, None]
        there = self.next < self.ends
        for i, told in enumerate(self.told):
            there[i] &= ~np.isin(self.next[i], told.read)
        self.held = scan.hold(self.reading, self.next, there)
        used = np.asarray(self.used, np.int32)
        again = self._again(range(size))
        return Lane(padded, used, self.held, self.totals, self.followed, self.sharper, again)

    def _again(self, indices: range) -> np.ndarray:
        """Of the question and the answer so far, what is not to be recalled."""
        again = np.zeros((len(indices), self.capacity), bool)
        for row, told in zip(again, [self.told[i : i + 1] for i in indices], strict=True):
            row[[self.first + at for one in told for at in one.said]] = True
        return again

    def stepped(self, step: Stepped, ahead: ReadState, own: Own, count: int) -> list[Position]:
        """Takes over what `count` tokens gave."""
        self.ahead, self.own, self.recalled = ahead, own, -1
        self.x, self.queries, self.sums, answered = step
        self.latest = answered.followed
        return self._positions(answered, np.where(self.held.valid, self.next, 0))[:count]

    def recall(self, index: int) -> Position:
        """The position of that index again, with the best of all keys."""
        self.ask(index)
        return recall([Recall(self, index)], [self.scan.recall()])[0]

    def ask(self, index: int) -> None:
        """Has every key scored, when the scan is next gone over, up to the position `index`."""
        self._wait(self.recalled + 1, index + 1)

    def row(self, index: int, hits: Hits) -> Row:
        """That position, to be answered from the best of all keys."""
        here = slice(index, index + 1)
        self.recalled, self.keys, self.totals = index, hits.position, hits.total
        self.ends = self.reading.ends_of(self.keys)
        there = hits.total > scan.NOTHING
        for told in self.told[index : index + 1]:
            there &= ~np.isin(self.keys, told.read)
        return Row(
            self.x[here],
            Queries(*(x[here] for x in self.queries)),
            scan.hold(self.reading, self.keys[None], there[None]),
            np.where(there, hits.total, scan.NOTHING)[None],
            self._followed(index - 1) if index else self.followed,
            np.asarray(self.used + index, np.int32),
            self.sharper,
            self._again(range(index, index + 1)),
        )

    def answered(self, answered: Answered) -> Position:
        """Of a row."""
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

    def origin(self, position: Position, token: int) -> int:
        """Where in the reading `token`, said at `position`, was recalled; -1 if it was not."""
        where, weights = position.look
        far = np.where(self.reading.take(where).tokens == token, weights, 0.0)
        own = np.where(self.tokens == token, position.near, 0.0)
        return int(where[far.argmax()]) if far.max() > own.max() else -1

    def _followed(self, index: int) -> Followed:
        return Followed(self.latest.total[index], self.latest.count[index])

    def _wait(self, start: int, end: int) -> None:
        if start < end:
            self.scan.add(Queries(*(x[start:end] for x in self.queries)))

    def _positions(self, answered: Answered, keys: np.ndarray) -> list[Position]:
        logits, far, near, certainty = answered[:4]
        looks = zip(keys[:, self.model.pointer], far, strict=True)
        rows = zip(logits, looks, near, certainty.tolist(), strict=True)
        return [Position(*row) for row in rows]


@lru_cache(maxsize=64)
def _sharpness(cfg: Config, keys: int) -> np.ndarray:
    return np.asarray(decoder.sharpness(cfg, keys))


@dataclass(frozen=True, eq=False)
class Advance:
    """What an answer needs to go on: `Continuation.advance`, alone or beside others."""

    made: Continuation
    tokens: Sequence[int]


@dataclass(frozen=True, eq=False)
class Recall:
    """Or `Continuation.recall`."""

    made: Continuation
    index: int


def advance(needs: Sequence[Advance]) -> list[list[Position]]:
    """Of several answers, of whatever readings; one capacity, LANES at most."""
    model, alone = needs[0].made.model, len(needs) == 1
    size = 1 if alone and len(needs[0].tokens) == 1 else GUESS  # two sizes to compile
    lanes = _stacked([need.made.lane(need.tokens, size) for need in needs])
    states = _filled([need.made.state for need in needs])
    owns = _filled([need.made.own for need in needs])
    step, aheads, owns = (model.step if alone else model.steps)(lanes, states, owns)
    step = _arrays(step)
    return [
        need.made.stepped(_of(step, i), aheads[i], owns[i], len(need.tokens))
        for i, need in enumerate(needs)
    ]


def recall(needs: Sequence[Recall], hits: Sequence[Hits]) -> list[Position]:
    """Of several answers, after `ask` and `scan.recall`; one capacity, LANES at most."""
    made = [need.made for need in needs]
    rows = [need.made.row(need.index, best) for need, best in zip(needs, hits, strict=True)]
    owns = _filled([one.own for one in made])
    answered = _arrays(made[0].model.answers(_stacked(rows), owns))
    return [one.answered(_of(answered, i)) for i, one in enumerate(made)]


def _stacked(trees: list[Tree]) -> Tree:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *_filled(trees))


def _filled(items: list[Tree]) -> tuple[Tree, ...]:
    """One alone, or LANES: what the last ones give is not used."""
    return (*items, *items[:1] * (LANES - len(items) if len(items) > 1 else 0))


def _arrays(tree: Tree) -> Tree:
    """As arrays of numpy, which are cut at next to no cost; on a CPU they are not copied."""
    return jax.tree.map(np.asarray, tree)


def _of(tree: Tree, number: int) -> Tree:
    return jax.tree.map(lambda array: array[number], tree)


def together(needs: Sequence[Advance | Recall]) -> list[list[int]]:
    """Which of the needs go through the weights together; three and more, else each alone."""
    by_capacity: dict[int, list[int]] = {}
    for number, need in enumerate(needs):
        by_capacity.setdefault(need.made.capacity, []).append(number)
    groups = []
    for same in by_capacity.values():
        for at in range(0, len(same), LANES):
            group = same[at : at + LANES]
            groups += [group] if len(group) >= WORTH else [[number] for number in group]
    return groups
