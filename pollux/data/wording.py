# SPDX-License-Identifier: Apache-2.0
"""Wordings of questions and statements by rule: lists of parts, any of which go together.

`{p}` is what is asked for or stated, `{v}` its value. Wordings of an evaluation are not among them
(tests/data/test_wording.py).
"""

from collections.abc import Sequence

import numpy as np

from pollux.data import facts

LISTED = 0.4  # of the wordings are those of the lists in facts.py
GREETINGS = (
    *[""] * 12,
    *("Hello! ", "Hi, ", "Hey, ", "Good morning. ", "Excuse me, ", "Sorry, ", "Okay, ", "Well, "),
    *("So, ", "Now, ", "And ", "But ", "Question: ", "Q: ", "Quick question: ", "One more thing: "),
    *("By the way, ", "Hm, ", "Next: ", "Again: ", "Just curious, ", "For my notes: "),
)
SOURCES = (
    *[""] * 14,
    *("in the text, ", "in this document, ", "according to the file, ", "from what you read, "),
    *("going by the notes, ", "if you look through it, ", "in there, ", "somewhere in it, "),
)
DIRECT = (
    *("what is {p}", "what was {p}", "what's {p}", "which is {p}", "what exactly is {p}"),
    *("what would {p} be", "what might {p} be", "so what is {p} then"),
    *("how does it give {p}", "what does the text give as {p}", "what is meant by {p}"),
    *("what do I enter for {p}", "what should I put down for {p}", "is {p} given"),
    "and what about {p}",
)
INDIRECT = (
    *("can you tell me what {p} is", "could you tell me what {p} was", "I wonder what {p} is"),
    *("I would like to know what {p} is", "I want to know what {p} was", "any idea what {p} is"),
    *("would you happen to know what {p} is", "do you remember what {p} was"),
    *("does it say what {p} is", "let me know what {p} is", "I forgot what {p} was"),
    *("nobody could tell me what {p} is", "I am not sure what {p} is", "say what {p} is"),
    *("would you mind telling me what {p} is", "I have to find out what {p} is"),
    "they want to hear what {p} is",
)
REQUESTS = (
    *("give me {p}", "show me {p}", "find {p}", "look up {p}", "get me {p}", "fetch {p}"),
    *("read me {p}", "name {p}", "state {p}", "search for {p}", "tell us {p}", "return {p}"),
    *("write down {p}", "repeat {p}", "remind me of {p}", "check {p}", "say {p}", "tell me {p}"),
    *("extract {p}", "copy {p}", "report {p}", "print {p}"),
    *("help me find {p}", "let me have {p}", "go and find {p}", "recall {p}", "quickly, {p}"),
    *("I need {p}", "I'm after {p}", "I could use {p}", "we need {p}"),
    *("I want {p}", "I was asked for {p}", "somebody needs {p}", "I lost {p}", "my task: {p}"),
    *("can I have {p}", "could I get {p}", "may I ask for {p}", "have you got {p}"),
)
FRAGMENTS = (
    *("{p}", "{p}", "{p}", "{p}, which one", "{p} is", "{p} is what", "{p}, what is it"),
    *("{p}, do you have that", "{p}: what does it say", "{p} -", "{p} ="),
    *("the question is {p}", "{p}, tell me"),
)
WISHES = (
    *[""] * 16,
    *(", please", " please", " again", " exactly", " for me", " now", ", thanks", " here"),
    *(" in the text", " in this document", " in the file", " in here", " in the book"),
    *(
        " if it is there",
        " as it is written",
        " as the text has it",
        " for certain",
        " by any chance",
    ),
)
PARTICIPLES = (
    "given,stated,named,found,listed,noted,quoted,told,mentioned,recorded,contained,included,"
    "set out,described,announced,used,printed,shown,reported,specified,indicated,"
    "written down,referred to,spoken of,laid down,introduced,cited,kept,hidden,"
    "buried,repeated,defined"
).split(",")
BEFORE_PLACES = ("in", "in", "in", "within", "by", "somewhere in", "throughout", "inside")
ARTICLES = ("the", "the", "the", "this", "our", "your", "that")
WHICH_PLACES = tuple(
    "whole given present long following above attached same current entire original complete last "
    "uploaded first enclosed old".split()
)
PLACES = tuple(
    "text document file book notes material passage source context transcript letter report story "
    "chapter manuscript input content page archive paper pages lines".split()
)
SHORT_PLACES = ("above", "there", "in here", "somewhere in it", "in what you read", "earlier")
PLACED = 0.3  # of the questions say where it is "given in the text"
ENDS = ("?", "?", "?", ".", ".", "", "", "!", " ?", "??", "...")
CHINESE_GREETINGS = (
    *[""] * 8,
    *(
        "请问，",
        "请问",
        "你好，",
        "麻烦问一下，",
        "想问一下，",
        "那么",
        "对了，",
        "问题：",
        "根据文中内容，",
    ),
    *("再问一个：", "不好意思，", "书里说，", "在这份文件里，"),
)
CHINESE_QUESTIONS = (
    *("{p}是什么", "{p}是多少", "{p}是哪个", "{p}是啥", "{p}到底是什么", "{p}怎么写", "{p}呢"),
    *(
        "告诉我{p}",
        "告诉我{p}是什么",
        "帮我找一下{p}",
        "帮我查{p}",
        "查一查{p}",
        "找出{p}",
        "给我{p}",
    ),
    *("我想知道{p}", "我想知道{p}是什么", "我要{p}", "说一下{p}", "说说{p}是多少", "请写出{p}"),
    *("{p}在文中是什么", "文里的{p}是什么", "有没有提到{p}", "你知道{p}吗", "你记得{p}是什么吗"),
    *(
        "能不能告诉我{p}",
        "能告诉我{p}是多少吗",
        "{p}",
        "关于{p}怎么说",
        "{p}写的是什么",
        "忘了{p}是什么",
    ),
)
CHINESE_ENDS = ("？", "？", "。", "", "，谢谢。", "，好吗？", "！", "?")
LEADS = (
    *[""] * 8,
    *("It turns out that ", "As everyone heard, ", "She said that ", "By the way, ", "Then "),
    *("For the record, ", "To be precise, ", "Look: ", "Once more: ", "This year ", "By law "),
    *("He was told that ", "Years ago ", "In the end ", "On paper, ", "Strange to say, ", "Here "),
    *(
        "My brother swears that ",
        "I read that ",
        "Since Tuesday ",
        "It is written that ",
        "Still, ",
    ),
    *("Between ourselves, ", "- ", "* ", "1. ", "NB: ", "(", "“", "Do not forget that ", "And "),
)
PREDICATES = (
    *("is", "is", "was", "was", "became", "has become", "stays", "shall be", "could be", "may be"),
    *("will be", "used to be", "comes to", "amounts to", "goes by", "stands at", "is given as"),
    *("is listed as", "is written", "is said to be", "was found to be", "is none other than"),
    *("is still", "is simply", "is only", "has always been", "is known to be", "was chosen as"),
    *("is no secret:", "is, as you know,", "is to this day", "was changed to", "has the form"),
    *("is called", "means", "is spelt", "is now fixed at", "had better be", "is nothing but"),
    *("- ", "=", "==", ":", "=>", "...", "~", "<-", ";", ", I hear,", "/", "as follows:"),
    *("was, if I am right,", "was never anything but", "is recorded here as", "is marked"),
)
ABOUT = (
    *("People know {p} as {v}", "We call {p} {v}", "Those who want {p} get {v}", "Let {p} be {v}"),
    *("They changed {p} to {v}", "Set {p} to {v}", "He made {p} {v}", "I put {p} at {v}"),
    *("With {p} at {v}, they began", "There was {p}, namely {v}", "You may take {p} for {v}"),
    *("Anyone looking for {p} wants {v}", "To open it you need {p}, that is {v}", "About {p}: {v}"),
    *("Whenever {p} comes up, somebody says {v}", "A stranger gave {p} out as {v}"),
    *("When it comes to {p}, think of {v}", "In the column of {p} one finds {v}"),
    *("Before {p} was lost it had been {v}", "All agree about {p}, and all say {v}"),
)
TAILS = (
    *[".", ".", ".", "", "", "", "", "", ""],  # what ends with its line, too, is hard to end
    *(", they said.", " now.", " again.", ", as far as we know.", ", and that is all.", "!"),
    *(
        " (see below).",
        ", of course.",
        " from then on.",
        ", and he laughed.",
        " today.",
        "”.",
        ").",
    ),
    *(" since the spring.", ", nothing else.", " in all the papers.", " — so they say."),
)
CHINESE_LEADS = (
    *[""] * 5,
    *(
        "其实",
        "大家都知道，",
        "他说",
        "顺便说一句，",
        "后来",
        "注意：",
        "据记载，",
        "从去年起，",
        "原来",
    ),
)
CHINESE_PREDICATES = (
    *("是", "是", "为", "就是", "：", "=", "乃是", "一直是", "改成了", "变成了", "应该是", "等于"),
    *("正是", "仍然是", "叫做", "写作", "可能是", "已经定成", "，也就是"),
)
CHINESE_TAILS = ("。", "。", "。", "", "，没有错。", "了。", "，大家都记得。")
VALUE_QUESTIONS = (
    "What are all {p}?",
    "List all of {p}.",
    "Which are {p}? Name every one.",
    "Give me every one of {p}.",
    "All {p}, please.",
    "I need the complete list of {p}.",
    "Find all {p} in the text.",
    "Name all of {p}",
)
CHINESE_VALUE_QUESTIONS = ("{p}有哪些？", "列出所有{p}。", "{p}都是什么？", "请找出全部{p}。")
ALL_OF_THEM = 0.4  # of the questions about several things ask for all of them
ALL_PLACED = 0.5  # of those say where they are
SEVERAL = ("hat is {p}", "hat are {p}"), ("{p} is", "{p} are"), (" was {p}", " were {p}")


def pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def question(rng: np.random.Generator, chinese: bool = False, several: bool = False) -> str:
    """A question about `{p}`, of several things where it is "what are" instead of "what is"."""
    if several and rng.random() < ALL_OF_THEM:
        return all_of(rng, chinese)
    if rng.random() < LISTED:
        text = pick(rng, facts.CHINESE_QUESTIONS if chinese else facts.QUESTIONS)
    elif chinese:
        parts = CHINESE_GREETINGS, CHINESE_QUESTIONS, CHINESE_ENDS
        text = "".join(pick(rng, part) for part in parts)
    else:
        text = _english(rng)
    if several and rng.random() < 0.6:
        for one, more in SEVERAL:
            text = text.replace(one, more)
        if not chinese and rng.random() < 0.3:
            text = text.replace(" {p}", " all {p}")
    return text


def all_of(rng: np.random.Generator, chinese: bool = False) -> str:
    """A question for all there is of `{p}`, be it one thing of several values or several things."""
    text = pick(rng, CHINESE_VALUE_QUESTIONS if chinese else VALUE_QUESTIONS)
    if not chinese and rng.random() < ALL_PLACED:
        text = text.replace("{p}", "{p}" + placed(rng))
    return text


def _english(rng: np.random.Generator) -> str:
    forms = (DIRECT, INDIRECT, REQUESTS, REQUESTS, FRAGMENTS)
    form = forms[int(rng.integers(len(forms)))]
    before = pick(rng, GREETINGS)
    if form is not FRAGMENTS:
        before += pick(rng, SOURCES)
    if form is REQUESTS and rng.random() < 0.2:
        before += "please "
    wish = placed(rng) if rng.random() < PLACED else pick(rng, WISHES)
    text = before + pick(rng, form) + wish + pick(rng, ENDS)
    return text if text.startswith("{p}") or rng.random() < 0.25 else facts.capital(text)


def placed(rng: np.random.Generator) -> str:
    """ " given in the text" and the like, to be put behind what is asked for."""
    which, said = pick(rng, ("", "", "", "that is ", "as ")), pick(rng, PARTICIPLES)
    if rng.random() < 0.2:
        return f" {which}{said} {pick(rng, SHORT_PLACES)}"
    place = pick(rng, PLACES)
    if rng.random() < 0.5:
        place = f"{pick(rng, WHICH_PLACES)} {place}"
    return f" {which}{said} {pick(rng, BEFORE_PLACES)} {pick(rng, ARTICLES)} {place}"


def statement(rng: np.random.Generator, chinese: bool = False) -> str:
    """A sentence that says of `{p}` that it is `{v}`."""
    if rng.random() < LISTED:
        return pick(rng, facts.CHINESE_STATEMENTS if chinese else facts.STATEMENTS)
    if chinese:
        said = "{p}" + pick(rng, CHINESE_PREDICATES) + "{v}"
        return pick(rng, CHINESE_LEADS) + said + pick(rng, CHINESE_TAILS)
    if rng.random() < 0.3:
        return pick(rng, ABOUT) + pick(rng, TAILS)
    predicate = pick(rng, PREDICATES)
    space = "" if predicate[0] in ":;,." else " "
    return pick(rng, LEADS) + "{p}" + space + predicate.strip() + " {v}" + pick(rng, TAILS)
