# SPDX-License-Identifier: Apache-2.0
"""Calls as examples: rendered as the server renders them, every token a copy, split by name."""

import numpy as np
import pytest

from pollux import calls, prompt
from pollux.calls import Parameter, Tool, Turn
from pollux.data import chores, errands, services, tools
from pollux.data.facts import kept_for_evaluation
from pollux.data.requests import Request, mentions

ALARM = Tool(
    name="setAlarm",
    description="Rings at a time of day.",
    parameters=(
        Parameter(name="time", description="When it is to ring"),
        Parameter(name="weekly", kind="boolean"),
        Parameter(name="sound", values=("bell", "bird song")),
    ),
)
SCHEMA = {
    "service_name": "Restaurants_1",
    "slots": [
        {"name": n, "description": d, "is_categorical": bool(v), "possible_values": v}
        for n, d, v in (
            ("city", "City of it", []),
            ("date", "Date", []),
            ("has_live_music", "Music", ["True", "False"]),
            ("size", "Party", ["1", "2"]),
        )
    ],
    "intents": [
        {
            "name": "FindTable",
            "description": "Find a table",
            "required_slots": ["city", "date"],
            "optional_slots": {"has_live_music": "dontcare", "size": "2"},
        }
    ],
}
TURNS = [
    {"role": "user", "text": "A table in San Jose on the 11th."},
    {"role": "assistant", "text": "For how many?"},
    {"role": "user", "text": "For 2."},
    {
        "role": "call",
        "service": "Restaurants_1",
        "method": "FindTable",
        "parameters": {"city": "san jose", "date": "2019-03-11", "size": "2"},
    },
]


def user(text):
    return (Turn(role=calls.USER, text=text),)


def test_a_tool_is_shown_with_its_parameters_and_the_last_turns():
    text = calls.question(ALARM, user("Wake me\nat 7:30"))
    assert text.splitlines() == [
        "Tool: set alarm. Rings at a time of day.",
        "- time: When it is to ring",
        "- weekly: true | false",
        "- sound: bell | bird song",
        "User: Wake me at 7:30",
    ]
    long = calls.heard([*user("early"), *user("word " * 200)])
    assert len(long) == 1
    assert len(long[0].text) <= calls.HEARD


def test_a_call_copies_lines_and_values(kit):
    given = {"time": "7:30", "weekly": "false", "sound": "bird song"}
    request = Request(tool=ALARM, turns=user('To "bird song", at 7:30.'), arguments=given)
    asked, answer = tools.example(kit.tokenizer, request)
    copies = [(token, at) for token, at in zip(answer.tokens, answer.again, strict=True) if at]
    assert all(asked[at] == token for token, at in copies)
    said = kit.tokenizer.decode(answer.tokens)
    assert said == "- time: 7:30\n- weekly: false\n- sound:bird song\n"
    assert answer.tokens[0] == kit.control("<begin_call>")
    assert answer.tokens[-1] == kit.control("<end>")


def test_what_nobody_said_is_no_example(kit):
    request = Request(tool=ALARM, turns=user("Wake me at 7:30"), arguments={"time": "8:30"})
    assert tools.example(kit.tokenizer, request) is None


def test_a_tool_that_does_not_fit_is_declined(kit):
    request = Request(tool=ALARM, turns=user("Who is to blame?"), arguments=None)
    asked, answer = tools.example(kit.tokenizer, request)
    assert answer.tokens == [kit.control(name) for name in ("<other>", "<end>")]
    text = calls.question(ALARM, request.turns)
    assert np.array_equal(asked, prompt.question(kit.tokenizer, text))


@pytest.mark.parametrize(
    ("text", "value", "found"),
    [
        ("at 7:30", "7", []),
        ("for 7, now", "7", [4]),
        ("Sevens", "seven", []),
        ("PARIS", "paris", [0]),
    ],
)
def test_values_are_whole_words_and_numbers(text, value, found):
    assert mentions(text, value) == found


def test_requests_by_rule_can_nearly_all_be_copied(kit):
    rng = np.random.default_rng(0)
    made = [chores.request(rng, kit.vocabulary, kit.questions) for _ in range(200)]
    examples = [tools.example(kit.tokenizer, one) for one in made]
    assert sum(one is not None for one in examples) > 190
    fits = sum(one.arguments is not None for one in made)
    assert 90 < fits < 150
    assert max(len(one[0]) for one in examples if one) < 200


def test_what_is_kept_for_evaluation_training_never_asks():
    trained, kept = chores.errands(evaluation=False), chores.errands(evaluation=True)
    assert len(kept) >= 5
    assert {one.names[0] for one in trained} | {one.names[0] for one in kept} == {
        one.names[0] for one in errands.ERRANDS
    }
    assert not any(kept_for_evaluation(one.names[0]) for one in trained)


def test_of_a_service_only_what_was_said_is_declared(kit):
    service = services.service(SCHEMA)
    [one] = services.dialogues({"turns": TURNS}, {"Restaurants_1": service})
    request = services.copied(np.random.default_rng(0), one)
    assert request.arguments == {"city": "san jose", "size": "2"}
    assert "date" not in [p.name for p in request.tool.parameters]
    _, answer = tools.example(kit.tokenizer, request)
    assert kit.tokenizer.decode(answer.tokens) == "- city: San Jose\n- size: 2\n"
