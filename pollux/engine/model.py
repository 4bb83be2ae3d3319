# SPDX-License-Identifier: Apache-2.0
"""A model ready to run: weights, architecture, tokenizer, and its compiled functions."""

from dataclasses import dataclass
from functools import cached_property, partial
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int8, UInt8

from pollux import checkpoint
from pollux.config import BLOCK, Config
from pollux.engine import chunk
from pollux.engine.terms import Pieces, pieces
from pollux.errors import InputError, WeightsError
from pollux.memory.store import Shape
from pollux.model import answer, decoder, picture, read, survey
from pollux.ops import quant
from pollux.ops.attention import MASKED
from pollux.ops.recall import follow, weigh
from pollux.tokenizer import Tokenizer

UNSEEN = 0.8  # the cosine that a key not scored is taken to have, when it is judged whether to


class Own(NamedTuple):
    """Memory of the question and the answer so far: seen whole, beside the reading's top k."""

    key: Float[Array, "C K"]
    value: Float[Array, "C V"]
    seen: Bool[Array, " C"]


class Queries(NamedTuple):
    """What M positions ask of the memory: Q = heads of all answer layers, side by side."""

    digits: Int8[Array, "M Q K"]
    scale: Float[Array, "M Q"]
    own_bonus: Float[Array, "M Q"]
    decay: Float[Array, "M Q"]


class Followed(NamedTuple):
    """Sums and counts of `ops.recall.follow` at one position, or M: of the own keys."""

    total: Float[Array, "*M Q C"]
    count: Float[Array, "*M Q"]


class Held(NamedTuple):
    """Rows of the memory: a few keys for each of M positions and Q heads, and what they hold."""

    keys: Int8[np.ndarray, "M Q k K"]
    key_scales: Float[np.ndarray, "M Q k"]
    values: Int8[np.ndarray, "M Q k V"]
    value_scales: Float[np.ndarray, "M Q k"]
    valid: Bool[np.ndarray, "M Q k"]


class Lane(NamedTuple):
    """T tokens that an answer goes on with, and what they see besides its Own.

    In `Loaded.steps` with an axis of L answers in front of everything.
    """

    tokens: Int[np.ndarray, "*L T"]
    used: Int[np.ndarray, "*L"]  # rows of Own before them
    held: Held
    totals: Float[np.ndarray, "*L Q k"]  # of what is held, at the token before
    followed: Followed
    sharper: Float[np.ndarray, "*L"]
    again: Bool[np.ndarray, "*L T C"]  # of Own: not to be recalled


class Row(NamedTuple):
    """M positions of an answer, and what is held for them; or with an axis of L in front."""

    x: Float[np.ndarray, "*L M D"]
    queries: Queries
    held: Held
    totals: Float[np.ndarray, "*L M Q k"]
    followed: Followed  # at the position before
    at: Int[np.ndarray, "*L"]  # of the first, in Own
    sharper: Float[np.ndarray, "*L"]
    again: Bool[np.ndarray, "*L M C"]  # of Own: not to be recalled


class Answered(NamedTuple):
    """Logits of M positions' next tokens; where the last layer's pointer head recalls from."""

    logits: Float[Array, "M vocab"]
    far: Float[Array, "M k"]  # weights of the reading's keys
    near: Float[Array, "M C"]  # of the question's and the answer's own
    certainty: Float[Array, " M"]
    followed: Followed


class Stepped(NamedTuple):
    """What L Lanes give."""

    x: Float[np.ndarray, "*L T D"]
    queries: Queries
    sums: Float[np.ndarray, "*L T Q k"]
    answered: Answered


class Edge(NamedTuple):
    """The last tokens of the stretch before, which the first of the next one follow."""

    keys: Int8[Array, "edge K"] | np.ndarray
    key_scales: Float[Array, " edge"] | np.ndarray
    total: Float[Array, "Q edge"] | np.ndarray


@dataclass(frozen=True, eq=False)
class Loaded:
    """Weights and what belongs to them. Load once: the compiled functions live here."""

    weights: decoder.Decoder
    config: Config
    tokenizer: Tokenizer
    fingerprint: str
    hand: picture.Picture | None = None  # what draws, if the weights can

    @property
    def shape(self) -> Shape:
        return Shape(key_dim=self.config.key_dim, value_dim=self.config.value_dim)

    @property
    def senses(self) -> bool:
        """Whether pictures or sound stand in its sequence."""
        return self.config.vision is not None or self.config.audio is not None

    @cached_property
    def read_chunk(self):
        """(tokens [T], segment [T], state) -> (Chunk, state): reading, in chunks of one size.

        Of a model with eyes or ears there comes a fourth argument, the chunk's Seen.
        """
        return chunk.reader(self.weights, self.config)

    @cached_property
    def begin(self):
        """(tokens [T], segment [T], rows of Own, static) -> (state, Own): reads a question."""
        return jax.jit(partial(_begin, self.weights, self.config), static_argnums=2)

    @cached_property
    def after(self):
        """(state, n): the state after n of the tokens it ends with."""
        return jax.jit(lambda state, n: read.after(state, self.config, n))

    @cached_property
    def queries(self):
        """(x [M, D], gathered [M, D]) -> Queries."""
        return jax.jit(partial(_queries, self.weights, self.config))

    @cached_property
    def step(self):
        """`steps` of one answer alone; its Own is used up."""
        return jax.jit(partial(_steps, self.weights, self.config), donate_argnums=2)

    @cached_property
    def steps(self):
        """(Lanes, L states, L Owns) -> (Stepped, states to cut, Owns).

        The tokens of L answers go through the weights together.
        """
        return jax.jit(partial(_steps, self.weights, self.config))

    @cached_property
    def scan(self):
        """M positions over one stretch of keys, at once.

        (digits, scale, decay, keys, key_scales, valid, since, total, Edge)
        -> sums at the last position [Q, N], their maximum in each block.
        """
        return jax.jit(_scan)

    @cached_property
    def survey_queries(self):
        """(tokens [T], segment [T]) -> what each looks for: digits [T, K], scales, weights."""
        return jax.jit(partial(_survey_queries, self.weights, self.config))

    @cached_property
    def survey_scan(self):
        """(digits [M, K], keys, key_scales, valid) -> the best product in each block [M, blocks].

        Digits are whole numbers: multiply by their scale.
        """
        return jax.jit(_survey_scan)

    @cached_property
    def pieces(self) -> Pieces:
        """What words are made of."""
        return pieces(self.tokenizer)

    @property
    def survey_scale(self) -> float:
        """Of a window's score, in nats."""
        return float(jnp.exp(self.weights.survey.log_scale))

    @cached_property
    def answer(self):
        """(x, Queries, Held, totals [M, Q, k], Own, Followed, at, sharper, again) -> Answered."""
        return jax.jit(partial(_answer_one, self.weights, self.config))

    @cached_property
    def answers(self):
        """(Rows, L Owns) -> Answered of L answers, through the weights together."""
        return jax.jit(partial(_answers, self.weights, self.config))

    @cached_property
    def draw(self):
        """(codes [B, codes]) -> pixels [B, 64, 64, 3], of weights with a hand."""
        if self.hand is None or self.config.picture is None:
            raise InputError(f"{self.config.name} cannot draw: name weights that can (--weights)")
        return jax.jit(partial(picture.decode, self.hand, self.config.picture))

    @property
    def query_heads(self) -> int:
        """Heads of all answer layers, side by side."""
        return self.config.answer_layers * self.config.recall_heads

    @property
    def pointer(self) -> int:
        """Which of them says where an answer was read: the last layer's."""
        return self.query_heads - self.config.recall_heads + answer.POINTER_HEAD

    def empty_state(self) -> read.ReadState:
        return read.empty_state(self.config, 1)


def load(path: str | Path | None = None) -> Loaded:
    """The weights at `path`, or spark, which comes with the package."""
    default = files("pollux") / "weights" / "spark.safetensors"
    file = Path(path) if path else Path(str(default))
    weights, config, fingerprint = checkpoint.load(file)
    tokenizer = Tokenizer.load()
    if tokenizer.vocab_size != config.vocab_size:
        raise WeightsError(
            f"the weights know {config.vocab_size} tokens, the tokenizer {tokenizer.vocab_size}; "
            "train the weights with this tokenizer"
        )
    hand = checkpoint.load_hand(file)[0] if config.picture else None
    return Loaded(weights, config, tokenizer, fingerprint, hand)


def _begin(p, cfg, tokens, segment, capacity) -> tuple[read.ReadState, Own]:
    state = read.empty_state(cfg, 1)
    got, state, _ = decoder.read_chunk(p, cfg, tokens[None], segment[None], state)
    own = Own(
        jnp.zeros((capacity, cfg.key_dim)),
        jnp.zeros((capacity, cfg.value_dim)),
        jnp.zeros(capacity, bool),
    )
    return state, _added(own, got.key[0], got.value[0], tokens != 0, 0)


def _steps(p, cfg, lanes, states, owns):
    tokens, used = lanes.tokens, lanes.used
    state = read.ReadState(
        inputs=jnp.concatenate([state.inputs for state in states], 1),
        segment=jnp.concatenate([state.segment for state in states]),
    )
    got, ahead, _ = decoder.read_ahead(p, cfg, tokens, jnp.zeros_like(tokens), state)
    own = jax.vmap(_added)(_stack(owns), got.key, got.value, tokens != 0, used)
    queries = _queries(p, cfg, _flat(got.hidden), _flat(got.gathered))
    queries = jax.tree.map(lambda a: a.reshape(*tokens.shape, *a.shape[1:]), queries)
    sums = jax.vmap(_go_on)(queries, lanes.held, lanes.totals)
    behind = lanes.followed, used, lanes.sharper, lanes.again
    rows = Row(got.hidden, queries, lanes.held, sums, *behind)
    stepped = Stepped(got.hidden, queries, sums, _answer(p, cfg, rows, own))
    each = range(len(owns))
    behind = [
        read.ReadState(inputs=ahead.inputs[:, i : i + 1], segment=ahead.segment[i : i + 1])
        for i in each
    ]
    return stepped, behind, [jax.tree.map(lambda a, i=i: a[i], own) for i in each]


def _stack(trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _flat(x: Float[Array, "L M *D"]) -> Float[Array, "LM *D"]:
    return x.reshape(-1, *x.shape[2:])


def _added(own, key, value, seen, at) -> Own:
    return Own(
        jax.lax.dynamic_update_slice(own.key, key, (at, 0)),
        jax.lax.dynamic_update_slice(own.value, value, (at, 0)),
        jax.lax.dynamic_update_slice(own.seen, seen, (at,)),
    )


def _queries(p, cfg, x, gathered) -> Queries:
    made = [answer.layer_query(layer, cfg, x, gathered) for layer in p.answer]
    query, own_bonus, decay = (jnp.concatenate(x, 1) for x in zip(*made, strict=True))
    return Queries(*quant.quantise_rows(query), own_bonus, decay)


def _scan(
    digits: Int8[Array, "M Q K"],
    scale: Float[Array, "M Q"],
    decay: Float[Array, "M Q"],
    keys: Int8[Array, "N K"],
    key_scales: Float[Array, " N"],
    valid: Bool[Array, " N"],
    since: UInt8[Array, " N"],
    total: Float[Array, "Q N"],
    edge: Edge,
) -> tuple[Float[Array, "Q N"], Float[Array, "Q blocks"]]:
    """`follow` for all M in one pass: a position's own scores, and the earlier ones shifted."""
    positions, heads, _ = digits.shape
    n, width = len(keys), len(edge.keys)

    def scores(keys, key_scales):
        flat = quant.int8_scores(digits.reshape(positions * heads, -1), keys)
        return flat.reshape(positions, heads, -1), key_scales.astype(jnp.float32)

    (score, scales), (before, edge_scales) = scores(keys, key_scales), scores(*edge[:2])
    out = jnp.zeros((heads, n))
    left = jnp.ones(heads)  # of a position's scores at the last one
    for m in reversed(range(positions)):
        back = positions - 1 - m
        factor = (scale[m] * left)[:, None]
        left = left * decay[m]
        now = score[m].astype(jnp.float32) * scales * factor
        first = before[m, :, width - back :].astype(jnp.float32) * edge_scales[width - back :]
        shifted = jnp.concatenate([first * factor, now[:, : n - back]], 1) if back else now
        out = out + jnp.where(since >= back, shifted, 0.0)
    earlier = jnp.concatenate([edge.total[:, width - positions :], total[:, : n - positions]], 1)
    out = out + jnp.where(since >= positions, earlier, 0.0) * left[:, None]
    best = jnp.where(valid, out, MASKED).reshape(heads, -1, BLOCK).max(-1)
    return out, best


def _survey_queries(p, cfg, tokens, segment):
    got, _, _ = decoder.read_chunk(p, cfg, tokens[None], segment[None], read.empty_state(cfg, 1))
    query, weight = survey.queries(p.survey, cfg, got.hidden[0], got.gathered[0])
    return *quant.quantise_rows(query), weight


def _survey_scan(digits, keys, key_scales, valid):
    product = quant.int8_scores(digits, keys).astype(jnp.float32) * key_scales.astype(jnp.float32)
    return jnp.where(valid, product, MASKED).reshape(len(digits), -1, BLOCK).max(-1)


def _go_on(queries, held, totals):
    keys = quant.dequantise_rows(held.keys, held.key_scales)
    query = quant.dequantise_rows(queries.digits, queries.scale)
    score = jnp.einsum("mqd,mqkd->mqk", query, keys)

    def advance(total, row):
        now, decay = row
        total = now + decay[:, None] * total
        return total, total

    sums = jax.lax.scan(advance, totals, (score, queries.decay))[1]
    return jnp.where(held.valid, sums, MASKED)


def _answer_one(p, cfg, x, queries, held, totals, own, followed, at, sharper, again) -> Answered:
    row = Row(x, queries, held, totals, followed, at, sharper, again)
    return jax.tree.map(lambda a: a[0], _answers(p, cfg, _stack([row]), (own,)))


def _answers(p, cfg, rows, owns) -> Answered:
    return _answer(p, cfg, rows, _stack(owns))


def _answer(p, cfg, rows, own) -> Answered:
    """M positions of each of L answers: everything has an axis of L in front."""
    queries, held = rows.queries, rows.held
    x, shape = _flat(rows.x), rows.x.shape[:2]
    query = quant.dequantise_rows(queries.digits, queries.scale)
    begins = own.seen & ~jnp.pad(own.seen[:, :-1], ((0, 0), (1, 0)))
    near = jnp.einsum("lmqk,lck->lmqc", query, own.key)
    joins = jnp.ones(shape, bool)
    near_totals, counts = jax.vmap(follow)(near, joins, begins, queries.decay, rows.followed)
    near = near_totals / counts[..., None] + queries.own_bonus[..., None]
    until = rows.at[:, None] + jnp.arange(shape[1])
    seen = own.seen[:, None] & (jnp.arange(own.seen.shape[1]) <= until[..., None]) & ~rows.again
    near = jnp.where(seen[:, :, None], near, MASKED)
    score = jnp.concatenate([rows.totals / counts[..., None], near], -1)
    score = _flat(score * rows.sharper[:, None, None, None])
    sharper = jnp.repeat(rows.sharper, shape[1])
    value = _flat(quant.dequantise_rows(held.values, held.value_scales))
    heads, k = cfg.recall_heads, rows.totals.shape[-1]
    certainty, weight = jnp.ones(len(x)), score
    for i, layer in enumerate(p.answer):
        mine = slice(i * heads, (i + 1) * heads)
        pointer = score[:, mine][:, answer.POINTER_HEAD]
        unseen = UNSEEN * jnp.exp(layer.log_scale[answer.POINTER_HEAD]) * sharper
        certainty = jnp.minimum(certainty, _certainty(pointer, unseen))
        null = answer.null_score(layer, cfg) * sharper[:, None]
        weight, nothing = weigh(score[:, mine], null)
        got = jnp.einsum("mhk,mhkv->mhv", weight[..., :k], value[:, mine])
        of_own = weight[..., k:].reshape(*shape, heads, -1)
        got = got + _flat(jnp.einsum("lmhc,lcv->lmhv", of_own, own.value))
        got = got + nothing[..., None] * layer.null_value
        x, _ = answer.layer_update(layer, cfg, x, got)
    pointer = weight[:, answer.POINTER_HEAD]
    flat = decoder.logits(p, x), pointer[:, :k], pointer[:, k:], certainty
    return Answered(*(a.reshape(*shape, *a.shape[1:]) for a in flat), Followed(near_totals, counts))


def _certainty(score: Float[Array, "M kC"], unseen: Float[Array, " M"]) -> Float[Array, " M"]:
    """Weight of the keys that were scored beside one as good as `unseen`."""
    weight, _ = weigh(score[:, None], unseen[:, None])
    return weight[:, 0].sum(-1)
