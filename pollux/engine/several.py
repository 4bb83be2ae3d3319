# SPDX-License-Identifier: Apache-2.0
"""How many things a question asks for at once: a line of the answer for each.

Spark learnt to answer such questions a line each, and where to stop it learnt as a leaning only. A
list is plain to see, so it is counted: no answer ends before it has as many lines.
"""

import re

ASKS = re.compile(r"\s*what (?:is|are|was|were) (.+?)(?:\?|$)", re.I | re.S)
PHRASES = re.compile(r"(?:,? and|,) +(?=the\b)", re.I)
LISTED = re.compile(r"\b(?:for|of) (?!the\b)(\S+(?: \S+)?(?:, \S+(?: \S+)?)*,? and \S+)", re.I)
COMMON = frozenset("the a an of for and in on at to is are was were all".split())
MOST = 32  # lines


def things(question: str) -> int:
    """1 where there is no list: of like phrases, "the X number and the Y number", or of names."""
    found = ASKS.match(question)
    if not found:
        return 1
    first, *others = (_words(phrase) for phrase in PHRASES.split(found[1]))
    if others:
        return min(1 + len(others), MOST) if all(first & other for other in others) else 1
    plural = re.match(r"\s*what are\b", question, re.I)
    names = LISTED.search(found[1]) if plural else None
    return min(len(re.split(r",? and |, ", names[1])), MOST) if names else 1


def _words(phrase: str) -> set[str]:
    return {*re.findall(r"\w+", phrase.lower())} - COMMON
