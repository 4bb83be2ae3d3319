# SPDX-License-Identifier: Apache-2.0
"""What is said in recordings and films, written down: the words that a model without ears reads.

A listener says which letters are heard when; a lexicon, which words are likely to be meant. Between
pauses the best way through both is searched for, words that no lexicon has included. What is said
between pauses is a line, with the second at which it begins.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from pollux import checkpoint
from pollux.config import MEL_BINS, MEL_OWN, SPOKEN
from pollux.media.mel import FLOOR, SECOND
from pollux.media.piece import Piece, Sound, Words, clock
from pollux.model import lexicon, listener
from pollux.model.along import NOTHING
from pollux.model.lexicon import Lexicon
from pollux.model.listener import PER_SECOND, VERDICTS

AT_ONCE = 20 * SECOND  # frames that are listened to together
SPACE = 1 + SPOKEN.index(" ")
QUIET = 0.97  # probability of nothing new, from which on a verdict is a pause's
PAUSE = 0.4  # seconds without any letter that end a line,
LINE, LONGEST = 4.0, 12.0  # or shorter ones from here on; seconds of a line at most
SHORT_PAUSE = 0.16
BEAM, WITHIN = 24, 14.0  # ways that are followed, and how much worse than the best, in nats
UNLIKELY = 9.0  # nats below the likeliest: letters that are not followed
TRUST = 0.7  # of the lexicon's nats
WORD = 0.6  # nats that each word is given: a lexicon alone likes few and long ones
STRANGE, STRANGER = 7.0, 1.6  # nats that a word outside the lexicon costs, and each of its letters
SURE, SURE_SHORT = 0.5, 0.65  # mean probability of a line's letters at least, and of SHORT ones
SHORT = 6  # letters


class Heard(NamedTuple):
    """A word; seconds from the beginning of what was listened to."""

    word: str
    begins: float
    ends: float


@dataclass(frozen=True)
class Shipped:
    weights: listener.Listener
    reach: int  # frames
    lexicon: "Tree"
    fingerprint: str


@dataclass(frozen=True, eq=False)
class Tree:
    """A lexicon by the letters of its words: place 0 is where each begins."""

    lexicon: Lexicon

    @cached_property
    def _built(self) -> tuple[list[dict[int, int]], list[int], list[float]]:
        follows: list[dict[int, int]] = [{}]
        ends, best = [-1], [-np.inf]
        for number, word in enumerate(self.lexicon.words):
            place, nats = 0, float(self.lexicon.alone[number])
            for letter in word:
                kind = 1 + SPOKEN.index(letter)
                if kind not in follows[place]:
                    follows[place][kind] = len(follows)
                    follows.append({})
                    ends.append(-1)
                    best.append(-np.inf)
                place = follows[place][kind]
                best[place] = max(best[place], nats)
            ends[place] = number
        best[0] = 0.0
        return follows, ends, best

    @property
    def follows(self) -> list[dict[int, int]]:
        """Of each place, which letter leads where."""
        return self._built[0]

    @property
    def ends(self) -> list[int]:
        """The word that ends at each place, or -1."""
        return self._built[1]

    @property
    def best(self) -> list[float]:
        """Nats of the likeliest word beyond each place."""
        return self._built[2]


@cache
def shipped() -> Shipped:
    """The listener in the package. WeightsError where it is damaged."""
    folder = Path(str(files("pollux") / "weights"))
    weights, config, fingerprint = checkpoint.load_listener(folder / "listener.safetensors")
    words = lexicon.load(folder / "lexicon.safetensors")
    return Shipped(weights, config.reach * MEL_OWN, Tree(words), fingerprint)


@jax.jit
def _verdicts(
    weights: listener.Listener, mel: Float[jax.Array, "T 64"]
) -> Float[jax.Array, "verdicts classes"]:
    return jax.nn.log_softmax(listener.listen(weights, mel[None])[0])


def verdicts(
    mels: Iterable[Float32[np.ndarray, "_ 64"]],
) -> Iterator[Float32[np.ndarray, "verdicts classes"]]:
    """Log probabilities of what is said, as the frames come; before and behind it is silent.

    However the frames come, the verdicts are the same: each is given when all it hears is there.
    """
    reach, silence = shipped().reach, np.float32(np.log(FLOOR))
    quiet = np.full((reach, MEL_BINS), silence, np.float32)
    held, given, total = quiet, 0, 0
    for mel in mels:
        held, total = np.concatenate([held, mel]), total + len(mel)
        while len(held) >= AT_ONCE + 2 * reach:
            yield _of_chunk(held[: AT_ONCE + 2 * reach])
            held, given = held[AT_ONCE:], given + AT_ONCE
    while given < total:
        lack = AT_ONCE + 2 * reach - len(held)
        whole = np.pad(held, ((0, max(0, lack)), (0, 0)), constant_values=silence)
        left = (total - given) // MEL_OWN * VERDICTS
        yield _of_chunk(whole[: AT_ONCE + 2 * reach])[:left]
        held, given = held[AT_ONCE:], given + AT_ONCE


def _of_chunk(mel: Float32[np.ndarray, "T 64"]) -> Float32[np.ndarray, "verdicts classes"]:
    own = shipped()
    edge = own.reach // MEL_OWN * VERDICTS
    return np.asarray(_verdicts(own.weights, jnp.asarray(mel)))[edge:-edge]


class Way(NamedTuple):
    """Words said, the last first."""

    word: str
    begins: int  # verdict
    ends: int
    before: "Way | None"


class State(NamedTuple):
    """Where a way is: behind word `last` (None: none that is known), at a place in the tree.

    `letters`: of a word not in the tree; `kind`: of the last letter; `is_over`: it may come again.
    """

    last: int | None
    place: int
    letters: str
    kind: int
    is_over: bool


Reached = tuple[float, Way | None, int]  # nats, words said, when the one being said began
START = State(None, 0, "", SPACE, True)


class Search:
    """The likeliest words between two pauses, verdict by verdict (Hannun et al. 2014).

    The likeliest way to each state is followed, not the sum of all.
    """

    def __init__(self, tree: Tree):
        self.tree = tree
        self.ways: dict[State, Reached] = {START: (0.0, None, 0)}

    def hear(self, row: Sequence[float], at: int) -> None:
        """One verdict's log probabilities."""
        least, found = max(row[1:]) - UNLIKELY, {}
        likely = [kind for kind in range(1, len(row)) if row[kind] >= least]
        bound = max(nats for nats, *_ in self.ways.values()) + row[NOTHING] - WITHIN
        for state, reached in self.ways.items():
            for after, one in self._after(state, reached, row, likely, at):
                if one[0] >= bound and (after not in found or found[after][0] < one[0]):
                    found[after] = one
        best = sorted(found.items(), key=lambda one: -one[1][0])[:BEAM]
        bound = best[0][1][0] - WITHIN
        self.ways = {state: one for state, one in best if one[0] >= bound}

    def _after(
        self, state: State, reached: Reached, row: Sequence[float], likely: list[int], at: int
    ) -> Iterator[tuple[State, Reached]]:
        """What may come of a state with a verdict."""
        (last, place, letters, kind, is_over), (nats, way, begins) = state, reached
        yield State(last, place, letters, kind, True), (nats + row[NOTHING], way, begins)
        if not is_over:
            yield state, (nats + row[kind], way, begins)
        tree, is_first = self.tree, not (place or letters)
        follows, best = tree.follows[place], tree.best
        begins = at if is_first else begins
        for one in likely:
            if one == kind and not is_over:
                continue
            reaching = nats + row[one]
            if one == SPACE:
                if is_first:
                    yield State(last, 0, "", SPACE, False), (reaching, way, at)
                for number, word, more in self._ended(state):
                    ended = Way(word, begins, at, way)
                    yield State(number, 0, "", SPACE, False), (reaching + more, ended, at)
                continue
            if not letters and (after := follows.get(one)) is not None:
                known = reaching + TRUST * (best[after] - best[place])
                yield State(last, after, "", one, False), (known, way, begins)
            if letters or is_first:
                strange = reaching - STRANGER - (0.0 if letters else STRANGE)
                spelt = letters + SPOKEN[one - 1]
                yield State(last, 0, spelt, one, False), (strange, way, begins)

    def _ended(self, state: State) -> Iterator[tuple[int | None, str, float]]:
        """The word that a state may end with."""
        if state.letters:
            yield None, state.letters, WORD
        elif (number := self.tree.ends[state.place]) >= 0:
            said = self.tree.lexicon.following(state.last, number)
            nats = TRUST * (said - self.tree.best[state.place]) + WORD
            yield number, self.tree.lexicon.words[number], nats

    def words(self, at: int) -> list[Way]:
        """Those of the best way, as if all were said."""
        best: tuple[float, Way | None] = -np.inf, None
        for state, (nats, way, begins) in self.ways.items():
            ends = [(nats, way)] if not (state.place or state.letters) else []
            ends += [(nats + n, Way(word, begins, at, way)) for _, word, n in self._ended(state)]
            best = max(best, *ends, key=lambda one: one[0]) if ends else best
        said, way = [], best[1]
        while way is not None:
            said.append(way)
            way = way.before
        return said[::-1]


def lines(chunks: Iterable[Float32[np.ndarray, "_ classes"]]) -> Iterator[list[Heard]]:
    """What is said between pauses; of many words a line for each few seconds."""
    search, at, begun, quiet = None, 0, 0, 0  # `quiet`: verdicts since the last letter
    sure: list[float] = []
    for chunk in chunks:
        likeliest = chunk.argmax(1)
        silent = np.exp(chunk[:, NOTHING]) >= QUIET
        for number, row in enumerate(chunk.tolist()):
            if silent[number] and search is None:
                at += 1
                continue
            if search is None:
                search, begun, quiet, sure = Search(shipped().lexicon), at, 0, []
            if silent[number]:
                search.ways = _waited(search.ways)
                quiet += 1
            else:
                search.hear(row, at)
                quiet = 0 if likeliest[number] not in (NOTHING, SPACE) else quiet + 1
                if not quiet:
                    sure.append(float(np.exp(row[likeliest[number]])))
            at += 1
            long, pause = (at - begun) / PER_SECOND, quiet / PER_SECOND
            if pause >= (PAUSE if long < LINE else SHORT_PAUSE) or long >= LONGEST:
                yield from _line(search, at - quiet, sure)
                search = None
    if search is not None:
        yield from _line(search, at - quiet, sure)


def _waited(ways: dict[State, Reached]) -> dict[State, Reached]:
    """As `hear` would leave them where there is nothing new but that the last letter is over."""
    found: dict[State, Reached] = {}
    for state, reached in ways.items():
        state = state._replace(is_over=True)
        if state not in found or found[state][0] < reached[0]:
            found[state] = reached
    return found


def _line(search: Search, at: int, sure: list[float]) -> Iterator[list[Heard]]:
    said = [Heard(w.word, w.begins / PER_SECOND, w.ends / PER_SECOND) for w in search.words(at)]
    least = SURE_SHORT if sum(len(heard.word) for heard in said) < SHORT else SURE
    if said and sure and np.mean(sure) >= least:
        yield said


def written_down(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Sound becomes lines of words, each behind the time at which it begins; the rest stays."""
    others: list[Piece] = []
    first = 0.0

    def mels() -> Iterator[Float32[np.ndarray, "_ 64"]]:
        nonlocal first
        is_first = True
        for piece in pieces:
            if isinstance(piece, Sound):
                first = piece.seconds if is_first else first
                is_first = False
                yield piece.mel
            else:
                others.append(piece)

    for said in lines(verdicts(mels())):
        begins = first + said[0].begins
        yield from _until(others, begins)
        text = " ".join(heard.word for heard in said)
        yield Words(
            text=f"{clock(begins)} {text}", seconds=begins, ends=max(begins, first + said[-1].ends)
        )
    yield from _until(others, np.inf)


def _until(others: list[Piece], seconds: float) -> Iterator[Piece]:
    """Takes out what comes before that time, in its order."""
    while others and (others[0].seconds is None or others[0].seconds <= seconds):
        yield others.pop(0)
