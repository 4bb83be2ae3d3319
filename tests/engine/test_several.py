# SPDX-License-Identifier: Apache-2.0
"""Things that a question lists are asked for one by one, and answered together."""

import pytest

import pollux
from pollux.engine.several import questions

LISTS = {
    "What is the special magic Gray number and the special magic Oslo number?": [
        "What is the special magic Gray number?",
        "What is the special magic Oslo number?",
    ],
    "What is the code for Lima, the code for Oslo and the code for Rome? Be brief.": [
        f"What is the code for {city}? Be brief." for city in ("Lima", "Oslo", "Rome")
    ],
    "What are all the magic numbers for red-owl, tin-cup, and old-key in the text?": [
        f"What is the magic number for {name} in the text?"
        for name in ("red-owl", "tin-cup", "old-key")
    ],
    "柏林的密码和巴黎的暗号是什么？": ["柏林的密码是什么？", "巴黎的暗号是什么？"],
    "柏林、巴黎的密码是什么？": ["柏林、巴黎的密码是什么？"],
    "和平的密码是什么？": ["和平的密码是什么？"],
    "What are the addresses of Lima and San Jose?": [
        "What is the address of Lima?",
        "What is the address of San Jose?",
    ],
}
ONE = (
    "What is the special magic Paris number?",
    "What is the name of the captain and the ship?",
    "What is the code for Lima and Oslo?",
    "What are all the special magic numbers for quiet-door mentioned in the provided text?",
    'Quote the passage that begins "the cup and the cup and the cup"',
    "Who met Pierre, Natasha and Andrew?",
    "What is bread, butter and jam?",
    f"What are the codes for {', '.join(f'n{i}' for i in range(99))} and Oslo?",
    "",
)
FACTS = {"Oslo": "4071", "Lima": "88213", "Cairo": "950"}


@pytest.mark.parametrize(("question", "expected"), LISTS.items())
def test_lists_are_taken_apart(question, expected):
    assert questions(question) == expected


@pytest.mark.parametrize("question", ONE)
def test_what_is_no_list_stays_whole(question):
    assert questions(question) == [question]


@pytest.fixture(scope="module")
def reading(spark, parts):
    lines = parts[0].text.split("\n")
    for at, (city, code) in enumerate(FACTS.items()):
        lines.insert(20 + 30 * at, f"The special magic {city} number is: {code}.")
    return spark.read(pollux.Part(name="a.txt", kind="text", text="\n".join(lines)))


def asked(*cities):
    return f"What is {' and '.join(f'the special magic {city} number' for city in cities)}?"


def test_an_answer_has_a_line_for_each(spark, reading):
    answer = spark.ask(reading, asked(*FACTS))
    lines = answer.text.split("\n")
    assert answer.kind == "answer" and answer.finish == "end"
    assert lines == [f"The special magic {city} number is: {FACTS[city]}." for city in FACTS]
    alone = [spark.ask(reading, asked(city)) for city in FACTS]
    assert [one.text for one in alone] == lines
    assert len(answer.sources) == sum(len(one.sources) for one in alone)
    assert answer.tokens == sum(one.tokens for one in alone)
    assert answer.probability == min(one.probability for one in alone)


def test_streamed_equals_asked(spark, reading):
    *pieces, answer = spark.stream(reading, asked(*FACTS))
    assert "".join(pieces) == answer.text == spark.ask(reading, asked(*FACTS)).text


def test_what_is_not_there_is_said_of_its_own(spark, reading):
    answer = spark.ask(reading, asked("Oslo", "Quito", "Cairo"))
    first, second, third = answer.text.split("\n")
    assert "4071" in first and "Quito" in second and "not in the text" in second and "950" in third
    assert answer.kind == "answer"
    assert spark.ask(reading, asked("Quito", "Accra")).kind == "absent"


def test_no_more_tokens_than_allowed(spark, reading):
    answer = spark.ask(reading, asked(*FACTS), pollux.Sampling(max_tokens=24))
    assert answer.tokens == 24 and answer.finish == "max_tokens"
    assert answer.text.startswith("The special magic Oslo number is: 4071.\n")
