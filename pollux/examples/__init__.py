# SPDX-License-Identifier: Apache-2.0
"""A real book to ask, and a way to plant a fact in it. The README beside this names the source."""

import lzma
import re
from importlib.resources import files

from pollux.errors import InputError
from pollux.media.part import Part

_REACH = 4096  # characters each side of the wanted place in which its end is looked for
# Where a line may be planted, best first: all after a paragraph or sentence, then after any
# line (code, verse), then between words. "Mr.", "A." and “Go!” he said end no sentence.
_PLACES = (
    re.compile(
        r"\n(?=\r?\n)"
        r"|(?<!\b[A-Z])(?<!\b[A-Z][a-z])(?<!\bMrs)[.!?…]+[\"'”’»)\]]*"
        r"(?=\s)(?!\s+[a-z])(?:[ \t]*\r?\n)?"
        r"|[。！？]+[”’」』）]*(?:\r?\n)?"
    ),
    re.compile(r"\n"),
    re.compile(r"(?<=\S)(?=[ \t])"),
)


def war_and_peace() -> Part:
    """The whole novel, about 3.2 million characters."""
    packed = files(__name__).joinpath("war-and-peace.txt.xz").read_bytes()
    return Part(name="war-and-peace.txt", kind="text", text=lzma.decompress(packed).decode())


def plant(text: str, sentence: str, depth: float | int) -> str:
    """`text` with `sentence` as a line of its own where a sentence or paragraph ends, as near as
    can be to `depth` (0 the beginning, 1 the end). Nothing else changes. Raises InputError."""
    if not 0 <= depth <= 1:
        raise InputError(f"the depth is {depth}; give one between 0 (beginning) and 1 (end)")
    if not sentence.strip() or "\n" in sentence or "\r" in sentence:
        raise InputError("what is planted must be one line of text; give a sentence")
    first = text.find("\n")
    newline = "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"
    wanted = round(depth * len(text))
    place = min(_places(text, wanted), key=lambda place: abs(place - wanted))
    before, after = text[:place], text[place:]
    opening = newline if before and not before.endswith("\n") else ""
    return f"{before}{opening}{sentence}{newline}{after}"


def _places(text: str, wanted: int) -> list[int]:
    ends = [0, len(text)]
    low, high = max(wanted - _REACH, 0), wanted + _REACH
    for pattern in _PLACES:
        if found := [match.end() for match in pattern.finditer(text, low, high)]:
            return found + ends
    return ends
