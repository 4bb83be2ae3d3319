# SPDX-License-Identifier: Apache-2.0
"""Which functions are called, with what: schemas, what is written, the caller in the package."""

import numpy as np
import pytest

from pollux import calls
from pollux.calls import Turn
from pollux.serve import calling, grammar, wire
from pollux.serve.calling import Calling, Decider
from pollux.serve.errors import ApiError
from pollux.serve.grammar import Grammars
from pollux.tokenizer import Tokenizer

ALARM = wire.FunctionDeclaration(
    name="set_alarm",
    description="Rings at a time of day.",
    parameters={
        "type": "OBJECT",
        "properties": {
            "time": {"type": "STRING", "description": "When it is to ring"},
            "sound": {"type": "STRING", "enum": ["bell", "bird song"]},
            "times": {"type": "INTEGER"},
            "weekly": {"type": "BOOLEAN", "nullable": True},
            "days": {"type": "ARRAY", "items": {"type": "STRING", "enum": ["Mon", "Tue"]}},
            "code": {"type": "STRING", "pattern": "^[A-Z]{3}$"},
        },
        "required": ["time"],
    },
)
SAID = (Turn(role=calls.USER, text='Wake me at 7:30 with "bird song", 3 times'),)


@pytest.fixture(scope="module")
def grammars():
    return Grammars(Tokenizer.load())


def allowed(grammars, form, text):
    """The part of `text` that may be written, and whether it may end there."""
    guide, said, tokenizer = grammars.guide(form), [], grammars.tokenizer
    for token in tokenizer.encode(text).tolist():
        if guide(said, np.zeros(tokenizer.vocab_size))[token] <= grammar.FORBIDDEN:
            return tokenizer.decode(said), False
        said.append(token)
    end = tokenizer.control["<end>"]
    ends = guide(said, np.zeros(tokenizer.vocab_size))[end] > grammar.FORBIDDEN
    return tokenizer.decode(said), bool(ends)


def decision(function, *missing, turns=SAID, **arguments):
    return calling.Decision(
        function=function,
        arguments=arguments,
        missing=missing,
        forced=True,
        turns=turns,
        fits=1.0,
    )


FIRST = "- time: 7:30\n"


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        (("time",), "- time: 7:30\n"),
        (
            ("time", "sound", "times", "weekly"),
            FIRST + "- sound:bird song\n- times: 3\n- weekly: true\n",
        ),
        (("time", "days", "code"), FIRST + '- days: ["Mon"]\n- code: "ABC"\n'),
    ],
)
def test_lines_of_their_types_may_be_written(grammars, missing, text):
    form = calling.form(decision(calling.function(ALARM), *missing))
    assert allowed(grammars, form, text) == (text, True)


@pytest.mark.parametrize(
    ("missing", "text", "stops"),
    [
        (("time", "sound"), "- sound: bell\n", "-"),  # the time comes first
        (("time",), "- time: noon\n", "- time:"),  # nobody said so
        (("sound",), "- sound: gong\n", "- sound:"),
        (("times",), "- times: three\n", "- times:"),
        (("days",), '- days: ["Sun"]\n', '- days: ["'),
    ],
)
def test_nothing_else_may(grammars, missing, text, stops):
    form = calling.form(decision(calling.function(ALARM), *missing))
    assert allowed(grammars, form, text) == (stops, False)


def test_lines_become_arguments_of_their_types():
    given = decision(calling.function(ALARM), "times", "days", "code", time="7:30")
    call = calling.call_of(given, '- times: 3\n- days: ["Mon", "Tue"]\n- code: "ABC"')
    assert call.name == "set_alarm"
    assert call.args == {"time": "7:30", "times": 3, "days": ["Mon", "Tue"], "code": "ABC"}
    assert calling.call_of(given, "- times: many") is None


@pytest.mark.parametrize(
    ("schema", "words", "value"),
    [
        ({"type": "string"}, "bird song", "bird song"),
        ({"type": "string", "enum": ["bell", "Bird song"]}, "bird Song", "Bird song"),
        ({"type": "string", "enum": ["bell"]}, "gong", None),
        ({"type": "integer"}, "two", 2),
        ({"type": "integer"}, "1,200", 1_200),
        ({"type": "integer"}, "2.5", None),
        ({"type": "integer", "maximum": 3}, "4", None),
        ({"type": "number", "minimum": 3}, "4.5", 4.5),
        ({"type": "number"}, "many", None),
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, "false", False),
        ({"type": "boolean"}, "weekly", None),
        ({"type": "string", "pattern": "^[A-Z]{3}$"}, "ABC", "ABC"),
        ({"type": "string", "pattern": "^[A-Z]{3}$"}, "abc", None),
        ({"type": "array", "items": {"type": "string"}}, "Mon, Tue and Wed", ["Mon", "Tue", "Wed"]),
        ({"type": "array", "items": {"type": "integer"}}, "1, two", [1, 2]),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 1}, "1, two", None),
        ({"type": "object"}, "anything", None),
    ],
)
def test_words_as_values_of_a_schema(grammars, schema, words, value):
    made = calling.valued(schema, words, grammars)
    assert made == value and isinstance(made, type(value))


def test_what_is_shown_of_a_function():
    assert calls.question(calling.function(ALARM).tool, SAID).text.splitlines()[:4] == [
        "Tool: set alarm. Rings at a time of day.",
        "- time: When it is to ring",
        "- sound: bell | bird song",
        "- times: whole number",
    ]


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}},
        {"type": "object", "properties": {"a:b": {"type": "string"}}},
        {"anyOf": [{"type": "object", "properties": {"a": {"type": "integer"}}}]},
    ],
)
def test_entangled_arguments_are_one_object(grammars, schema):
    declared = wire.FunctionDeclaration(name="f", parameters_json_schema=schema)
    given = decision(calling.function(declared))
    assert given.written
    assert allowed(grammars, calling.form(given), "{}") == ("{}", True)
    assert calling.call_of(given, "{}").args == {}


def test_a_function_without_parameters():
    given = decision(calling.function(wire.FunctionDeclaration(name="stop")))
    assert not given.written
    assert calling.call_of(given).args == {}


def user(text):
    return (Turn(role=calls.USER, text=text),)


def decided(grammars, text, *declared, forced=False):
    functions = tuple(map(calling.function, declared or HOUSE))
    wanted = Calling(functions=functions, turns=user(text), forced=forced)
    made = Decider(wanted, grammars, lambda: None).decided()
    return [(one.function.tool.name, one.arguments) for one in made]


HOUSE = [
    wire.FunctionDeclaration(
        name=name,
        description=told,
        parameters={
            "type": "OBJECT",
            "properties": {key: {"type": kind} for key, kind in properties.items()},
        },
    )
    for name, told, properties in (
        ("get_weather", "Get the weather of a place.", {"city": "STRING"}),
        ("set_volume", "Change the volume of a device.", {"level": "INTEGER", "device": "STRING"}),
        ("lock_door", "Lock the door.", {}),
    )
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is the weather in Lima?", [("get_weather", {"city": "Lima"})]),
        (
            "Set the volume of the radio to 40",
            [("set_volume", {"level": 40, "device": "radio"})],
        ),
        ("Please lock the door.", [("lock_door", {})]),
        (
            "Tell me the weather in Oslo and lock the door",
            [("get_weather", {"city": "Oslo"}), ("lock_door", {})],
        ),
        (
            "Get the weather in Rome. Then get the weather in Cairo.",
            [("get_weather", {"city": "Rome"}), ("get_weather", {"city": "Cairo"})],
        ),
        ("Who wrote this book?", []),
    ],
)
def test_what_is_said_is_called(grammars, text, expected):
    assert decided(grammars, text) == expected


def test_where_a_call_is_forced_one_is_made(grammars):
    [(name, _)] = decided(grammars, "Who wrote this book?", forced=True)
    assert name in {one.name for one in HOUSE}
    [(name, _)] = decided(grammars, "", forced=True)
    assert name in {one.name for one in HOUSE}


def test_a_decision_that_nobody_waits_for_is_given_up(grammars):
    def gone():
        raise TimeoutError

    wanted = Calling(functions=(calling.function(ALARM),), turns=SAID, forced=False)
    with pytest.raises(TimeoutError):
        Decider(wanted, grammars, gone).decided()


def test_many_functions_are_asked_about(grammars):
    others = [
        wire.FunctionDeclaration(name=f"polish_item_{n}", description="Polish it.")
        for n in range(70)
    ]
    text = "What is the weather in Lima?"
    assert decided(grammars, text, *others, HOUSE[0]) == decided(grammars, text, HOUSE[0])


def test_what_is_in_quotation_marks_is_one_wish():
    halves = [*calling.halves('Write "ring and run" and lock the door. Then go')]
    assert halves == [
        ('Write "ring and run"', "lock the door. Then go"),
        ('Write "ring and run" and lock the door.', "Then go"),
    ]


def body(mode=None, names=(), last="user"):
    contents = [wire.Content(role="user", parts=[wire.Part(text="Wake me at 7:30")])]
    if last == "function":
        answer = wire.FunctionResponse(name="set_alarm", response={"result": "done"})
        contents.append(wire.Content(role="user", parts=[wire.Part(function_response=answer)]))
    config = wire.FunctionCallingConfig(mode=mode, allowed_function_names=names) if mode else None
    return [ALARM], wire.ToolConfig(function_calling_config=config), contents


def test_when_functions_may_be_called():
    assert not calling.wanted(*body()).forced
    assert calling.wanted(*body("ANY", ["set_alarm"])).forced
    assert calling.wanted(*body("NONE")) is None
    assert calling.wanted(*body(last="function")) is None
    assert calling.wanted(*body("ANY", last="function")).forced
    assert calling.results(body(last="function")[2]) == 'set_alarm: {"result": "done"}'
    with pytest.raises(ApiError, match="fly"):
        calling.wanted(*body("ANY", ["fly"]))
    with pytest.raises(ApiError, match="needs functionDeclarations"):
        calling.wanted([], *body("ANY")[1:])


@pytest.mark.parametrize("words", ["\ud800 half a pair", "", '"quoted" \\ and\nmore'])
def test_whatever_was_said_a_call_can_be_made(grammars, words):
    function = calling.function(
        wire.FunctionDeclaration(
            name="say",
            parameters={
                "type": "OBJECT",
                "properties": {"it": {"type": "STRING"}},
                "required": ["it"],
            },
        )
    )
    wanted = Calling(functions=(function,), turns=user(words) if words else (), forced=True)
    for one in Decider(wanted, grammars, lambda: None).decided():
        assert allowed(grammars, calling.form(one), "")[1] or one.written
        assert calling.call_of(one, "- it: more" if one.written else "").args["it"]
