# SPDX-License-Identifier: Apache-2.0
"""Tokens, counted by what they are of, and the limit on them."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from pollux.config import DRAWN_CODES
from pollux.engine.answer import question_tokens
from pollux.memory.manifest import PartSpan
from pollux.memory.reading import Reading
from pollux.serve import reply, wire
from pollux.serve.errors import invalid
from pollux.serve.hub import Hub
from pollux.serve.library import Piece

MODALITIES = {"image": "IMAGE", "audio": "AUDIO", "video": "VIDEO", "pdf": "DOCUMENT"}
HEADER = 512  # tokens: more than the name of a part has


def check_length(hub: Hub, pieces: Sequence[Piece], more: int) -> None:
    """ApiError when the pieces and `more` tokens exceed the context; nothing is ever cut."""
    most = hub.settings.context
    # A token has at least a byte, a character at most four: short texts need no counting.
    bounded = all(piece.path is None and piece.kind in ("text", "code") for piece in pieces)
    if bounded and more + sum(4 * piece.characters + HEADER for piece in pieces) <= most:
        return
    tokens = more
    for piece in pieces:
        tokens += hub.library.count(piece, most - tokens)
    if tokens > most:
        raise invalid(
            f"the input has {tokens:,} tokens, more than the {most:,} of this server; shorten it, "
            "or start the server with a larger --context",
            "contents",
        )


def count_question(hub: Hub, question: str) -> int:
    """Tokens of the question as it is asked; 0 for none, InputError for too many."""
    if not question.strip():
        return 0
    return len(question_tokens(hub.model, question))


def modality(part: PartSpan) -> str:
    return MODALITIES.get(part.kind, "TEXT")


def of_parts(readings: Iterable[Reading]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for reading in readings:
        for part in reading.parts:
            counted[modality(part)] += part.end - part.start
    return counted


def unread(hub: Hub, pieces: Iterable[Piece], check: Callable[[], None]) -> Counter[str]:
    """Tokens of pieces as they would be read; `check` is called meanwhile."""
    counted: Counter[str] = Counter()
    for piece in pieces:
        check()
        counted[MODALITIES.get(piece.kind, "TEXT")] += hub.library.count(piece, check=check)
    return counted


def drawn(parts: Iterable[wire.Part]) -> int:
    """Tokens of the pictures among them, with those that begin and end each."""
    return sum(DRAWN_CODES + 2 for part in parts if part.inline_data)


def of_answers(tokens: int, drawn: int) -> Counter[str]:
    return Counter({"TEXT": tokens - drawn, **({"IMAGE": drawn} if drawn else {})})


def details(counted: Counter[str]) -> list[reply.ModalityTokenCount]:
    return [
        reply.ModalityTokenCount(modality=name, token_count=number)
        for name, number in sorted(counted.items(), key=lambda one: -one[1])
    ]
