# SPDX-License-Identifier: Apache-2.0
"""Calls as they are counted: what is the same call, what may be asked, and the way through."""

import json
from dataclasses import replace
from itertools import islice

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
    assert {one.cell for one in cases} == {"simple tool", "one of several", "none fits"}
    for one in cases:
        names = [tool.name for tool in one.tools]
        assert (one.function in names) == (one.cell != "none fits")
        assert len(names) == (1 if one.cell == "simple tool" else 3 + (one.function is not None))
        shown = {p.name for tool in one.tools if tool.name == one.function for p in tool.parameters}
        assert {*one.arguments} <= shown
    again = list(tools.simple(vocabulary, 30, 0))
    assert cases == again


def test_untrained_weights_are_counted(weights, vocabulary, tmp_path):
    cases = islice(tools.simple(vocabulary, 1, 0), 1)
    [trial] = tools.run(pollux.load(weights), cases)
    trials = [trial, replace(trial, cell="none fits", expected=None, called=None)]
    cells = tools.cells(trials)
    assert [*cells] == ["simple tool", "none fits"]
    assert all(right.trials == 1 and right.right <= chose.right for chose, right in cells.values())
    assert cells["none fits"][1].right == 1
    path = tmp_path / "tools.json"
    tools.save(trials, path, {"seed": 0})
    saved = json.loads(path.read_text())
    assert len(saved["trials"]) == 2 and len(saved["cells"]["none fits"]["exact"]["wilson"]) == 2


def test_the_command_says_what_is_wrong():
    assert tools_command.tools
    shown = CliRunner().invoke(command.app, ["tools", "--trials", "0"])
    assert shown.exit_code and "--trials must be 1 or more" in str(shown.exception)
