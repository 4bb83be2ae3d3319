# SPDX-License-Identifier: Apache-2.0
"""One piece of input. Its name is a line in the reading and what an answer cites."""

import re
from dataclasses import dataclass
from typing import Literal

from pollux.media.content import Content

Kind = Literal["text", "code", "pdf", "image", "audio", "video"]
TEXT: frozenset[Kind] = frozenset(("text", "code", "pdf"))  # what has text to read
MEDIA: frozenset[Kind] = frozenset(("pdf", "image", "audio", "video"))  # what is decoded
KINDS = TEXT | MEDIA

# Lone surrogates stand for the bytes of a file name that is no UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def one_line(name: str) -> str:
    """`name` with U+FFFD for all that would break its line or cannot be written as UTF-8."""
    return _UNPRINTABLE.sub("\ufffd", name)


@dataclass(frozen=True, kw_only=True)
class Part:
    """`note` says what was changed on the way from the file to `text`, for the user to see.

    The text of a PDF is that of its pages, with a form feed before each but the first. Images,
    sound and video have none; what they hold comes piece by piece (`stream.pieces`).
    """

    name: str
    kind: Kind
    text: str = ""
    note: str = ""
    content: Content | None = None

    def __post_init__(self) -> None:
        if not self.name or self.name != one_line(self.name):
            raise ValueError(f"a part needs a name on one line, not {self.name!r}")
        if self.kind not in TEXT and (self.text or not self.content):
            raise ValueError(f"{self.name}: {self.kind} comes from its content and has no text")
