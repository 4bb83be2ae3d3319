# SPDX-License-Identifier: Apache-2.0
"""Things that a question lists are counted, and nothing else is."""

import pytest

import pollux
from pollux.engine.several import things

LISTS = {
    "What is the special magic Gray number and the special magic Oslo number?": 2,
    "What is the code for Lima, the code for Oslo and the code for Rome? Be brief.": 3,
    "What are all the special magic numbers for quiet-door, red-owl, and tin-cup in it?": 3,
    "What are the codes for Lima and Oslo?": 2,
}
ONE = (
    "What is the special magic Paris number?",
    "What is the name of the captain and the ship?",
    "What is the code for Lima and Oslo?",
    "What are all the special magic numbers for quiet-door mentioned in the provided text?",
    'Quote the passage that begins "the cup and the cup and the cup"',
    "Who met Pierre, Natasha and Andrew?",
    "What is bread, butter and jam?",
    "",
)


@pytest.mark.parametrize(("question", "count"), [*LISTS.items(), *((one, 1) for one in ONE)])
def test_what_is_counted(question, count):
    assert things(question) == count


def test_an_answer_has_a_line_for_each(spark, parts):
    facts = {"Oslo": "4071", "Lima": "88213", "Cairo": "950"}
    lines = parts[0].text.split("\n")
    for at, (city, code) in enumerate(facts.items()):
        lines.insert(20 + 30 * at, f"The special magic {city} number is: {code}.")
    reading = spark.read(pollux.Part(name="a.txt", kind="text", text="\n".join(lines)))
    asked = " and ".join(f"the special magic {city} number" for city in facts)
    answer = spark.ask(reading, f"What is {asked}?")
    assert answer.kind == "answer" and len(answer.text.split("\n")) == 3
    assert all(code in answer.text for code in facts.values())
    alone = spark.ask(reading, "What is the special magic Lima number?")
    assert alone.text.split("\n") == ["The special magic Lima number is: 88213."]
