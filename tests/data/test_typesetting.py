# SPDX-License-Identifier: Apache-2.0
"""Letters and quotation marks of other printers change nothing else of a text."""

import unicodedata

import numpy as np

from pollux.data import typesetting


def test_typeset():
    straight = """He said, "Don't go." 'Why?' she--"well," and ("no")."""
    assert typesetting.typeset(straight) == "He said, “Don’t go.” ‘Why?’ she--“well,” and (“no”)."


def test_accents():
    text = "Helene and Anatole saw a caleche; Helene smiled at the coachman. " * 2
    made = [typesetting.accented(np.random.default_rng(seed), text) for seed in range(20)]
    assert len(set(made)) > 10
    for one in made:
        words = one.split()
        assert words[0] == words[6], "a name is the same each time"
        bare = unicodedata.normalize("NFD", one.replace("œ", "o").replace("ø", "o"))
        assert "".join(c for c in bare if not unicodedata.combining(c)) == text
