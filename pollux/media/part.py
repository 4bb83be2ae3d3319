# SPDX-License-Identifier: Apache-2.0
"""One piece of input. Its name is a line in the reading and what an answer cites."""

import re
from dataclasses import dataclass
from typing import Literal

# Lone surrogates stand for the bytes of a file name that is no UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def one_line(name: str) -> str:
    """`name` with U+FFFD for all that would break its line or cannot be written as UTF-8."""
    return _UNPRINTABLE.sub("\ufffd", name)


@dataclass(frozen=True, kw_only=True)
class Part:
    """`note` says what was changed on the way from the file to `text`, for the user to see."""

    name: str
    kind: Literal["text", "code"]
    text: str
    note: str = ""

    def __post_init__(self) -> None:
        if not self.name or self.name != one_line(self.name):
            raise ValueError(f"a part needs a name on one line, not {self.name!r}")
