# SPDX-License-Identifier: Apache-2.0
"""Several things asked for in one question are asked for one by one.

Spark was trained to answer such questions a line each; where to go on and where to stop it learnt
as a leaning only. A list is plain to see, and each of its things is a question that spark knows.
"""

import re

ASKS = re.compile(r"\s*what (?:is|are|was|were) (?P<things>.+?)(?P<rest>\?.*|$)", re.I | re.S)
PHRASES = re.compile(r"(?:,? and|,) +(?=the\b)", re.I)
NAME = r"[^\s,?]+(?: (?-i:[A-Z])[^\s,?]*)*"
LISTED = re.compile(
    r"\s*what are (?:all )?(?P<kind>the .*?)(?P<plural>\w+s) (?P<of>for|of) "
    rf"(?P<names>{NAME}(?:, {NAME})*,? and {NAME})(?P<rest>.*)",
    re.I | re.S,
)
CHINESE = re.compile(r"\s*(?P<things>[^？?]+?)(?:分别|各)?(?P<rest>是(?:什么|多少|谁)[？?]?\s*)")
COMMON = frozenset("the a an of for and in on at to is are was were all".split())
MOST = 64  # things; of more, none is left out without a word: the question stays whole


def questions(question: str) -> list[str]:
    """One for each thing of its list; the question itself where it has none.

    "What is the X number and the Y number?" lists phrases that are alike, "What are the numbers for
    X and Y?" lists names. In Chinese each thing is something's.
    """
    if listed := LISTED.fullmatch(question):
        names = re.split(r",? and |, ", listed["names"])
        begins = f"What is {listed['kind']}{singular(listed['plural'])} {listed['of']} "
        each = [begins + name + listed["rest"] for name in names]
        return each if len(each) <= MOST else [question]
    if chinese := CHINESE.fullmatch(question):
        phrases = re.split("、|以?及|和|与", chinese["things"])
        alike = all(re.fullmatch(".+的.+", phrase) for phrase in phrases)
        return [phrase + chinese["rest"] for phrase in phrases] if alike else [question]
    if not (asks := ASKS.fullmatch(question)):
        return [question]
    phrases = PHRASES.split(asks["things"])
    first, *others = map(_words, phrases)
    if not others or len(phrases) > MOST or not all(first & other for other in others):
        return [question]
    return [f"What is {phrase}{asks['rest']}" for phrase in phrases]


def singular(word: str) -> str:
    for ending, one in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("s", "")):
        if word.endswith(ending):
            return word.removesuffix(ending) + one
    return word


def _words(phrase: str) -> set[str]:
    return {*re.findall(r"\w+", phrase.lower())} - COMMON
