# SPDX-License-Identifier: Apache-2.0
"""Which tools what was said calls for, and with which words (model/caller.py)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import jax
import numpy as np

from pollux import calls, checkpoint
from pollux.calls import Parameter, Question, Tool, Turn
from pollux.model import caller

AT_ONCE = 32  # tools that are asked about together
WORDS, PARAMETERS = 64, 4  # what questions are filled up to multiples of
ENDS = 12  # places that an argument may begin or end at, and are looked at
CHOICES = 8  # of an argument
LONGEST = 64  # pieces of an argument

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`fits`: by how many nats a call is likelier than none.

    `arguments`: of each parameter the words it may be, the likeliest first; None: nobody said it.
    """

    fits: float
    arguments: dict[str, tuple[str | None, ...]]


@cache
def shipped() -> caller.Caller:
    """The caller in the package. WeightsError where it is damaged."""
    path = Path(str(files("pollux") / "weights" / "caller.safetensors"))
    return checkpoint.load_caller(path)[0]


_judge = jax.jit(caller.judge)


def verdicts(asked: Sequence[tuple[Tool, Sequence[Turn]]]) -> list[Verdict]:
    """Of each tool after those turns."""
    found: list[Verdict] = []
    for start in range(0, len(asked), AT_ONCE):
        some = [(tool, calls.question(tool, turns)) for tool, turns in asked[start:][:AT_ONCE]]
        found += _verdicts(some)
    return found


def _verdicts(some: Sequence[tuple[Tool, Question]]) -> list[Verdict]:
    words = _filled(max(len(question.pieces) for _, question in some), WORDS)
    parameters = _filled(max(len(tool.parameters) for tool, _ in some), PARAMETERS)
    rows = 1 << (len(some) - 1).bit_length()  # few shapes, or each would be compiled anew
    given = calls.asked([*some, *[some[0]] * (rows - len(some))], words, parameters)
    judged = jax.tree.map(np.asarray, _judge(shipped(), given))
    return [
        Verdict(
            fits=float(judged.fits[row]),
            arguments=_arguments(tool, question, judged.first[row], judged.last[row]),
        )
        for row, (tool, question) in enumerate(some)
    ]


def _arguments(
    tool: Tool, question: Question, first: np.ndarray, last: np.ndarray
) -> dict[str, tuple[str | None, ...]]:
    """Words that somebody said are one argument's: that which is surest of them has them."""
    ranked = {
        one.name: _ranked(question, number + 1, one, first[number], last[number])
        for number, one in enumerate(tool.parameters)
    }
    taken: list[Span] = []
    for name in sorted(ranked, key=lambda name: -ranked[name][0][0]):
        free = [one for one in ranked[name] if one[1] is None or not _overlaps(one[1], taken)]
        ranked[name] = free
        taken += [free[0][1]] if free[0][1] else []
    return {
        name: tuple(dict.fromkeys(span and question[span] for _, span in ranked[name]))[:CHOICES]
        for name in ranked
    }


def _overlaps(span: Span, others: Sequence[Span]) -> bool:
    return any(span[0] <= last and first <= span[1] for first, last in others)


def _filled(number: int, step: int) -> int:
    return max(-(-number // step), 1) * step


def _ranked(
    question: Question, line: int, parameter: Parameter, first: np.ndarray, last: np.ndarray
) -> list[tuple[float, Span | None]]:
    """Spans by their nats, the best first; None, nobody said it, is among them."""
    size = len(question.pieces)
    begins, ends = _normed(first[:size]), _normed(last[:size])
    head = next(at for at, piece in enumerate(question.pieces) if piece.line == line)
    spans = calls.values(question, line) if parameter.listed else _spans(question, begins, ends)
    scored: list[tuple[float, Span | None]] = [(float(begins[head] + ends[head]), None)]
    scored += [(float(begins[i] + ends[j]), (i, j)) for i, j in spans]
    return sorted(scored, key=lambda one: -one[0])


def _normed(logits: np.ndarray) -> np.ndarray:
    """As logarithms of probabilities."""
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def _spans(question: Question, begins: np.ndarray, ends: np.ndarray) -> list[Span]:
    """Of the likeliest ends, those that are of one turn."""
    pieces, size = question.pieces, len(question.pieces)
    said = [at for at in range(size) if pieces[at].role in calls.SAID]
    starts = sorted(said, key=lambda at: -begins[at])[:ENDS]
    stops = sorted(said, key=lambda at: -ends[at])[:ENDS]
    return [
        (i, j)
        for i in starts
        for j in stops
        if i <= j < i + LONGEST and pieces[i].line == pieces[j].line
    ]
