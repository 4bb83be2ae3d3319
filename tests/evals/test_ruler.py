# SPDX-License-Identifier: Apache-2.0
"""RULER's tasks: what is planted can be found, what is counted is counted, averages are RULER's."""

import json
import re
import sys
from collections import Counter

import numpy as np
import pytest

import pollux
from pollux import cli
from pollux.evals import grid, needle, needle_report, needle_results, ruler
from pollux.examples import war_and_peace


@pytest.fixture(scope="module")
def model(weights):
    return pollux.load(weights).loaded


@pytest.fixture(scope="module")
def known(model):
    return needle.vocabulary(model)


@pytest.fixture(scope="module")
def source():
    return grid.source_of([war_and_peace()])


def lines_of(model, known, source, task, tokens=4_000):
    rng = np.random.default_rng(3)
    made = ruler.source(task.text, source, known, rng, tokens)
    return grid.cut(model.tokenizer, made, tokens, rng)[0]


@pytest.mark.parametrize("name", ruler.TASKS)
def test_what_is_asked_is_there_once(model, known, source, name):
    """Each of the words expected, in what was planted or in a text made of such."""
    task, rng = ruler.TASKS[name], np.random.default_rng(0)
    lines = lines_of(model, known, source, task)
    for _ in range(5):
        planting = task.make(known, rng, lines)
        assert len(planting.needles) == task.planted
        depths = [depth for depth, _ in planting.needles]
        assert depths == sorted(depths) and all(0 <= depth < 1 for depth in depths)
        (question,) = planting.questions
        there = [line for _, line in planting.needles] if task.planted else lines
        assert len(set(question.expected)) == len(question.expected) > 0
        for one in question.expected:
            assert any(one in line for line in there)
            assert one not in question.text
        if question.needle is not None:
            assert question.expected[0] in there[question.needle]


def test_wordings_are_rulers(known):
    rng = np.random.default_rng(0)
    planting = ruler.multi_query(known, rng, ())
    key = r"[a-z]+-[a-z]+"
    assert re.fullmatch(
        rf"What are all the special magic numbers for {key}, {key}, {key}, and {key} mentioned in "
        "the provided text\\?",
        planting.questions[0].text,
    )
    for _, line in planting.needles:
        assert re.fullmatch(rf"One of the special magic numbers for {key} is: \d{{7}}\.", line)
    one = ruler.single(known, rng, ()).questions[0].text
    assert re.fullmatch(
        rf"What is the special magic number for {key} mentioned in the provided text\?", one
    )


def test_a_chain(known):
    rng = np.random.default_rng(0)
    names, value, lines = ruler.chain(rng)
    assert len(set(names)) == len(lines) == 5 and lines[0] == f"VAR {names[0]} = {value}"
    assert lines[4] == f"VAR {names[4]} = VAR {names[3]}"
    assert names[4] in ruler.tracking(known, np.random.default_rng(0), ()).questions[0].text
    assert value in ruler.variables(known, np.random.default_rng(0), ()).questions[0].text


def test_words_are_counted(model, known, source):
    """The common ones ten times as often as others; of the coded ones the second most is named."""
    lines = lines_of(model, known, source, ruler.RULER["cwe"], 20_000)
    counts = Counter(re.findall(r"\d+\. (\S+)", "\n".join(lines)))
    expected = ruler.common_words(known, np.random.default_rng(0), lines).questions[0].expected
    assert len(expected) == 10
    rest = [count for word, count in counts.items() if word not in expected]
    assert min(counts[word] for word in expected) > max(rest)
    lines = lines_of(model, known, source, ruler.RULER["fwe"], 20_000)
    first = Counter(" ".join(lines).split(" ")).most_common(4)
    expected = ruler.frequent_words(known, np.random.default_rng(0), lines).questions[0].expected
    assert [word for word, _ in first] == ["....", *expected]


def test_averages():
    means = ruler.averages({"niah_single_1": 1.0, "niah_multivalue": 0.5, "vt": 0.0, "mrcr": 1.0})
    assert means == {"tasks": 3, "average": 0.5, "trained_tasks": 2, "trained_average": 0.75}
    assert ruler.averages({})["average"] is None
    assert not any(ruler.RULER[name].trained for name in ("vt", "cwe", "fwe"))
    assert set(needle_report.TOLD) == set(needle_results.ALL)


def test_command(model, tmp_path, monkeypatch, capsys):
    """Tasks from a text of their own, from one of a kind, and from the source."""
    monkeypatch.setattr(pollux, "load", lambda path: pollux.Model(model))
    monkeypatch.setattr(needle, "ANSWER", pollux.Sampling(max_tokens=4))
    tasks, out = ("niah_multikey_2", "niah_multiquery", "vt", "cwe"), tmp_path / "out"
    given = ["pollux", "eval", "ruler", "--length", "1.2k", "--trials", "1", "-o", str(out)]
    monkeypatch.setattr(
        sys, "argv", [*given, *(word for task in tasks for word in ("--task", task))]
    )
    cli.main()
    told = capsys.readouterr().out
    assert "vt*" in told and "0% of 4" in told and "0% of 2" in told
    made = json.loads((out / "needle.json").read_text())
    assert [(row["family"], row["count"]) for row in made["pooled"]] == [
        (task, 1) for task in tasks
    ]
    means = made["ruler"][0]
    assert (means["tasks"], means["trained_tasks"], means["average"]) == (4, 2, 0)
    page = (out / "needle.html").read_text()
    assert needle_report.TOLD["vt"] in page and "as RULER counts" in page
    assert not (out / "needle.png").exists()
