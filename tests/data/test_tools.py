# SPDX-License-Identifier: Apache-2.0
"""Calls as examples: laid out as the server lays them out, pointed at, split by name."""

import numpy as np
import pytest

from pollux import calls
from pollux.calls import Parameter, Role, Tool, Turn
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
    assert text.text.splitlines() == [
        "Tool: set alarm. Rings at a time of day.",
        "- time: When it is to ring",
        "- weekly: true | false",
        "- sound: bell | bird song",
        "User: Wake me at 7:30",
    ]
    long = calls.heard([*user("early"), *user("word " * 200)])
    assert len(long) == 1
    assert len(long[0].text) <= calls.HEARD


def pointed_at(example):
    return [None if span is None else example.question[span] for span in example.spans]


def test_values_are_pointed_at():
    given = {"time": "7:30", "weekly": "false", "sound": "bird song"}
    request = Request(tool=ALARM, turns=user('To "bird song", at 7:30.'), arguments=given)
    example = tools.example(request)
    assert pointed_at(example) == ["7:30", "false", "bird song"]
    roles = [example.question.pieces[first].role for first, _ in example.spans]
    assert roles == [Role.USER, Role.VALUE, Role.VALUE]
    request = Request(tool=ALARM, turns=user("At 7:30, or 7:30 pm"), arguments={"time": "7:30"})
    assert pointed_at(tools.example(request)) == ["7:30", None, None]
    assert tools.example(request).spans[0][0] > 30  # the last one


def test_what_nobody_said_is_no_example():
    request = Request(tool=ALARM, turns=user("Wake me at 7:30"), arguments={"time": "8:30"})
    assert tools.example(request) is None
    request = Request(tool=ALARM, turns=user("Wake me gong"), arguments={"sound": "gong"})
    assert tools.example(request) is None


def test_what_a_batch_holds():
    given = {"time": "7:30", "sound": "bell"}
    fits = tools.example(Request(tool=ALARM, turns=user("At 7:30"), arguments=given))
    other = tools.example(Request(tool=ALARM, turns=user("Who is to blame?"), arguments=None))
    batch = tools.laid_out([fits, other], 64)
    assert batch.fits.tolist() == [1, 0]
    assert batch.counts[0].tolist() == [1, 1, 1] + [0] * (tools.PARAMETERS - 3)
    assert not batch.counts[1].any()
    assert batch.first[0, 1] == batch.last[0, 1] == batch.asked.heads[0, 1]  # nobody said it
    for ends in (batch.first, batch.last):
        there = batch.asked.may[np.arange(2)[:, None], np.arange(tools.PARAMETERS), ends]
        assert there[batch.counts > 0].all()


def test_words_are_told_by_their_letters_and_where_else_they_stand():
    turns = user("Set an alarm at TIME, weekly")
    asked = calls.asked([(ALARM, calls.question(ALARM, turns))], 64, 4)
    pieces = calls.question(ALARM, turns).pieces
    texts = [calls.question(ALARM, turns).text[p.begin : p.end] for p in pieces]
    at = {text: number for number, text in enumerate(texts)}  # the last of each
    assert bytes(asked.letters[0, at["TIME"]]).strip(b"\0").startswith(b"time")
    assert asked.looks[0, [at["weekly"], at["Set"], at["TIME"], at[","]]].tolist() == [0, 1, 2, 3]
    assert asked.shared[0, [at["alarm"], at["weekly"], at["an"]]].tolist() == [1, 2, 0]
    assert asked.shared[0, texts.index("set")] == 1
    assert not asked.roles[0, len(texts) :].any()


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


def test_requests_by_rule_can_be_pointed_at(kit):
    rng = np.random.default_rng(0)
    made = [chores.request(rng, kit.vocabulary, kit.questions) for _ in range(200)]
    examples = [tools.example(one) for one in made]
    assert sum(one is not None for one in examples) > 190
    fits = sum(one.arguments is not None for one in made)
    assert 90 < fits < 150
    for request, one in zip(made, examples, strict=True):
        if one and one.spans:
            said = [text for text in pointed_at(one) if text is not None]
            assert [text.casefold() for text in said] == [
                request.arguments[p.name].casefold()
                for p in request.tool.parameters
                if p.name in request.arguments
            ]


def test_batches_have_room_for_what_they_hold(kit):
    material = tools.Material(kit.vocabulary, kit.questions, ())
    batch = tools.batch(material, np.random.default_rng(0), 640)
    assert batch.asked.roles.shape == (10, tools.BY_RULE)
    assert 0 < batch.fits.sum() < 10
    again = tools.batch(material, np.random.default_rng(0), 640)
    np.testing.assert_array_equal(batch.asked.letters, again.asked.letters)


def test_what_is_kept_for_evaluation_training_never_asks():
    trained, kept = chores.errands(evaluation=False), chores.errands(evaluation=True)
    assert len(kept) >= 5
    assert {one.names[0] for one in trained} | {one.names[0] for one in kept} == {
        one.names[0] for one in errands.ERRANDS
    }
    assert not any(kept_for_evaluation(one.names[0]) for one in trained)


def test_of_a_service_only_what_was_said_is_declared():
    service = services.service(SCHEMA)
    [one] = services.dialogues({"turns": TURNS}, {"Restaurants_1": service})
    request = services.copied(np.random.default_rng(0), one)
    assert request.arguments == {"city": "san jose", "size": "2"}
    assert "date" not in [p.name for p in request.tool.parameters]
    example = tools.example(request)
    shown = dict(zip((p.name for p in request.tool.parameters), pointed_at(example), strict=True))
    assert shown["city"] == "San Jose" and shown["size"] == "2"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,200", 1_200),
        ("two", 2),
        ("Twelve", 12),
        ("-3.5", -3.5),
        ("12.00", 12),
        ("12,5", None),
        ("a", None),
        ("1e9", None),
        ("", None),
    ],
)
def test_numbers_as_they_are_said(text, value):
    assert calls.number(text) == value
    assert isinstance(calls.number(text), type(value))
