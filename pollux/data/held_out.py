# SPDX-License-Identifier: Apache-2.0
"""What eyes and ears are evaluated on and never trained on. The one list.

Names and hashes decide, not chance: whoever makes the data again gets the same split. Files are
refused by name where they are read (`corpora.HELD_OUT`).
"""

from pollux.data.facts import kept_for_evaluation

STYLE = "fluent-emoji-flat"  # of icons: seen concepts in an unseen style
VOICES = ("espeak-ng:en-gb+f5", "espeak-ng:en-us+m8", "espeak-ng:en-us+Linda", "flite:awb")
# Of words and phrases drawn, shown and spoken by training there is also what `facts` keeps.
WORDINGS = (  # of questions
    "Would you read {n} to me?",
    "{n}: any text on it?",
    "Do you recognise {n}?",
    "Write down all that is said in {n}.",
    "At what time does {t} come up?",
    "Which of them has {t}?",
    "I forgot {t}; what was it?",
    "What is there to read at {t}?",
    "Name what can be seen at {t}.",
    "Write down what they say at {t}.",
    "Put {n} on paper for me.",
    "I would love an illustration: {n}.",
    "What would {n} be as a pictogram?",
)


def font(family: str) -> bool:
    """All faces of a family go together: the bold of a trained font is not unseen."""
    return kept_for_evaluation(family.replace(" ", ""))


def concept(name: str) -> bool:
    """What an icon shows, in whatever style; `red apple` and `green apple` go together."""
    return kept_for_evaluation(name.split()[-1])


def icon(style: str, name: str) -> bool:
    """A style or a concept that training has not."""
    return style == STYLE or concept(name)


def prompt(key: str) -> bool:
    """A spoken prompt, by the key that it has in all languages."""
    return kept_for_evaluation(key)


def voice(name: str) -> bool:
    return name in VOICES


def word(text: str) -> bool:
    """Any of its words."""
    return any(kept_for_evaluation(word) for word in text.split())


def photo(name: str) -> bool:
    """A background."""
    return kept_for_evaluation(name)
