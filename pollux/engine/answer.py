# SPDX-License-Identifier: Apache-2.0
"""Answering a question from a reading, token by token, with where each token was read."""

import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pollux import prompt
from pollux.config import DRAWN_CODES
from pollux.engine import scan, several
from pollux.engine.continuation import SETTLED, Advance, Continuation, Recall, Told
from pollux.engine.drawing import END, Drawing, drawing, in_turn, parts
from pollux.engine.model import Loaded
from pollux.engine.sampling import (
    GREEDY,
    Chosen,
    Sampling,
    choose,
    logprobs,
    safe,
    stopped,
)
from pollux.engine.source import Look, Source, cited
from pollux.engine.survey import passages, survey
from pollux.errors import InputError, ReadingError
from pollux.interleaved import MEDIA
from pollux.memory.place import Place, place_of
from pollux.memory.reading import Reading
from pollux.tokenizer import Tokenizer

UNSURE = 0.35  # an answer with a token below this probability is called unsure (docs/spark.md)
QUESTION_TOKENS = 16_384
RUN = 64  # words that a place is compared by, at most

# Of the tokens said and the logits of the next one: the logits to choose from.
Guide = Callable[[Sequence[int], np.ndarray], np.ndarray]

# An answer in the making: yields what it needs, and is sent it; pieces of text; last, the Answer.
Work = Generator["Advance | Recall | str | Answer", Any, None]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was asked for, restated, and what the text says of it.

    `kind`: "answer"; "absent" (the text does not say it); "unsure", or "other" (no question for
    this model): then `sources` are the passages recalled, best first. `parts`: the text and, where
    the model drew, pictures among it; `text` is all of the text.
    """

    text: str
    kind: str
    sources: tuple[Source, ...]
    places: tuple[Place, ...]  # what the answer points at ("where", "when", "defined")
    probability: float  # of the least sure token of its text
    chosen: tuple[Chosen, ...]  # every token, the one that ends it included
    tokens: int
    question_tokens: int
    finish: str  # "end", "stop" (a stop sequence) or "max_tokens"
    seconds: float
    parts: tuple[str | Drawing, ...] = ()


@dataclass
class Said:
    """The answer so far."""

    tokens: list[int] = field(default_factory=list)
    chosen: list[Chosen] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    recalled: list[int] = field(default_factory=list)  # where in the reading; -1 for elsewhere
    places: dict[int, Place] = field(default_factory=dict)  # of the pointers among the tokens
    drawn: list[tuple[int, Drawing]] = field(default_factory=list)  # after so much text
    cut: int | None = None  # characters before a stop sequence
    shown: str = ""

    def told(self, tokenizer: Tokenizer, ahead: Sequence[int]) -> list[Told]:
        """For each of the tokens `ahead`, the first of which is the last one said: see prompt."""
        places, item = [*self.recalled, *[-1] * len(ahead)], int(tokenizer.encode("-")[0])
        told = [
            prompt.told([*self.tokens, *ahead[1:i]], places, tokenizer.newline, item)
            for i in range(1, len(ahead) + 1)
        ]
        return [Told([places[i] for i in said], said) for said in told]

    def again(self, newline: int) -> int | None:
        """Where the last line begins, if so far an earlier one begins the same."""
        starts = [0, *(i for i, token in enumerate(self.tokens, 1) if token == newline)]
        start = starts.pop()
        line = self.tokens[start:]
        same = (self.tokens[at : at + len(line)] == line for at in starts)
        return start if line and any(same) else None

    def end(self, count: int) -> None:
        """Drops all but so many tokens; the one after them counts as the end."""
        del self.tokens[count:], self.recalled[count:], self.chosen[count + 1 :]
        del self.looks[count + 1 :]

    def copied(self, reading: Reading, media: int) -> list[Look]:
        """Of each look only the positions that hold what was said; of a pointer's, all.

        Patches and sound, whose id is `media`, may hold anything.
        """
        copies = []
        for i, (token, (positions, weights)) in enumerate(
            zip(self.tokens, self.looks, strict=False)
        ):
            same = np.isin(reading.take(positions).tokens, (token, media))
            copies.append((positions, np.where(same | (i in self.places), weights, 0.0)))
        return copies


class Respondent:
    """Answers questions from one reading; opening the keys for scanning is done once."""

    def __init__(self, model: Loaded, reading: Reading, settled: float = SETTLED):
        """`settled`: when not to scan (engine/continuation.py); above 1, every position does."""
        if reading.weights_fingerprint != model.fingerprint:
            raise ReadingError(
                f"the reading was made with other weights ({reading.weights_fingerprint}, "
                f"the model's is {model.fingerprint}): read the files again"
            )
        self.model, self.reading, self.settled = model, reading, settled
        self.stretches = scan.stretches(reading)

    def stream(
        self, question: str, sampling: Sampling = GREEDY, guide: Guide | None = None
    ) -> Iterator[str | Answer]:
        """Pieces of text as they come, then the Answer."""
        work, given = self.work(question, sampling, guide), None
        while (item := _next(work, given)) is not None:
            given = None
            if isinstance(item, Advance):
                given = item.made.advance(item.tokens)
            elif isinstance(item, Recall):
                given = item.made.recall(item.index)
            else:
                yield item

    def work(self, question: str, sampling: Sampling = GREEDY, guide: Guide | None = None) -> Work:
        """The same, with what the model is to do left to whoever asks (engine/batch.py)."""
        asked = question_tokens(self.model, question)
        if guide is None and len(each := several.questions(question)) > 1:
            return self._each(each, asked, sampling)
        return self._work(asked, sampling, guide)

    def _each(self, questions: list[str], asked: np.ndarray, sampling: Sampling) -> Work:
        """Questions answered after one another, a line each; `asked`: them all as one.

        That is asked where the first gets no answer.
        """
        answers: list[Answer] = []
        left = sampling.max_tokens
        for question in questions:
            one = replace(sampling, max_tokens=left)
            work, begun = self._work(question_tokens(self.model, question), one, None), False
            item = next(work)
            while not isinstance(item, Answer):
                if isinstance(item, str) and answers and not begun:
                    yield "\n"
                    begun = True
                item = work.send((yield item))
            if not item.text and not answers:
                yield from self._work(asked, sampling, None)
                return
            if item.text:
                answers.append(item)
            left -= item.tokens
            if item.finish != "end" or left < 1:
                break
        yield together(answers, len(asked))

    def _work(self, asked: np.ndarray, sampling: Sampling, guide: Guide | None) -> Work:
        began, said = time.monotonic(), Said()
        yield from self._generate(asked, sampling, said, guide)
        answer = self._answer(said, asked, began)
        rest = answer.text.removeprefix(said.shown)
        if answer.kind != "other" and answer.text.startswith(said.shown) and rest:
            yield rest
        yield answer

    def ask(self, question: str, sampling: Sampling = GREEDY) -> Answer:
        *_, answer = self.stream(question, sampling)
        assert isinstance(answer, Answer)
        return answer

    def _generate(
        self, asked: np.ndarray, sampling: Sampling, said: Said, guide: Guide | None
    ) -> Work:
        """Appends each token to `said`, control tokens included, `<end>` not."""
        control, newline = self.model.tokenizer.control, self.model.tokenizer.newline
        rng = np.random.default_rng(sampling.seed)
        made = Continuation(self.model, self.reading, self.stretches, asked, sampling.max_tokens)
        chunk = [int(asked[-1])]
        while True:
            made.told = said.told(self.model.tokenizer, chunk)
            for index, guessed in enumerate((yield Advance(made, chunk))):
                ends = 0.0 if guide else np.exp(logprobs(guessed.logits)[control["<end>"]])
                settled = max(guessed.certainty, ends) >= self.settled
                position = guessed if settled else (yield Recall(made, index))
                guided = guide(said.tokens, position.logits) if guide else None
                if self.model.hand is not None:
                    guided = in_turn(
                        self.model, said.tokens, position.logits if guided is None else guided
                    )
                said.chosen.append(choose(position.logits, sampling, rng, guided))
                token = said.chosen[-1].token
                said.looks.append(position.look)
                if token == control["<end>"]:
                    return
                if token == control["<absent>"] and (start := said.again(newline)) is not None:
                    said.end(start - 1)  # nothing more of the same
                    return
                if token in (control["<place>"], control["<time>"]):
                    if settled:  # for the token; which of many places it is, is not
                        position, settled = (yield Recall(made, index)), False
                    at = pointed_at(self.reading, said.tokens, position.look)
                    said.looks[-1] = np.array([at]), np.ones(1, np.float32)
                    said.places[len(said.tokens)] = self._place_before(at)
                said.recalled.append(made.origin(position, token))
                said.tokens.append(token)
                if token == control[END] and self.model.hand is not None:
                    self._draw(said)
                if piece := self._piece(said, sampling.stop):
                    yield piece
                enough = len(said.tokens) >= sampling.max_tokens or said.cut is not None
                if enough or token in _stops(control):
                    return
                if not settled or chunk[index + 1 : index + 2] != [token]:
                    made.keep(index + 1)
                    guesses = made.guess(position, token)
                    if newline in guesses:  # what a new line may recall depends on those before
                        guesses = guesses[: guesses.index(newline) + 1]
                    chunk = [token, *guesses]
                    break

    def _piece(self, said: Said, stop: tuple[str, ...]) -> str:
        """What can be shown and is not yet; notes where a stop sequence begins."""
        if said.again(self.model.tokenizer.newline) is not None:  # it may be dropped
            return ""
        text = self._render(said)
        said.cut = stopped(text, stop)
        text = text[: safe(text, stop)]
        if said.cut is not None or text.endswith("\ufffd") or not text.startswith(said.shown):
            return ""
        if text == "the" or text.endswith(("\nthe", "\n ")):  # what follows changes it
            return ""
        piece, said.shown = text[len(said.shown) :], text
        return piece

    def _draw(self, said: Said) -> None:
        """Notes the picture that has just ended."""
        codes = said.tokens[-DRAWN_CODES - 1 : -1]
        said.drawn.append((len(self._render(said)), drawing(self.model, codes)))

    def _place_before(self, at: int) -> Place:
        """Of the last of the words that `at` follows."""
        last_word = max(at - 1, self.reading.part_of(at).start)
        return place_of(self.reading, self.model.tokenizer, last_word)

    def _render(self, said: Said) -> str:
        """Text of the tokens; a pointer is written as the place it points at."""
        tokenizer, out, run = self.model.tokenizer, "", []
        for i, token in enumerate(said.tokens):
            if i in said.places:
                place = said.places[i]
                timed = token == tokenizer.control["<time>"] and place.time and not place.medium
                out += tokenizer.decode(run) + (
                    f" — {place.time}, {place}" if timed else f" — {place}"
                )
                run = []
            else:
                run.append(token)
        text = out + tokenizer.decode(run)
        if text.startswith(" the "):  # a sentence; a quotation begins without a space
            text = "T" + text[2:]
        text = text.replace("\n the ", "\nThe ")  # of several facts each has a line
        return re.sub(r"\n (?=\S)", "\n", text.lstrip())[: said.cut]

    def _answer(self, said: Said, asked: np.ndarray, began: float) -> Answer:
        control = self.model.tokenizer.control
        text, kind = self._render(said), "answer"
        least = min(chosen.probability for chosen in self._of_text(said))
        if control["<other>"] in said.tokens:
            text, kind = "", "other"
        elif control["<absent>"] in said.tokens:
            text, kind = not_there(text), "absent"
        elif least < UNSURE and not said.drawn:
            kind = "unsure"
        if kind in ("answer", "absent"):
            looks = said.copied(self.reading, control[MEDIA]) if kind == "answer" else []
            sources = cited(self.reading, self.model.tokenizer, looks)
        else:
            sources = passages(survey(self.model, self.reading, self.stretches, asked))
        ended = len(said.chosen) > len(said.tokens) or said.tokens[-1] in _stops(control)
        finish = "end" if ended else "max_tokens" if said.cut is None else "stop"
        return Answer(
            text=text,
            kind=kind,
            sources=sources,
            places=tuple(said.places.values()),
            probability=least,
            chosen=tuple(said.chosen),
            tokens=len(said.tokens),
            question_tokens=len(asked),
            finish=finish,
            seconds=time.monotonic() - began,
            parts=parts(text, said.drawn),
        )

    def _of_text(self, said: Said) -> list[Chosen]:
        """Not those of pictures: of codes many would do as well, and what ends one has to come."""
        size, end = self.model.config.vocab_size, self.model.tokenizer.control[END]
        if self.model.hand is None:
            return said.chosen
        return [one for one in said.chosen if one.token < size and one.token != end]


def together(answers: Sequence[Answer], question_tokens: int) -> Answer:
    """One answer of several lines; as sure as the least sure of them."""
    text, kinds = "\n".join(one.text for one in answers), {one.kind for one in answers}
    return Answer(
        text=text,
        kind="unsure" if "unsure" in kinds else "answer" if "answer" in kinds else "absent",
        sources=tuple(source for one in answers for source in one.sources),
        places=tuple(place for one in answers for place in one.places),
        probability=min(one.probability for one in answers),
        chosen=tuple(chosen for one in answers for chosen in one.chosen),
        tokens=sum(one.tokens for one in answers),
        question_tokens=question_tokens,
        finish=answers[-1].finish,
        seconds=sum(one.seconds for one in answers),
        parts=parts(text, ()),
    )


def pointed_at(reading: Reading, words: Sequence[int], look: Look) -> int:
    """Of the positions recalled the one that most of `words`, from the last back, stand before.

    The heaviest where several have as many, and where it is in a picture, in sound or film: there
    nothing can be compared. A definition and a call differ in one word, which the last words
    outweigh in recall; here it is compared.
    """
    positions, weights = (x[look[1] > 0] for x in look)
    heaviest = int(positions[weights.argmax()])
    part = reading.part_of(heaviest)
    if not part.is_text and part.kind != "pdf":
        return heaviest
    starts = np.array([reading.part_of(int(at)).start for at in positions])
    said = np.array(words[::-1][:RUN])
    before = positions[:, None] - 1 - np.arange(len(said))
    tokens = reading.take(np.maximum(before, 0).ravel()).tokens.reshape(before.shape)
    same = (tokens == said) & (before >= starts[:, None])
    run = np.cumprod(same, 1).sum(1)
    return int(positions[np.lexsort((weights, run))[-1]])


def _next(work: Work, given: Any) -> Advance | Recall | str | Answer | None:
    """The next item of `work`, which is sent what it needed; None at its end."""
    try:
        return work.send(given)
    except StopIteration:
        return None


def _stops(control: dict[str, int]) -> tuple[int, ...]:
    """Tokens after which nothing can follow but the end."""
    return control["<absent>"], control["<other>"]


def not_there(restated: str) -> str:
    """The answer, which goes on from what was restated, when the text does not have it."""
    if any("\u4e00" <= c <= "\u9fff" for c in restated):
        return restated + "——文中没有。"
    return restated + " — not in the text."


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
