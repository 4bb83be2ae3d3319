# SPDX-License-Identifier: Apache-2.0
"""The training loss: next token at the supervised positions, and where to look.

A batch is one memory. Every supervised position recalls from the keys of all rows, its own row's up
to itself and the other rows' whole: those are the negatives, and their number, not the length of a
row, decides how well recall holds at length (docs/decisions/0002-negatives.md). The answer stack
and the logits are computed at supervised positions only.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from pollux.config import Config
from pollux.model import answer, decoder, read, survey


class Batch(NamedTuple):
    """B rows of T tokens and S supervised positions, counted through the flattened rows.

    Where there are pictures and sound among them, the last four are those of decoder.Media. Their
    tokens are never a target; what is supervised at them is read aloud: words just seen or heard.
    """

    tokens: Int[Array, "B T"]
    segment: Int[Array, "B T"]
    at: Int[Array, " S"]
    target: Int[Array, " S"]
    weight: Float[Array, " S"]  # 0 fills up
    look: Int[Array, "S 2"]  # recall flat positions [from, to); to = 0: anywhere, < 0: nothing
    question: Int[Array, "Q L"]  # flat positions of the tokens of Q questions; -1 fills up
    passage: Int[Array, "Q 2"]  # that each is about, [from, to); to = 0: none
    told: Int[Array, "S W"] | None = None  # flat positions not to be recalled; B * T fills up
    media_at: Int[Array, "B T"] | None = None
    patches: UInt8[Array, "P 32 32 3"] | None = None
    patch_place: Int[Array, "P 2"] | None = None
    mel: Float[Array, "A 12 64"] | None = None

    def shown(self, p: decoder.Decoder) -> decoder.Shown | None:
        if self.media_at is None:
            return None
        media = decoder.Media(self.media_at, self.patches, self.patch_place, self.mel)
        return decoder.show(p, media)

    def sensed(self) -> tuple[Bool[Array, " S"], Bool[Array, " S"], Bool[Array, " S"]]:
        """Positions at patches and sound; those of rows with pictures; of rows with sound alone."""
        if self.media_at is None:
            nothing = jnp.zeros(self.at.shape, bool)
            return nothing, nothing, nothing
        there = self.media_at >= 0
        patches = 0 if self.patches is None else len(self.patches)
        seen = (there & (self.media_at < patches)).any(1)
        row = self.at // self.tokens.shape[1]
        return there.reshape(-1)[self.at], seen[row], (there.any(1) & ~seen)[row]


class Measures(NamedTuple):
    loss: Float[Array, ""]
    text: Float[Array, ""]  # nats per token of running text
    answer: Float[Array, ""]  # nats per answer token
    right: Float[Array, ""]  # share of answer tokens that rank first
    found: Float[Array, ""]  # share of looks whose best key is right
    survey: Float[Array, ""]  # nats per question
    surveyed: Float[Array, ""]  # share of questions whose passage ranks first
    aloud: Float[Array, ""]  # nats per token read aloud
    seen: Float[Array, ""]  # share of answer tokens on pictures and film that rank first
    heard: Float[Array, ""]  # of those on recordings; of none, 0
    drawn: Float[Array, ""]  # nats per image code
    load: Float[Array, "layers E"]


def loss(
    p: decoder.Decoder,
    cfg: Config,
    batch: Batch,
    look_weight: float,
    text_weight: float,
    survey_weight: float,
    draw_weight: float,
) -> tuple[Float[Array, ""], Measures]:
    """Text positions weigh below 1, answer positions 1 or more: that tells them apart.

    Image codes are known by their ids. Many would do as well, so they have a loss of their own.
    """
    rows, length = batch.tokens.shape
    state = read.empty_state(cfg, rows)
    got, _, read_load = decoder.read_chunk(
        p, cfg, batch.tokens, batch.segment, state, batch.shown(p)
    )
    flat = jax.tree.map(lambda x: x.reshape(rows * length, -1), got)
    x, gathered = flat.hidden[batch.at], flat.gathered[batch.at]
    x, looked, found, load = _recalled(p, cfg, batch, x, gathered, flat)
    scores = decoder.logits(p, x)
    wanted = jnp.take_along_axis(scores, batch.target[:, None], -1)[:, 0]
    nll = jax.nn.logsumexp(scores, -1) - wanted
    aloud, seen, heard = batch.sensed()
    coded = batch.target >= cfg.vocab_size
    taught, text = (batch.weight >= 1) & ~coded, (batch.weight > 0) & (batch.weight < 1)
    of_codes = mean(nll, (batch.weight >= 1) & coded)
    asked = taught & ~aloud
    of_text, of_answer = mean(nll, text), mean(nll, batch.weight * asked)
    of_survey, first = survey.loss(
        p.survey,
        cfg,
        flat.hidden[batch.question],
        flat.gathered[batch.question],
        batch.question >= 0,
        got.key,
        (batch.segment == 0) & (batch.tokens != 0),
        batch.passage,
    )
    about = batch.passage[:, 1] > 0
    of_survey, surveyed = mean(of_survey, about), mean(first, about)
    total = mean(nll, batch.weight * taught) + text_weight * of_text + look_weight * looked
    total += survey_weight * of_survey + draw_weight * of_codes
    right = scores.argmax(-1) == batch.target
    return total, Measures(
        loss=total,
        text=of_text,
        answer=of_answer,
        right=mean(right, asked),
        found=found,
        survey=of_survey,
        surveyed=surveyed,
        aloud=mean(nll, taught & aloud),
        seen=mean(right, asked & seen),
        heard=mean(right, asked & heard),
        drawn=of_codes,
        load=jnp.concatenate([read_load, load]),
    )


def _recalled(
    p: decoder.Decoder,
    cfg: Config,
    batch: Batch,
    read_x: Float[Array, "S D"],
    gathered: Float[Array, "S D"],
    flat: decoder.Read,
) -> tuple[Float[Array, "S D"], Float[Array, ""], Float[Array, ""], Float[Array, "layers E"]]:
    """What the answer stack makes of what was read; nats a look; `found`; experts' load."""
    memory = _visible(batch, flat.key, flat.value)
    position = jnp.arange(len(flat.key))
    here = (position >= batch.look[:, :1]) & (position < batch.look[:, 1:])
    nowhere, looks = batch.look[:, 1] < 0, batch.look[:, 1] != 0
    x, load, nats, found = read_x, [], jnp.zeros(()), jnp.zeros(())
    for layer in p.answer:
        query = answer.layer_query(layer, cfg, read_x, gathered)
        recalled, weight, nothing = answer.recall(layer, cfg, query, memory)
        x, expert_load = answer.layer_update(layer, cfg, x, recalled)
        load.append(expert_load)
        pointer = weight[:, answer.POINTER_HEAD]
        null = nothing[:, answer.POINTER_HEAD]
        mass = jnp.where(nowhere, null, jnp.where(here, pointer, 0.0).sum(-1))
        nats += mean(-jnp.log(mass + 1e-9), looks)
        best = jnp.where(nowhere, null, jnp.where(here, pointer, 0.0).max(-1))
        found = mean(best >= jnp.maximum(pointer.max(-1), null), looks)
    return x, nats, found, jnp.stack(load)


def _visible(batch: Batch, key: Float[Array, "N K"], value: Float[Array, "N V"]) -> answer.Visible:
    """Documents of all rows, the own row's up to the position; questions and answers: the own only.

    As when a question is asked of a reading: nobody else's question is in the memory.
    """
    rows, length = batch.tokens.shape
    position, row = jnp.arange(rows * length), jnp.arange(rows * length) // length
    segment, at = batch.segment.reshape(-1), batch.at[:, None]
    before = (row == row[at]) & (position <= at)
    document = (segment == 0) & (before | (row != row[at]))
    own = (segment == segment[at]) & before & (segment > 0)
    if batch.told is not None:
        each = jnp.arange(len(at))[:, None]
        document = document.at[each, batch.told].set(False, mode="drop")
        own = own.at[each, batch.told].set(False, mode="drop")
    apart = segment + row * (segment.max() + 1)  # no row goes on in the next
    return answer.Visible(
        key=key,
        value=value,
        visible=(document | own) & (batch.tokens.reshape(-1) != 0),
        own=own,
        joins=answer.joins(batch.at, apart) & (segment[batch.at] > 0),
        begins=answer.begins(apart),
    )


def mean(
    x: Float[Array, " S"] | Bool[Array, " S"], weight: Float[Array, " S"] | Bool[Array, " S"]
) -> Float[Array, ""]:
    """Weighted; 0 where nothing weighs."""
    return (x * weight).sum() / jnp.maximum(weight.sum(), 1)
