# SPDX-License-Identifier: Apache-2.0
"""Text as other printers have it: letters of other languages, typographic quotation marks."""

import re
from collections import Counter

import numpy as np

ACCENTED = {
    **{"a": "áàâäåã", "e": "éèêë", "i": "íîïì", "o": "óôöòøœ", "u": "úùûü", "y": "ýÿ"},
    **{"c": "ç", "n": "ñ", "s": "š", "z": "ž"},
}


def accented(rng: np.random.Generator, text: str) -> str:
    """Letters of other languages in some names and words, the same ones each time."""
    names = sorted(set(re.findall(r"\b[A-Z][a-z]{3,}\b", text)))
    rare = [word for word, n in Counter(re.findall(r"\b[a-z]{5,}\b", text)).items() if n < 3]
    foreign = [name for name in names if rng.random() < 0.5]
    foreign += [word for word in rare if rng.random() < 0.1]
    for word in foreign:
        places = [i for i, c in enumerate(word) if c in ACCENTED]
        other = list(word)
        for at in rng.permutation(places)[: 1 + (rng.random() < 0.2)].astype(int):
            other[at] = str(rng.choice(list(ACCENTED[word[at]])))
        text = re.sub(rf"\b{word}\b", "".join(other), text)
    return text


def typeset(text: str) -> str:
    """Straight quotation marks and apostrophes as printed books have them."""
    text = re.sub(r'(?<![^\s(\[—-])"', "“", text).replace('"', "”")
    return re.sub(r"(?<![^\s(\[“—-])'", "‘", text).replace("'", "’")
