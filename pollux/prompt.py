# SPDX-License-Identifier: Apache-2.0
"""How parts, questions and answers become tokens.

The one renderer, for training, answering and evaluation:
`<part> name \\n text`, each part in a segment of its own, and
`<question> text <answer> text <end>`, the question and its answer in another.
"""

import numpy as np

from pollux.tokenizer import Tokenizer


def part_header(tokenizer: Tokenizer, name: str) -> np.ndarray:
    """The tokens before a part's text, int32."""
    line = tokenizer.encode(name.replace("\n", " ") + "\n")
    return np.concatenate([[tokenizer.control["<part>"]], line]).astype(np.int32)


def question(tokenizer: Tokenizer, text: str) -> np.ndarray:
    """The question up to where the answer begins, int32."""
    control = tokenizer.control
    ids = tokenizer.encode(text.strip())
    return np.concatenate([[control["<question>"]], ids, [control["<answer>"]]]).astype(np.int32)
