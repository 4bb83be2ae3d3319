# SPDX-License-Identifier: Apache-2.0
"""Calls as they are counted: what is the same call, what may be asked, and the way through."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

import pollux
from pollux.data import facts
from pollux.evals import command, tools, tools_command
from pollux.tokenizer import Tokenizer

WORDS = [f"{a}{b}" for a in ("bell", "cart", "dusk", "fern", "gold") for b in "aeiouwyz"]


@pytest.fixture(scope="module")
def vocabulary():
    words = [*WORDS, *(word.title() for word in WORDS)]
    return facts.Vocabulary(Tokenizer.load(), words, [], evaluation=True)


@pytest.mark.parametrize(
    ("expected", "given", "same"),
    [
        ({"city": "San Jose"}, {"city": "san  jose"}, True),
        ({"count": "3", "sum": "12.50"}, {"count": 3, "sum": 12.5}, True),
        ({"late": "false"}, {"late": False}, True),
        ({"late": "true"}, {"late": 1}, False),
        ({"city": "Rome"}, {"city": "Rome", "day": "today"}, False),
        ({"city": "Rome"}, {}, False),
    ],
)
def test_the_same_call(expected, given, same):
    assert tools.same(expected, given) == same


def test_cases_are_fair(vocabulary):
    cases = list(tools.simple(vocabulary, 30, 0))
    wishes = {"simple tool": (1, 1), "one of several": (1, 4), "two at once": (2, 4)}
    wishes["none fits"] = (0, 3)
    assert {one.cell for one in cases} == {*wishes}
    for one in cases:
        called, declared = wishes[one.cell]
        shown = {tool.name: {p.name for p in tool.parameters} for tool in one.tools}
        assert len(one.calls) == called and len(shown) == declared
        for call in one.calls:
            assert {*call.arguments} <= shown[call.function]
    again = list(tools.simple(vocabulary, 30, 0))
    assert cases == again


def test_calls_are_counted(tmp_path):
    rome = tools.Call(function="fly", arguments={"to": "Rome"})
    stay = tools.Call(function="stay", arguments={})
    trial = tools.Trial(cell="two at once", said="", declared=(), expected=(rome, stay), made=())
    made = [
        replace(trial, made=(stay, rome)),
        replace(trial, made=(stay, replace(rome, arguments={"to": "Oslo"}))),
        replace(trial, made=(rome,)),
        replace(trial, made=(rome, stay, stay)),
        replace(trial, cell="none fits", expected=()),
        replace(trial, cell="none fits", expected=(), made=(stay,)),
    ]
    cells = tools.cells(made)
    assert [(c.right, e.right, e.trials) for c, e in cells.values()] == [(2, 1, 4), (1, 1, 2)]
    path = tmp_path / "tools.json"
    tools.save(made, path, {"seed": 0})
    saved = json.loads(path.read_text())
    assert len(saved["trials"]) == 6 and len(saved["cells"]["none fits"]["exact"]["wilson"]) == 2


FLOOR = {"simple tool": 0.75, "one of several": 0.75, "two at once": 0.6, "none fits": 0.8}


def test_the_caller_in_the_package_is_good(vocabulary):
    """Of calls that no training has met; `pollux eval tools` measures five times as many."""
    made = [*tools.run(pollux.load(), tools.simple(vocabulary, 40, 0))]
    cells = tools.cells(made)
    assert {cell for cell, (_, exact) in cells.items() if exact.share < FLOOR[cell]} == set(), cells


def test_the_command_says_what_is_wrong():
    assert tools_command.tools
    shown = CliRunner().invoke(command.app, ["tools", "--trials", "0"])
    assert shown.exit_code and "--trials must be 1 or more" in str(shown.exception)
