# SPDX-License-Identifier: Apache-2.0
"""Answering a question from a reading, token by token, with where each token was read."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np

from pollux import prompt
from pollux.config import BLOCK
from pollux.engine import scan
from pollux.engine.model import Loaded, Own
from pollux.engine.source import Look, Source, cited, passages
from pollux.errors import InputError
from pollux.memory.place import Place, place_of
from pollux.memory.reading import Reading
from pollux.model import decoder
from pollux.model.answer import POINTER_HEAD

UNSURE = 0.35  # an answer with a token below this probability is called unsure (docs/spark.md)
QUESTION_TOKENS = 16_384


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are chosen. Temperature 0: the likeliest; else the seed decides the answer."""

    max_tokens: int = 256
    temperature: float | int = 0.0
    seed: int = 0

    def __post_init__(self):
        if self.max_tokens < 1:
            raise InputError(f"max tokens must be 1 or more, not {self.max_tokens}")
        if not 0 <= self.temperature <= 10:
            raise InputError(f"temperature must be from 0 to 10, not {self.temperature}")


GREEDY = Sampling()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was asked for, restated, and what the text says of it.

    `kind`: "answer"; "absent" (the text does not say it); "unsure", or "other" (no question for
    this model): then `sources` are the passages recalled, best first.
    """

    text: str
    kind: str
    sources: tuple[Source, ...]
    places: tuple[Place, ...]  # what the answer points at ("where", "when", "defined")
    probability: float  # of the least sure token
    tokens: int
    question_tokens: int
    finish: str  # "end" or "max_tokens"
    seconds: float


@dataclass
class Said:
    """The answer so far."""

    tokens: list[int] = field(default_factory=list)
    probability: list[float] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    places: dict[int, Place] = field(default_factory=dict)  # of the pointers among the tokens

    def copied(self, reading: Reading) -> list[Look]:
        """Of each look only the positions that hold what was said; of a pointer's, all."""
        copies = []
        for i, (token, (positions, weights)) in enumerate(
            zip(self.tokens, self.looks, strict=False)
        ):
            same = reading.take(positions).tokens == token
            copies.append((positions, np.where(same | (i in self.places), weights, 0.0)))
        return copies


class Respondent:
    """Answers questions from one reading; opening the keys for scanning is done once."""

    def __init__(self, model: Loaded, reading: Reading):
        self.model, self.reading = model, reading
        self.stretches = scan.scannables(reading)
        self.sharper = decoder.sharpness(model.config, reading.num_valid)

    def stream(self, question: str, sampling: Sampling = GREEDY) -> Iterator[str | Answer]:
        """Pieces of text as they come, then the Answer."""
        began = time.monotonic()
        asked = question_tokens(self.model, question)
        said, shown = Said(), ""
        for _ in self._generate(asked, sampling, said):
            text = self._render(said)
            if not text.endswith("\ufffd") and text.startswith(shown):
                if piece := text[len(shown) :]:
                    yield piece
                shown = text
        answer = self._answer(said, len(asked), began)
        if answer.kind != "other" and answer.text.startswith(shown) and answer.text != shown:
            yield answer.text[len(shown) :]
        yield answer

    def ask(self, question: str, sampling: Sampling = GREEDY) -> Answer:
        *_, answer = self.stream(question, sampling)
        assert isinstance(answer, Answer)
        return answer

    def _generate(self, asked: np.ndarray, sampling: Sampling, said: Said) -> Iterator[int]:
        """Appends to `said` and yields each token; control tokens included, `<end>` not."""
        control = self.model.tokenizer.control
        rng = np.random.default_rng(sampling.seed)
        x, gathered, state, own, used = self._begin(asked, sampling.max_tokens)
        while True:
            logits, positions, weights = self._position(x, gathered, own)
            token, probability = choose(logits, sampling.temperature, rng)
            said.probability.append(probability)
            said.looks.append((positions, weights))
            if token == control["<end>"]:
                return
            if token in (control["<place>"], control["<time>"]):
                at = int(positions[weights.argmax()])  # what follows the words it points at
                last_word = max(at - 1, self.reading.part_of(at).start)
                place = place_of(self.reading, self.model.tokenizer, last_word)
                said.places[len(said.tokens)] = place
            said.tokens.append(token)
            yield token
            if len(said.tokens) >= sampling.max_tokens or token in _stops(control):
                return
            step = jnp.array([token], jnp.int32)
            x, gathered, state, own = self.model.read_own(
                step, jnp.zeros_like(step), state, own, used
            )
            used += 1

    def _begin(self, asked: np.ndarray, max_tokens: int):
        """Reads the question, padded in front to whole blocks; what is in front is never seen."""
        cfg = self.model.config
        size = max(BLOCK, 1 << (len(asked) - 1).bit_length())
        capacity = size + max(256, 1 << (max_tokens - 1).bit_length())
        own = Own(
            jnp.zeros((capacity, cfg.key_dim)),
            jnp.zeros((capacity, cfg.value_dim)),
            jnp.zeros(capacity, bool),
        )
        tokens = np.pad(asked, (size - len(asked), 0)).astype(np.int32)
        segment = np.where(np.arange(size) < size - len(asked), -1, 0).astype(np.int32)
        state = self.model.empty_state()
        return *self.model.read_own(tokens, segment, state, own, 0), size

    def _position(self, x, gathered, own: Own) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logits of the next token, and what the pointer head of the last layer recalled."""
        hits, weight = None, None
        for layer in self.model.weights.answer:
            query, digits, scale = self.model.query(layer, x, gathered, self.sharper)
            hits = scan.recall(self.model, self.stretches, digits, scale)
            recalled = scan.gather(self.reading, hits)
            x, weight = self.model.update(layer, x, query, recalled, own, self.sharper)
        assert hits is not None and weight is not None
        logits = np.asarray(self.model.logits(x))
        return logits, hits.position[POINTER_HEAD], np.asarray(weight)[POINTER_HEAD]

    def _render(self, said: Said) -> str:
        """Text of the tokens; a pointer is written as the place it points at."""
        tokenizer, out, run = self.model.tokenizer, "", []
        for i, token in enumerate(said.tokens):
            if i in said.places:
                place = said.places[i]
                timed = token == tokenizer.control["<time>"] and place.time
                out += tokenizer.decode(run) + (
                    f" — {place.time}, {place}" if timed else f" — {place}"
                )
                run = []
            else:
                run.append(token)
        return (out + tokenizer.decode(run)).lstrip()

    def _answer(self, said: Said, asked: int, began: float) -> Answer:
        control = self.model.tokenizer.control
        text, kind = self._render(said), "answer"
        least = min(said.probability)
        if control["<other>"] in said.tokens:
            text, kind = "", "other"
        elif control["<absent>"] in said.tokens:
            text, kind = not_there(text), "absent"
        elif least < UNSURE:
            kind = "unsure"
        if kind in ("answer", "absent"):
            looks = said.copied(self.reading) if kind == "answer" else []
            sources = cited(self.reading, self.model.tokenizer, looks)
        else:
            sources = passages(self.reading, self.model.tokenizer, said.looks)
        ended = len(said.probability) > len(said.tokens) or said.tokens[-1] in _stops(control)
        return Answer(
            text=text,
            kind=kind,
            sources=sources,
            places=tuple(said.places.values()),
            probability=least,
            tokens=len(said.tokens),
            question_tokens=asked,
            finish="end" if ended else "max_tokens",
            seconds=time.monotonic() - began,
        )


def _stops(control: dict[str, int]) -> tuple[int, ...]:
    """Tokens after which nothing can follow but the end."""
    return control["<absent>"], control["<other>"]


def not_there(restated: str) -> str:
    """The answer that goes on from what was restated when the text does not have it."""
    if restated.endswith("是"):
        return restated + "……文中没有提到。"
    if any("\u4e00" <= c <= "\u9fff" for c in restated):
        return restated + "——文中没有。"
    return restated + (" not in the text." if restated.endswith(" is") else " — not in the text.")


def question_tokens(model: Loaded, question: str) -> np.ndarray:
    """The question as the model sees it; InputError when it is empty or too long."""
    if not question.strip():
        raise InputError(
            "the question is empty; ask something, as in -q 'What is the secret word?'"
        )
    ids = prompt.question(model.tokenizer, question)
    if len(ids) > QUESTION_TOKENS:
        raise InputError(
            f"the question has {len(ids):,} tokens, more than {QUESTION_TOKENS:,}; "
            "give long texts as files and ask about them"
        )
    return ids


def choose(logits: np.ndarray, temperature: float, rng: np.random.Generator) -> tuple[int, float]:
    """A token and its probability under the model."""
    shifted = logits.astype(np.float64) - logits.max()
    probability = np.exp(shifted) / np.exp(shifted).sum()
    if temperature == 0:
        token = int(logits.argmax())
    else:
        tempered = np.exp(shifted / temperature)
        token = int(rng.choice(len(logits), p=tempered / tempered.sum()))
    return token, float(probability[token])
