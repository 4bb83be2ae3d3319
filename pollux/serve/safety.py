# SPDX-License-Identifier: Apache-2.0
"""What safetySettings ask for: questions and answers looked through for words of glin-profanity.

The library finds the words, also spelt f.u.c.k or sh1t; what each says of a harm category is told
here. A list of words knows no meaning: docs/safety.md says what that comes to, with numbers.
"""

import json
import re
from collections.abc import Iterable, Sequence
from functools import cache

from glin_profanity import Filter

from pollux.serve import reply, wire

HATE, HARASSMENT, SEXUAL = "HATE_SPEECH", "HARASSMENT", "SEXUALLY_EXPLICIT"
CATEGORIES = (HARASSMENT, HATE, SEXUAL)  # those that words say something about
LEVELS = ("NEGLIGIBLE", "LOW", "MEDIUM", "HIGH")
# The lowest level that is blocked; OFF is above all.
BLOCKED_FROM = {"BLOCK_LOW_AND_ABOVE": 1, "BLOCK_MEDIUM_AND_ABOVE": 2, "BLOCK_ONLY_HIGH": 3}
OFF = 4
BLOCKED_FROM |= {"BLOCK_NONE": OFF, "OFF": OFF, "HARM_BLOCK_THRESHOLD_UNSPECIFIED": 2}
DEFAULT = "BLOCK_MEDIUM_AND_ABOVE"

# One of these is MEDIUM, two different ones are HIGH. All others of the library are LOW.
PLAIN: dict[str, str] = {
    HATE: """beaner beaners bulldyke coons darkie faggot honkey jigaboo jiggaboo jiggerboo kike
        nigga nigger nig_nog paki raghead shemale slanteye spic towelhead tranny wetback""",
    HARASSMENT: """assmunch asswipe cocksucker cunt dipshit eat_my_ass fuckface fucktards
        motherfucker piece_of_shit shithead 操你妈 操你娘 操你全家 操你祖宗 操你老母 操妳妈
        干你娘 干你妈 干你老母 干死你 日你妈 日你老母 我操你祖宗十八代 傻逼 妈逼 婊子养的""",
    SEXUAL: """bangbros blow_job blowjob blumpkin bukkake camgirl camslut camwhore creampie
        cumming cunnilingus deepthroat dildo doggy_style doggystyle double_penetration fellatio
        fingerbang fisting footjob fuck_buttons gang_bang gokkun golden_shower hand_job handjob
        hentai jack_off jerk_off jizz masturbate milf muff_diver muffdiving pegging phone_sex
        poontang porn porno pornography pussy rimjob schlong shaved_pussy splooge strap_on
        threesome titties tits upskirt vibrator wet_dream
        乳交 做爱 口交 肛交 抽插 淫荡 淫水 大鸡巴 鸡巴 肉棒 操逼 骚逼 巨乳""",
}
ABUSE = """ass asshat asshole bastard bitch bitches dumbass fuck fucker fuckin fucking jackass
    retard retarded shit shitty slut stfu tosser twat wank 他妈的 你妈的 妈的 王八蛋 杂种 贱人
    贱货 婊子 白痴 笨蛋 傻比 狗日 瘪三 操你"""  # LOW of HARASSMENT; what is left is LOW of SEXUAL
GROUPS = "negro neonazi poof swastika white_power coon"  # LOW of HATE
# Words of the library that say nothing by themselves.
IGNORED = """13. bs big_black domination dvda escort girl_on god_damn hard_core hardcore how_to_kill
    how_to_murder huge_fat mf prince_albert_piercing simp skeet snatch snowballing suck sucks
    taste_my testbad01 tied_up tight_white tongue_in_a twinkie xx xxx 干你 日你 他娘 你妈 你娘
    你全家 刚度 成人 激情 祖宗 私服 老二 老味 老母 九游 密洞 靠背 处女 他妈 他奶奶 姣西 肥西 口肯
    月经 卵子 精子 交配 包皮 后庭 吹箫 屁股 撒尿 妈妈的 娘的 小肉粒 肉壁 十三点"""
HELD_BACK = re.compile(r"\S{1,40}\Z")  # a word that is not finished
NEAR = 48  # characters before a piece that are looked at with it

Levels = dict[str, int]  # of CATEGORIES, an index of LEVELS


def thresholds(settings: Sequence[wire.SafetySetting] | None) -> Levels:
    """The level from which each category is blocked; the last setting of one counts."""
    found = dict.fromkeys(CATEGORIES, BLOCKED_FROM[DEFAULT])
    for setting in settings or ():
        name = setting.category.removeprefix("HARM_CATEGORY_")
        if name in found:
            found[name] = BLOCKED_FROM[setting.threshold]
    return found


@cache
def _filter() -> Filter:
    return Filter({"languages": ["english", "chinese"]})


@cache
def _meanings() -> dict[str, tuple[str, int]]:
    """Category and level of the words that have one of their own."""
    found = {word: (HARASSMENT, 1) for word in _words(ABUSE)}
    found |= {word: (HATE, 1) for word in _words(GROUPS)}
    for category, words in PLAIN.items():
        found |= {word: (category, 2) for word in _words(words)}
    return found | {word: (SEXUAL, 0) for word in _words(IGNORED)}


def _words(listed: str) -> Iterable[str]:
    return (word.replace("_", " ") for word in listed.split())


def levels(text: str) -> Levels:
    """What the words of a text say of each category."""
    found = dict.fromkeys(CATEGORIES, 0)
    if not _filter().is_profane(text):
        return found
    plain: dict[str, set[str]] = {name: set() for name in CATEGORIES}
    for word in _filter().check_profanity(text)["profane_words"]:
        alone = (
            len(word) == 1 and not word.isascii()
        )  # one Chinese character: often part of another word
        category, level = _meanings().get(word.lower(), (SEXUAL, 0 if alone else 1))
        found[category] = max(found[category], level)
        if level == 2:
            plain[category].add(word)
    return {name: 3 if len(plain[name]) > 1 else found[name] for name in CATEGORIES}


def is_blocked(found: Levels, blocked_from: Levels) -> bool:
    return any(found[name] >= blocked_from[name] for name in CATEGORIES)


def ratings(found: Levels, blocked_from: Levels) -> list[reply.SafetyRating]:
    """Categories that words say nothing about have none."""
    return [
        reply.SafetyRating(
            category=f"HARM_CATEGORY_{name}",
            probability=LEVELS[found[name]],
            blocked=True if found[name] >= blocked_from[name] else None,
        )
        for name in CATEGORIES
    ]


def feedback(question: str, blocked_from: Levels) -> reply.PromptFeedback | None:
    """Why a question is not answered; None where it is."""
    if min(blocked_from.values()) == OFF or not is_blocked(found := levels(question), blocked_from):
        return None
    return reply.PromptFeedback(block_reason="SAFETY", safety_ratings=ratings(found, blocked_from))


def judged(candidate: reply.Candidate, blocked_from: Levels) -> reply.Candidate:
    """With its ratings, and without its words where they are blocked."""
    if min(blocked_from.values()) == OFF:
        return candidate
    found = levels(said_in(candidate.content.parts))
    rated = ratings(found, blocked_from)
    if not is_blocked(found, blocked_from):
        return candidate.model_copy(update={"safety_ratings": rated})
    return reply.Candidate(
        content=wire.Content(role="model"),
        index=candidate.index,
        finish_reason="SAFETY",
        token_count=candidate.token_count,
        safety_ratings=rated,
    )


def said_in(parts: Iterable[wire.Part]) -> str:
    """The words of an answer, the arguments of its calls included."""
    texts = (
        json.dumps(part.function_call.args, ensure_ascii=False)
        if part.function_call
        else part.text or ""
        for part in parts
    )
    return "\n".join(texts)


class Guard:
    """Holds a streamed answer's last word back until it is finished and looked at."""

    def __init__(self, blocked_from: Levels):
        self.blocked_from = blocked_from
        self.active = min(blocked_from.values()) < OFF
        self.text, self.sent = "", 0

    def passed(self, piece: str) -> str | None:
        """What may be told now, perhaps nothing; None where the answer is to be blocked."""
        if not self.active:
            return piece
        self.text += piece
        unfinished = HELD_BACK.search(self.text, max(self.sent, len(self.text) - 40))
        end = unfinished.start() if unfinished else len(self.text)
        if end <= self.sent:
            return ""
        if is_blocked(levels(self.text[max(0, self.sent - NEAR) : end]), self.blocked_from):
            return None
        told, self.sent = self.text[self.sent : end], end
        return told
