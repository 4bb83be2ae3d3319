# SPDX-License-Identifier: Apache-2.0
"""How parts, questions and answers become tokens.

The one renderer, for training, answering and evaluation:
`<part> name \\n text`, each part in a segment of its own, and
`<question> text <answer> text <end>`, the question and its answer in another.
"""

from collections.abc import Sequence

import numpy as np

from pollux.tokenizer import Tokenizer

ON = "written on "  # before a picture's name, where what is written on it is written down,
BREAK = " / "  # and between its texts
PICTURE, SHOWS = "the picture ", " shows "  # around its name, before that of a thing on it


def part_header(tokenizer: Tokenizer, name: str) -> np.ndarray:
    """The tokens before a part's text, int32."""
    line = tokenizer.encode(name.replace("\n", " ") + "\n")
    return np.concatenate([[tokenizer.control["<part>"]], line]).astype(np.int32)


def question(tokenizer: Tokenizer, text: str) -> np.ndarray:
    """The question up to where the answer begins, int32."""
    control = tokenizer.control
    ids = tokenizer.encode(text.strip())
    return np.concatenate([[control["<question>"]], ids, [control["<answer>"]]]).astype(np.int32)


def told(tokens: Sequence[int], places: Sequence[int], newline: int, item: int) -> list[int]:
    """Tokens with which earlier lines went on after the same words, read in the document.

    There nothing new is to be had: what else the text says of the same is elsewhere. `places[i]`:
    where in the reading token i stands, below 0 where it does not. Lines that begin with `item`
    are looked up each by itself.
    """
    if newline not in tokens:
        return []
    starts = [0, *(i for i, token in enumerate(tokens, 1) if token == newline)]
    line = list(tokens[starts.pop() :])
    if not line or line[0] == item:
        return []
    same = [at + len(line) for at in starts if list(tokens[at : at + len(line)]) == line]
    return [i for i in same if places[i] >= 0]
