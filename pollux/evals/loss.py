# SPDX-License-Identifier: Apache-2.0
"""How well running text is predicted, by how much of it came before (Gemini 1.5, 5.2.1.1).

The answer stack runs where an answer is wanted and nowhere else, so the loss of every token of a
long text would cost what answering at every token costs. It is sampled: a document is read once,
cut into stretches whose ends are evenly spaced on a log scale, and in each stretch as many
positions are drawn. At a position the next token is predicted as in training (train/loss.py): from
what was read there, recalling from the memory of everything up to it and of nothing behind. The
mean over a stretch is an unbiased estimate, and so is the cumulative mean put together from them.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import jax.numpy as jnp
import numpy as np

from pollux.config import Config
from pollux.engine import reader, scan
from pollux.engine.model import Followed, Held, Loaded, Own, Queries
from pollux.engine.sampling import logprobs
from pollux.errors import InputError
from pollux.evals import haystack
from pollux.examples import war_and_peace
from pollux.media.inputs import open_parts
from pollux.media.part import Part
from pollux.memory.reading import Reading
from pollux.memory.store import PartSpan
from pollux.model import decoder, read
from pollux.ops import quant
from pollux.ops.attention import MASKED

FIRST = 128  # tokens: the end of the first stretch, as in Gemini's figure
LEAST = 1_000  # tokens of a document
CHARACTERS = 3.2  # a token, about: to cut a document
ROWS = 32  # positions whose surroundings are read again at once
AT_ONCE = 200  # positions recalled in one pass over the keys
KEYS = 8_192  # scored at a time, and their scores held: AT_ONCE x heads x KEYS x 4 bytes
DOCUMENTS = ("book", "code")

Report = Callable[[str, int | float], None]  # what is done, and the share of the document's work


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Tokens `start` to before `end` of a document. Losses are nats a token."""

    start: int
    end: int
    positions: int  # drawn
    loss: float  # mean
    error: float  # its standard error
    cumulative: float  # mean over everything before `end`
    cumulative_error: float


@dataclass(frozen=True, kw_only=True)
class Curve:
    document: str
    parts: int
    tokens: int  # without padding
    bytes: int  # of text
    stretches: tuple[Stretch, ...]
    read_seconds: float
    sample_seconds: float


def parts_of(document: str, wheel: Path | None, tokens: int | None, seed: int) -> list[Part]:
    """The book, the code base or the files at a path, shuffled, about `tokens` of them."""
    if document == "book":
        parts = [war_and_peace()]
    else:
        parts = haystack.code(wheel) if document == "code" else list(open_parts([Path(document)]))
    order = np.random.default_rng([seed, 0]).permutation(len(parts))
    return list(cut((parts[i] for i in order), tokens))


def cut(parts: Iterable[Part], tokens: int | None) -> Iterator[Part]:
    """The first parts, the last one cut at the end of a line."""
    room = None if tokens is None else int(tokens * CHARACTERS)
    for part in parts:
        if room is None or len(part.text) <= room:
            yield part
        else:
            end = part.text.find("\n", room) + 1 or len(part.text)
            yield replace(part, text=part.text[:end])
        if room is not None:
            room -= len(part.text)
            if room <= 0:
                return


def measure(
    model: Loaded,
    document: str,
    parts: Sequence[Part],
    points: int,
    positions: int,
    seed: int,
    report: Report = lambda told, done: None,
) -> Curve:
    """Reads the parts, in that order, to a temporary file and samples their loss."""
    size = max(1, sum(len(part.text) for part in parts))
    done = 0

    def reading_report(progress: reader.Progress) -> None:
        nonlocal done
        report(f"{document}, reading", (progress.characters - done) / size / 2)
        done = progress.characters

    with TemporaryDirectory() as directory:
        began = time.monotonic()
        path = Path(directory) / "document.reading"
        reading = reader.read(model, parts, path, reading_report)
        read_seconds = time.monotonic() - began
        began = time.monotonic()
        stretches = sample(
            model, reading, points, positions, seed, partial(_told, document, report)
        )
    return Curve(
        document=document,
        parts=len(reading.parts),
        tokens=reading.num_valid,
        bytes=sum(len(part.text.encode("utf-8", "replace")) for part in parts),
        stretches=stretches,
        read_seconds=read_seconds,
        sample_seconds=time.monotonic() - began,
    )


def _told(document: str, report: Report, share: float) -> None:
    report(f"{document}, sampling", share / 2)


def sample(
    model: Loaded,
    reading: Reading,
    points: int,
    positions: int,
    seed: int,
    report: Callable[[float], None] = lambda share: None,
) -> tuple[Stretch, ...]:
    """`points` stretches of which `positions` predictions each are made, all where it has fewer."""
    ends = depths(reading.num_valid, points)
    rng = np.random.default_rng([seed, 1])
    found: list[Stretch] = []
    predicted, total, variance = 0, 0.0, 0.0  # tokens so far, and the sum of their losses
    for start, end in itertools.pairwise([0, *ends]):
        drawn = draw(reading.parts, start, end, positions, rng)
        losses = nll(model, reading, drawn)
        width = text_between(reading.parts, start, end)
        # Those drawn are some of a finite number: when they are all, nothing is left to chance.
        error = float(losses.std(ddof=1) * ((1 - len(losses) / width) / len(losses)) ** 0.5)
        predicted, total = predicted + width, total + width * float(losses.mean())
        variance += (width * error) ** 2
        found.append(
            Stretch(
                start=start,
                end=end,
                positions=len(losses),
                loss=float(losses.mean()),
                error=error,
                cumulative=total / predicted,
                cumulative_error=variance**0.5 / predicted,
            )
        )
        report(end / sum(ends))
    return tuple(found)


def depths(tokens: int, points: int) -> list[int]:
    """Ends of stretches, evenly spaced on a log scale from FIRST to `tokens`."""
    if tokens < LEAST:
        raise InputError(f"the document has {tokens:,} tokens; name one with {LEAST:,} or more")
    return np.unique(np.geomspace(FIRST, tokens, points).round().astype(int)).tolist()


def draw(
    parts: Sequence[PartSpan], start: int, end: int, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Positions, ascending, whose next tokens are text and stand at `start` to before `end`.

    Those count tokens without padding. Up to `count`, none twice; InputError when there are none.
    """
    before, first = _begins(parts)
    text = np.array([part.text_start for part in parts])
    if end - start <= 4 * count:
        ranks = rng.permutation(np.arange(start, end))
    else:  # twice as many: some are of headers
        ranks = rng.choice(end - start, 2 * count, replace=False) + start
    part = np.searchsorted(before, ranks, side="right") - 1
    at = ranks - before[part] + first[part]
    at = at[at >= text[part]][:count]
    if len(at) < 2:
        raise InputError("there is next to no text in the document; name one with longer files")
    return np.sort(at - 1)


def text_between(parts: Sequence[PartSpan], start: int, end: int) -> int:
    """How many tokens that stand at `start` to before `end`, padding not counted, are text."""
    before, first = _begins(parts)
    begins = before + np.array([part.text_start for part in parts]) - first
    ends = before + np.array([part.end for part in parts]) - first
    return int(np.maximum(0, np.minimum(ends, end) - np.maximum(begins, start)).sum())


def _begins(parts: Sequence[PartSpan]) -> tuple[np.ndarray, np.ndarray]:
    """Of each part: tokens before it without padding, and the position of its first one."""
    sizes = [part.end - part.start for part in parts]
    return np.cumsum([0, *sizes[:-1]]), np.array([part.start for part in parts])


def nll(model: Loaded, reading: Reading, positions: np.ndarray) -> np.ndarray:
    """Negative log-likelihood of the token after each position, from all before it, in nats."""
    found = [
        _nll(model, reading, positions[at : at + AT_ONCE])
        for at in range(0, len(positions), AT_ONCE)
    ]
    return np.concatenate(found)


def _nll(model: Loaded, reading: Reading, positions: np.ndarray) -> np.ndarray:
    cfg = model.config
    x, gathered = read_again(model, reading, positions)
    queries = Queries(*map(np.asarray, model.queries(x, gathered)))
    total, best = recall(reading, positions, queries, cfg.recall_top_k)
    held = scan.hold(reading, best, total > scan.NOTHING)
    before, first = _begins(reading.parts)
    part = np.searchsorted(first, positions, side="right") - 1
    counted = before[part] + positions - first[part] + 1  # keys that can be recalled
    target = reading.take(positions + 1).tokens
    none = Own(jnp.zeros((1, cfg.key_dim)), jnp.zeros((1, cfg.value_dim)), jnp.zeros(1, bool))
    alone = Followed(jnp.zeros((model.query_heads, 1)), jnp.zeros(model.query_heads))
    out = np.empty(len(positions))
    for i, keys in enumerate(counted):
        here = slice(i, i + 1)  # one at a time: several would follow one another
        answered = model.answer(
            x[here],
            Queries(*(array[here] for array in queries)),
            Held(*(array[here] for array in held)),
            total[here],
            none,
            alone,
            0,
            decoder.sharpness(cfg, int(keys)),
            jnp.zeros((1, 1), bool),
        )
        out[i] = -logprobs(np.asarray(answered.logits[0]))[int(target[i])]
    return out


def read_again(
    model: Loaded, reading: Reading, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What reading made of the tokens at `positions`, hidden and gathered, [S, D] each.

    It is not kept in a reading, and depends on `receptive_field` tokens before each.
    """
    cfg = model.config
    size = -(-(cfg.receptive_field + 1) // cfg.window) * cfg.window
    _, first = _begins(reading.parts)
    part = np.searchsorted(first, positions, side="right") - 1
    at = positions[:, None] + np.arange(1 - size, 1)
    real = at >= first[part][:, None]
    tokens = reading.take(np.where(real, at, 0).ravel()).tokens.reshape(at.shape)
    tokens = np.where(real, tokens, 0).astype(np.int32)
    segment = np.where(real, 0, -1).astype(np.int32)
    found = []
    for row in range(0, len(positions), ROWS):
        here = slice(row, row + ROWS)
        missing = ((0, ROWS - len(tokens[here])), (0, 0))
        padded = np.pad(tokens[here], missing), np.pad(segment[here], missing, constant_values=-1)
        got = _read_last(model.weights, cfg, *padded)
        found.append([np.asarray(array)[: len(tokens[here])] for array in got])
    hidden, gathered = zip(*found, strict=True)
    return np.concatenate(hidden), np.concatenate(gathered)


@partial(jax.jit, static_argnums=1)
def _read_last(
    p: decoder.Decoder, cfg: Config, tokens: jax.Array, segment: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Of each row's last token: hidden and gathered."""
    state = read.empty_state(cfg, len(tokens))
    got, _, _ = decoder.read_chunk(p, cfg, tokens, segment, state)
    return got.hidden[:, -1], got.gathered[:, -1]


def recall(
    reading: Reading, positions: np.ndarray, queries: Queries, top_k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The best keys up to each position: scores [S, Q, k], highest first, and where they are.

    Every key is scored, some thousands at a time; where there are fewer than k, some scores are
    `scan.NOTHING`.
    """
    heads = queries.scale.shape[1]
    digits = jnp.asarray(queries.digits.reshape(-1, queries.digits.shape[-1]))
    scale = jnp.asarray(queries.scale.reshape(-1))
    until = jnp.asarray(np.repeat(positions, heads).astype(np.int32))
    total = jnp.full((len(scale), top_k), scan.NOTHING)
    best = jnp.zeros((len(scale), top_k), jnp.int32)
    for keys, key_scales, valid, start in _keys(reading, int(positions.max())):
        total, best = _better(digits, scale, until, keys, key_scales, valid, start, total, best)
    shape = (len(positions), heads, top_k)
    return np.asarray(total).reshape(shape), np.asarray(best, np.int64).reshape(shape)


def _keys(reading: Reading, last: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
    """Keys, their scales, which are real, and the position of the first: KEYS at a time."""
    for index in range(reading.num_segments):
        segment = reading.segment(index)
        for at in range(0, len(segment.keys), KEYS):
            if segment.start + at > last:
                return
            here = slice(at, at + KEYS)
            room = KEYS - len(segment.keys[here])
            yield (
                np.pad(segment.keys[here], ((0, room), (0, 0))),
                np.pad(segment.key_scales[here], (0, room)),
                np.pad(segment.valid[here], (0, room)),
                segment.start + at,
            )


@partial(jax.jit, donate_argnums=(7, 8))
def _better(digits, scale, until, keys, key_scales, valid, start, total, best):
    """The best of those so far and of some more keys; rows are heads of positions."""
    at = start + jnp.arange(len(keys))
    score = quant.int8_scores(digits, keys).astype(jnp.float32)
    score = score * scale[:, None] * key_scales.astype(jnp.float32)
    score = jnp.where(valid & (at <= until[:, None]), score, MASKED)
    top_k = total.shape[1]
    total, chosen = jax.lax.top_k(jnp.concatenate([total, score], 1), top_k)
    earlier = jnp.take_along_axis(best, jnp.minimum(chosen, top_k - 1), 1)
    return total, jnp.where(chosen < top_k, earlier, start + chosen - top_k)
