# SPDX-License-Identifier: Apache-2.0
"""How the tokens of an answer are chosen, and where it stops."""

from dataclasses import dataclass

import numpy as np

from pollux.errors import InputError

FORBIDDEN = np.float32(-1e30)  # the logit of what may not come
STOPS = 16  # sequences at most
ALTERNATIVES = 20  # at most


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Temperature 0: the likeliest token; else the seed decides the answer.

    `top_k`: only so many of the likeliest tokens, 0: all. `top_p`: only the likeliest ones that
    together have this probability (Holtzman et al. 2020). `stop`: texts that end the answer, and
    are not in it. `alternatives`: how many tokens are told with their probability at each place.
    """

    max_tokens: int = 256
    temperature: float | int = 0.0
    seed: int = 0
    top_k: int = 0
    top_p: float | int = 1.0
    stop: tuple[str, ...] = ()
    alternatives: int = 0

    def __post_init__(self):
        if self.max_tokens < 1:
            raise InputError(f"max tokens must be 1 or more, not {self.max_tokens}")
        if not 0 <= self.temperature <= 10:
            raise InputError(f"temperature must be from 0 to 10, not {self.temperature}")
        if self.top_k < 0:
            raise InputError(f"top k must be 0 (all tokens) or more, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top p must be above 0 and at most 1, not {self.top_p}")
        if len(self.stop) > STOPS or not all(self.stop):
            raise InputError(f"give at most {STOPS} stop sequences, none of them empty")
        if not 0 <= self.alternatives <= ALTERNATIVES:
            raise InputError(f"alternatives must be 0 to {ALTERNATIVES}, not {self.alternatives}")


GREEDY = Sampling()


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A token and its log-probability under the model, whatever was left out in choosing."""

    token: int
    logprob: float
    alternatives: tuple[tuple[int, float], ...] = ()  # the likeliest tokens, best first

    @property
    def probability(self) -> float:
        return float(np.exp(self.logprob))


def logprobs(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def only(token: int, logits: np.ndarray) -> np.ndarray:
    """Logits of that token alone."""
    masked = np.full(len(logits), FORBIDDEN, np.float32)
    masked[token] = 0.0
    return masked


def choose(
    logits: np.ndarray,
    sampling: Sampling,
    rng: np.random.Generator,
    guided: np.ndarray | None = None,
) -> Chosen:
    """`guided`: logits to choose by instead; the log-probability told is that of the model."""
    logprob, by = logprobs(logits), logits if guided is None else guided
    if sampling.temperature == 0:
        token = int(by.argmax())
    else:
        token = int(rng.choice(len(by), p=_tempered(logprobs(by), sampling)))
    alternatives: tuple[tuple[int, float], ...] = ()
    if sampling.alternatives:
        likeliest = np.argsort(-logprob, kind="stable")[: sampling.alternatives]
        alternatives = tuple((int(i), float(logprob[i])) for i in likeliest)
    return Chosen(token=token, logprob=float(logprob[token]), alternatives=alternatives)


def _tempered(logprob: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Probabilities after temperature, then top k, then top p."""
    probability = np.exp((logprob - logprob.max()) / sampling.temperature)
    probability /= probability.sum()
    order = np.argsort(-probability, kind="stable")
    kept = order[: sampling.top_k or len(order)]
    total = np.cumsum(probability[kept]) / probability[kept].sum()
    kept = kept[: int(np.searchsorted(total, sampling.top_p - 1e-9)) + 1]
    out = np.zeros_like(probability)
    out[kept] = probability[kept] / probability[kept].sum()
    return out


def stopped(text: str, stop: tuple[str, ...]) -> int | None:
    """Where the first stop sequence in `text` begins, if there is one."""
    found = [at for at in (text.find(sequence) for sequence in stop) if at >= 0]
    return min(found, default=None)


def safe(text: str, stop: tuple[str, ...]) -> int:
    """How much of `text` can be shown: what is behind may be the beginning of a stop sequence."""
    for start in range(max(0, len(text) - max(map(len, stop), default=0)), len(text)):
        if any(sequence.startswith(text[start:]) for sequence in stop):
            return start
    return len(text)
