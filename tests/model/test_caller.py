# SPDX-License-Identifier: Apache-2.0
"""A caller's verdicts: of each question by itself, and nothing that may not be pointed at."""

import jax
import numpy as np
import pytest

from pollux import calls, config, params
from pollux.calls import Parameter, Tool, Turn
from pollux.model import caller

SMALL = config.Caller(channels=16, layers=2, heads=2, letter=4)
ALARM = Tool(
    name="setAlarm",
    parameters=(Parameter(name="time"), Parameter(name="weekly", kind="boolean")),
)
STOP = Tool(name="stop", description="Stops everything at once.")
SAID = (Turn(role=calls.USER, text="Wake me at 7:30, weekly."),)


@pytest.fixture(scope="module")
def weights():
    return params.initialise(caller.declare(SMALL), jax.random.key(0))


def judged(weights, tools, words=64, parameters=4):
    shown = [(tool, calls.question(tool, SAID)) for tool in tools]
    return caller.judge(weights, calls.asked(shown, words, parameters))


def test_what_fills_up_changes_nothing(weights):
    alone = judged(weights, [ALARM], 32, 2)
    beside = judged(weights, [STOP, ALARM], 96, 6)
    np.testing.assert_allclose(alone.fits[0], beside.fits[1], atol=1e-5)
    for one, other in ((alone.first, beside.first), (alone.last, beside.last)):
        allowed = np.asarray(one[0]) > caller.NEVER / 2
        np.testing.assert_allclose(one[0][allowed], other[1, :2, :32][allowed], atol=1e-5)


def test_points_at_what_was_said_or_listed(weights):
    question = calls.question(ALARM, SAID)
    allowed = np.asarray(judged(weights, [ALARM]).first[0]) > caller.NEVER / 2
    texts = [
        [question[at, at] for at in np.flatnonzero(allowed[number]).tolist()] for number in range(2)
    ]
    assert texts[0] == ["-", "Wake", "me", "at", "7", ":", "30", ",", "weekly", "."]
    assert texts[1] == ["-", "true", "false"]


def test_sees_both_ways(weights):
    later = (Turn(role=calls.USER, text="Wake me at 7:30, never."),)
    one, other = (
        caller.judge(weights, calls.asked([(ALARM, calls.question(ALARM, said))], 64, 2))
        for said in (SAID, later)
    )
    time = [piece.line for piece in calls.question(ALARM, SAID).pieces].index(1)
    assert float(abs(one.first - other.first)[0, 0, time]) > 0
    assert float(abs(one.fits - other.fits)[0]) > 0
