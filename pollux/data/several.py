# SPDX-License-Identifier: Apache-2.0
"""Questions about facts: one, several at once, all values of one, or where a chain of them leads.

Several are answered on a line each: what is asked for again, then the text's own words on it. The
end of a line is taught where the text goes on. What earlier lines went on with after the same words
is not recalled again (pollux.prompt.told): all values of one thing end with a line that finds none.
In a chain (after the variable tracking of RULER, Hsieh et al. 2024) the lines are its steps, back
from a variable to its number: each begins with what the line before ended with, so each step is
recall of what follows.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from pollux import prompt
from pollux.data import facts, skills, wording
from pollux.data.answers import Chain
from pollux.data.facts import Fact, Vocabulary
from pollux.data.skills import Document, Kit, Stated

SEVERAL = 0.6  # of the questions that find a fact are about several
MOST = 5  # of them in one question
ALIKE = 0.6  # of those are about the same of several owners,
BY_OWNER = 0.6  # and of these name it once where they can: "the code for A, B and C"
INSIDE = 0.4  # of the facts that belong together have the owner's name inside: "the secret A code"
REWORDED = 0.4  # of the facts are asked for in other words than the text's
OF_NUMBER = 0.7  # of these differ by singular and plural only
MORE = 0.6  # of the documents have a fact of several values, chains, or owners of the same
OF_MORE = 0.3  # of the questions that find something in those are about these
ONE_ALONE = 0.4  # of the things of several values have one, "one of the codes is 17", and
ASKED_AS_ONE = 0.7  # of those it is asked for as such: "what is the code?"
ABSENT_STEP = 0.15  # of the questions about chains begin at what is nowhere
SHARED = ("for", "of", "in", "at")
VALUE_STATEMENTS = (
    "One of {p} was {v}.",
    "Another of {p} is {v}.",
    "Among {p} there is {v}.",
    "Of {p} I know {v}.",
    "To {p} belongs {v}.",
    "{p}: {v}",
    "{p} include {v}.",
    "Also one of {p}: {v}.",
)
CHINESE_VALUE_STATEMENTS = ("{p}之一是{v}。", "{p}中有{v}。", "{p}包括{v}。", "{p}：{v}。")
CHAIN_QUESTIONS = (
    "What is the value of {p}?",
    "What number does {p} stand for?",
    "Follow {p} to its number.",
    "Trace {p}.",
    "Which number is {p} in the end?",
    "Where does {p} get its value from?",
    "Work out {p}.",
    "Evaluate {p} step by step.",
    "Tell me the value that {p} has.",
    "Resolve {p}, please.",
    "追查 {p} 的值。",
    "请问 {p} 的值是多少？",
)
ASSIGNED = ("{p} = {v}", "{p} = {v}", "{p} := {v}", "{p} <- {v}", "{p}: {v}")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def with_more(
    kit: Kit, rng: np.random.Generator, stated: list[tuple[Fact, str]], chinese: bool
) -> list[tuple[Fact, str]]:
    """The facts; of some documents, among them, some that belong together."""
    if not stated or rng.random() > MORE:
        return stated
    kinds = (_values,) if chinese else (_values, chains, _owners)
    more = kinds[int(rng.integers(len(kinds)))](kit.vocabulary, rng, chinese)
    known = {fact.phrase for fact, _ in more}
    both = [one for one in stated if one[0].phrase not in known] + more
    return [both[i] for i in rng.permutation(len(both))]


def _values(known: Vocabulary, rng: np.random.Generator, chinese: bool) -> list[tuple[Fact, str]]:
    """A fact that is stated with 1 to 5 values."""
    owner, attribute = known.owner(rng, chinese), known.attribute(rng, chinese)
    if not chinese:
        attribute = plural(attribute)
    phrase = known.pick(rng, facts.PHRASES[:5]).format(a=attribute, k=owner)
    if chinese:
        phrase = f"{owner}的{attribute}"
    options = CHINESE_VALUE_STATEMENTS if chinese else VALUE_STATEMENTS
    statement = known.pick(rng, options)
    count = 1 if rng.random() < ONE_ALONE else int(rng.integers(2, 6))
    values = {known.value(rng, chinese) for _ in range(count)}
    one = Fact(owner, attribute, phrase, "", chinese, kind="values")
    return [
        (replace(one, value=v), statement if rng.random() < 0.6 else known.pick(rng, options))
        for v in sorted(values)
    ]


def _owners(known: Vocabulary, rng: np.random.Generator, chinese: bool) -> list[tuple[Fact, str]]:
    """What 3 to 5 owners have of the same."""
    attribute, before = known.attribute(rng), known.pick(rng, SHARED)
    if rng.random() < 0.5:  # "the codes for A is", as of one of them
        attribute = plural(attribute)
    owners = sorted({known.owner(rng) for _ in range(int(rng.integers(3, MOST + 1)))})
    phrases = {owner: f"the {attribute} {before} {owner}" for owner in owners}
    if rng.random() < INSIDE:
        first = " ".join(known.pick(rng, facts.ADJECTIVES) for _ in range(int(rng.integers(1, 3))))
        phrases = {owner: f"the {first} {owner} {attribute}" for owner in owners}
    statement = wording.statement(rng)
    return [(Fact(o, attribute, p, known.value(rng)), statement) for o, p in phrases.items()]


def plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2:-1] not in tuple("aeiou"):
        return noun[:-1] + "ies"
    return noun + "s"


def other_number(noun: str) -> str:
    """The plural of a singular, and the other way about."""
    if not noun.endswith("s") or noun.endswith("ss"):
        return plural(noun)
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    return noun[:-2] if noun.endswith(("sses", "xes", "ches", "shes")) else noun[:-1]


def chains(
    known: Vocabulary, rng: np.random.Generator, chinese: bool = False
) -> list[tuple[Fact, str]]:
    """One or two chains of 2 to 5 assignments, each of the variable before, the first a number."""
    kind = known.pick(rng, ("VAR", "VAR", "var", "item", "node", known.pick(rng, known.lower)))
    form, made = known.pick(rng, ASSIGNED), []
    names = variables(known, rng, 10)
    for _ in range(int(rng.integers(1, 3))):
        value = known.digits(rng, int(rng.integers(3, 8)))
        for _ in range(int(rng.integers(2, 6))):
            name = names.pop()
            made.append((Fact(name, kind, f"{kind} {name}", value, kind="step"), form))
            value = f"{kind} {name}"
    return made


def variables(known: Vocabulary, rng: np.random.Generator, count: int) -> list[str]:
    """Different names of one form, none the beginning of another."""
    size, worded, found = int(rng.integers(3, 7)), rng.random() < 0.2, set[str]()
    while len(found) < count:
        if worded:
            name = f"{known.pick(rng, known.lower)}_{known.digits(rng, 3)}"
        else:
            name = "".join(rng.choice(list(LETTERS), size))
        found.add(name)
    return [str(name) for name in rng.permutation(sorted(found))]


def find(kit: Kit, rng: np.random.Generator, doc: Document):
    """A question about facts of the document, or None where there are none."""
    more = {stated.fact.kind for stated in doc.facts} - {"one"}
    if more and rng.random() < OF_MORE:
        return values(kit, rng, doc) if "values" in more else trace(kit, rng, doc)
    plain = [stated for stated in doc.facts if stated.fact.kind == "one"]
    if not plain:
        return None
    count = 1 if rng.random() > SEVERAL else int(rng.integers(2, MOST + 1))
    chosen = [plain[i] for i in rng.permutation(len(plain))[:count]]
    most = Counter(one.fact.attribute for one in plain).most_common(1)[0][0]
    alike = [one for one in plain if one.fact.attribute == most]
    if count > 1 and len(alike) > 1 and rng.random() < ALIKE:
        last = _alike(plain, alike[0].fact)
        by_owner = len(last) > 1 and rng.random() < BY_OWNER
        alike = last if by_owner else alike
        chosen = [alike[i] for i in rng.permutation(len(alike))[:count]]
        return skills.find(kit, rng, doc, chosen, owners=by_owner)
    return skills.find(kit, rng, doc, [_reworded(kit, rng, stated) for stated in chosen])


def _reworded(kit: Kit, rng: np.random.Generator, stated: Stated) -> Stated:
    """Sometimes the question puts it in other words than the text."""
    fact = stated.fact
    if fact.chinese or rng.random() > REWORDED or fact.owner not in fact.phrase:
        return stated
    phrase = kit.vocabulary.pick(rng, facts.PHRASES).format(a=fact.attribute, k=fact.owner)
    if rng.random() < OF_NUMBER:
        phrase = fact.phrase.replace(fact.attribute, other_number(fact.attribute))
    return stated._replace(fact=replace(fact, phrase=phrase))


def _alike(plain: Sequence[Stated], fact: Fact) -> list[Stated]:
    """Those that differ from `fact` by the owner at the end of their phrases, and itself."""
    before = fact.phrase.removesuffix(fact.owner)
    if before == fact.phrase or before.split()[-1:][0] not in SHARED:
        return []
    return [s for s in plain if s.fact.phrase == before + s.fact.owner]


def values(kit: Kit, rng: np.random.Generator, doc: Document):
    """All that the text says of one thing, in its order."""
    several = [stated for stated in doc.facts if stated.fact.kind == "values"]
    _, group = next(groupby(several, key=lambda stated: stated.fact.phrase))
    chosen = list(group)
    chinese = chosen[0].fact.chinese
    if not (chosen[1:] or chinese) and rng.random() < ASKED_AS_ONE:
        return skills.find(kit, rng, doc, [_as_one(chosen[0])])
    text = skills.sentence(wording.all_of(rng, chinese), chosen[0].fact.phrase)
    return skills.asked(kit, text, skills.told(kit, doc, chosen))


def _as_one(stated: Stated) -> Stated:
    """Of several that might be there: asked for in the singular."""
    fact = stated.fact
    phrase = fact.phrase.replace(fact.attribute, other_number(fact.attribute))
    return stated._replace(fact=replace(fact, phrase=phrase, kind="one"))


def trace(kit: Kit, rng: np.random.Generator, doc: Document):
    """From a variable back to its number; `<absent>` where the variable is nowhere."""
    steps = {stated.fact.phrase: stated for stated in doc.facts if stated.fact.kind == "step"}
    step = steps[kit.vocabulary.pick(rng, sorted(steps))]
    fact, absent = step.fact, rng.random() < ABSENT_STEP
    if absent:
        name = variables(kit.vocabulary, rng, 1)[0]
        fact = replace(fact, owner=name, phrase=f"{fact.attribute} {name}")
        if fact.phrase in steps:
            return None
    text = kit.vocabulary.pick(rng, CHAIN_QUESTIONS).format(p=fact.phrase)
    head = skills.phrase_tokens(kit, fact)
    asked = prompt.question(kit.tokenizer, text)
    begin = next(
        (i for i in range(len(asked)) if np.array_equal(asked[i : i + len(head)], head)), 0
    )
    if not begin:
        return None
    if absent:
        return skills.asked(kit, text, skills.not_there(kit, head))
    return asked, _traced(kit, doc, steps, step, Chain().repeat(head, begin), len(asked))


def _traced(
    kit: Kit, doc: Document, steps: dict[str, Stated], step: Stated, answer: Chain, begin: int
) -> Chain:
    """The lines from `step` on; `begin`: tokens of the question."""
    while True:
        answer.recall(doc.tokens, step.after, step.end)
        line_end = (step.end, step.end + 1)
        if step.fact.value not in steps:
            return answer.add([kit.control("<end>")], line_end)
        step = steps[step.fact.value]
        head = skills.phrase_tokens(kit, step.fact)
        at = begin + len(answer.tokens) - len(head)
        answer.add([kit.tokenizer.newline], line_end).repeat(head, at)
