# SPDX-License-Identifier: Apache-2.0
"""Which function is called and with what: the grammar of a call, what is shown, what is parsed."""

import numpy as np
import pytest

from pollux import calls
from pollux.calls import Turn
from pollux.data import tools
from pollux.data.requests import Request
from pollux.serve import calling, grammar, wire
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


@pytest.mark.parametrize(
    "text",
    [
        "- time: 7:30\n",
        "- time: 7:30\n- sound:bird song\n- times: 3\n- weekly: true\n",
        '- time: 7:30\n- days: ["Mon"]\n- code: "ABC"\n',
    ],
)
def test_lines_of_their_types_may_be_written(grammars, text):
    form = calling.form(calling.function(ALARM), SAID)
    assert allowed(grammars, form, text) == (text, True)


@pytest.mark.parametrize(
    ("text", "stops"),
    [
        ("- sound: bell\n", "-"),  # the time is required
        ("- time: noon\n", "- time:"),  # nobody said so
        ("- time: 7:30\n- sound: gong\n", "- time: 7:30\n- sound:"),
        ("- time: 7:30\n- times: three\n", "- time: 7:30\n- times:"),
        ('- time: 7:30\n- days: ["Sun"]\n', '- time: 7:30\n- days: ["'),
    ],
)
def test_nothing_else_may(grammars, text, stops):
    form = calling.form(calling.function(ALARM), SAID)
    assert allowed(grammars, form, text) == (stops, False)


def test_what_training_teaches_may_be_written(grammars):
    given = {"time": "7:30", "sound": "bird song", "weekly": "false"}
    function = calling.function(ALARM)
    made = tools.example(
        grammars.tokenizer, Request(tool=function.tool, turns=SAID, arguments=given)
    )
    taught = [int(token) for token in made[1].tokens][1:-1]
    guide = grammars.guide(calling.form(function, SAID))
    for i, token in enumerate(taught):
        assert guide(taught[:i], np.zeros(grammars.tokenizer.vocab_size))[token] == 0
    call = calling.call_of(function, grammars.tokenizer.decode(taught))
    assert call.args == {"time": "7:30", "sound": "bird song", "weekly": False}


def test_lines_become_arguments_of_their_types():
    function = calling.function(ALARM)
    text = '- time:7:30\n- times: 3\n- days: ["Mon", "Tue"]\n- code: "ABC"'
    call = calling.call_of(function, text)
    assert call.name == "set_alarm"
    assert call.args == {"time": "7:30", "times": 3, "days": ["Mon", "Tue"], "code": "ABC"}
    assert calling.call_of(function, "- times: many") is None


def test_what_is_shown_of_a_function():
    assert calls.question(calling.function(ALARM).tool, SAID).splitlines()[:4] == [
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
    function = calling.function(declared)
    assert allowed(grammars, calling.form(function, SAID), "{}") == ("{}", True)
    assert calling.call_of(function, "{}").args == {}


def test_a_function_without_parameters(grammars):
    function = calling.function(wire.FunctionDeclaration(name="stop"))
    assert allowed(grammars, calling.form(function, SAID), "") == ("", True)
    assert calling.call_of(function, "").args == {}


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
def test_whatever_was_said_a_call_can_be_written(grammars, words):
    function = calling.function(
        wire.FunctionDeclaration(
            name="say", parameters={"type": "OBJECT", "properties": {"it": {"type": "STRING"}}}
        )
    )
    said = (Turn(role=calls.USER, text=words),)
    assert allowed(grammars, calling.form(function, said), "")[1]
    assert calling.call_of(function, "- it: more").args == {"it": "more"}
