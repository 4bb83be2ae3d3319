# SPDX-License-Identifier: Apache-2.0
"""The needle grid: what is overwritten is what a reading of that text would hold, and is put back.

Untrained TINY weights: the machinery is tested, not the model.
"""

import html
import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest

import pollux
from pollux import cli
from pollux.engine import scan
from pollux.engine.answer import Respondent
from pollux.evals import grid, needle, needle_report, needle_results
from pollux.evals.needle_results import Cell
from pollux.examples import war_and_peace
from pollux.media.part import Part
from pollux.memory.manifest import SEGMENT

SENTENCE = needle.NEEDLE.format(city="Kutuzov", number="7654321")
SHORT = pollux.Sampling(max_tokens=6)
ODD = (  # texts whose lines or words need care
    "word " * 30_000,  # one line
    "\n" * 3_000 + "end",
    "战争与和平，第一章。" * 2_000,
    "a\r\n\t b\u0301 \U0001f600 ▁▁ fin.\n" * 2_000,
)


@pytest.fixture(autouse=True)
def short_answers(monkeypatch):
    """Untrained weights never end one."""
    monkeypatch.setattr(needle, "ANSWER", SHORT)


@pytest.fixture(scope="session")
def model(weights):
    return pollux.load(weights).loaded


@pytest.fixture(scope="session")
def source():
    return grid.source_of([war_and_peace()])


@pytest.fixture(scope="session")
def haystack(model, source):
    return grid.read(model, source, 4_000, np.random.default_rng(0))


@pytest.fixture(scope="session")
def long(model):
    """More than a segment, so that one stretch is the reading's own memory and one a copy."""
    text = "".join(f"Line {i} of a long book about rivers.\n" for i in range(7_000))
    source = grid.source_of([Part(name="long.txt", kind="text", text=text)])
    return grid.read(model, source, SEGMENT + 4_000, np.random.default_rng(0))


def held(haystack):
    return [array.copy() for array in haystack.reading.stores[0].arrays]


def same(left, right):
    """As in tests/engine/test_edit.py: equal but for what rounding does."""
    assert left.parts[0].end == right.parts[0].end
    assert np.array_equal(left.tokens, right.tokens)
    for what in ("keys", "values"):
        steps = np.abs(getattr(left, what).astype(int) - getattr(right, what))
        assert steps.max() <= 1 and (steps > 0).mean() < 1e-3
    for what in ("key_scales", "value_scales"):
        one, other = (getattr(r, what).view(np.int16).astype(int) for r in (left, right))
        assert np.abs(one - other).max() <= 1 and (one != other).mean() < 2e-3
    return True


def text_of(haystack):
    part = haystack.reading.parts[0]
    return haystack.model.tokenizer.decode(haystack.reading.tokens[part.text_start : part.end])


@pytest.mark.parametrize("depth", [0.0, 0.3, 1.0])
def test_overwritten_is_a_full_reading_and_is_put_back(haystack, depth):
    before, text = held(haystack), text_of(haystack)
    planted = grid.plant(haystack, depth, SENTENCE)
    with grid.overwritten(haystack, [planted]):
        assert same(haystack.reading, grid.read_anew(haystack, [planted]))
        lines = text_of(haystack).split("\n")
        assert lines[planted.line - 1] == SENTENCE
        assert len(lines) - 1 >= len(haystack.lines) - (planted.last - planted.first)
        fresh = scan.stretches(haystack.reading)
        for one, other in zip(haystack.respondent.stretches, fresh, strict=True):
            assert np.array_equal(one.keys, other.keys)
            assert np.array_equal(one.key_scales, other.key_scales)
    assert all(
        np.array_equal(one, other) for one, other in zip(before, held(haystack), strict=True)
    )
    assert text_of(haystack) == text


@pytest.mark.parametrize("at", [SEGMENT // 2, SEGMENT - 100, SEGMENT + 2_000])
def test_only_what_a_needle_touches_is_opened_again(long, at):
    size = int(long.starts[-1] - long.starts[0])
    planted = grid.plant(long, (at - int(long.starts[0])) / size, SENTENCE)
    before, stretches = held(long), list(long.respondent.stretches)
    question = needle.GEMINI_QUESTION.format(city="Kutuzov")
    told = long.respondent.ask(question, SHORT).text
    with grid.overwritten(long, [planted]):
        kept = [
            one is other for one, other in zip(stretches, long.respondent.stretches, strict=True)
        ]
        first = planted.change.start // SEGMENT
        assert not kept[first] and (kept[1 - first] or at == SEGMENT - 100)
        fresh = scan.stretches(long.reading)
        for one, other in zip(long.respondent.stretches, fresh, strict=True):
            assert np.array_equal(one.keys, other.keys) and one.goes_on == other.goes_on
            assert np.array_equal(one.positions, other.positions)
        inside = long.respondent.ask(question, SHORT).text
        anew = Respondent(long.model, long.reading)
        assert inside == anew.ask(question, SHORT).text
    assert all(
        one is other for one, other in zip(stretches, long.respondent.stretches, strict=True)
    )
    assert all(np.array_equal(one, other) for one, other in zip(before, held(long), strict=True))
    assert long.respondent.ask(question, SHORT).text == told


def test_what_fails_halfway_is_put_back(haystack, monkeypatch):
    before = held(haystack)
    planted = [grid.plant(haystack, 0.5, SENTENCE)]
    with pytest.raises(KeyboardInterrupt), grid.overwritten(haystack, planted):
        raise KeyboardInterrupt
    monkeypatch.setattr(grid.edit, "_read", lambda *_: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError), grid.overwritten(haystack, planted):
        pass
    assert all(
        np.array_equal(one, other) for one, other in zip(before, held(haystack), strict=True)
    )


@pytest.mark.parametrize("tokens", [1_000, 4_000])
def test_needles_lie_where_they_should(model, source, haystack, tokens):
    if tokens != 4_000:
        haystack = grid.read(model, source, tokens, np.random.default_rng(3))
    assert tokens - 60 * (tokens // 1_000) < haystack.reading.num_valid <= tokens
    places = set()
    for n in range(needle.DEPTHS):
        for turn in range(3):
            planted = grid.plant(haystack, n / 10, SENTENCE, turn)
            assert abs(planted.depth - n / 10) < 0.05
            assert len(planted.change.ids) == planted.change.end - planted.change.start
            places.add(planted.depth)
    assert len(places) >= 10 + (tokens == 4_000)
    assert grid.plant(haystack, 0.0, SENTENCE).line == 1
    last = grid.plant(haystack, 1.0, SENTENCE)
    assert last.last == len(haystack.lines) and last.text.endswith("\n" + SENTENCE + "\n")


def test_what_gives_way_is_next_to_the_needle(haystack):
    for depth in np.linspace(0, 1, 20).tolist():
        planted = grid.plant(haystack, depth, SENTENCE)
        old = "\n".join(haystack.lines[planted.first : planted.last])
        rest = planted.text.replace(SENTENCE + "\n", "").strip()
        assert old.endswith(rest) or old.startswith(rest)
        assert len(old) - len(rest) < 2 * len(SENTENCE) + 20


@pytest.mark.parametrize("text", ODD)
def test_odd_haystacks(model, text):
    source = grid.source_of([Part(name="odd.txt", kind="text", text=text)])
    haystack = grid.read(model, source, 2_000, np.random.default_rng(0))
    assert 1_700 < haystack.reading.num_valid <= 2_000
    planted = grid.plant_all(haystack, [(0.2, SENTENCE), (0.5, SENTENCE), (0.9, SENTENCE)])
    with grid.overwritten(haystack, planted):
        assert same(haystack.reading, grid.read_anew(haystack, planted))
        assert text_of(haystack).count(SENTENCE + "\n") == 3


def test_short_sources_are_repeated(model):
    source = grid.source_of([Part(name="a", kind="text", text="One two.\nThree.\n")])
    haystack = grid.read(model, source, 1_000, np.random.default_rng(0))
    assert haystack.repeats > 50 and 980 < haystack.reading.num_valid <= 1_000
    assert set(haystack.lines) == {"One two.", "Three."}
    with pytest.raises(pollux.InputError, match="haystack is empty"):
        grid.source_of([Part(name="a", kind="text", text=" \n\n")])


def test_without_room_it_is_told(model):
    source = grid.source_of([Part(name="a", kind="text", text="One two.\n")])
    haystack = grid.read(model, source, 1_000, np.random.default_rng(0))
    with pytest.raises(pollux.InputError, match="no room"):
        grid.plant_all(haystack, [(0.5, SENTENCE)] * 80)


@pytest.fixture(scope="session")
def answer(haystack):
    """An answer of that text and kind."""
    some = haystack.respondent.ask("What is it?", SHORT)
    return lambda text, kind="answer": replace(some, text=text, kind=kind)


def test_scoring_is_gemini_s(answer):
    one = needle.Question(text="?", expected=("7654321",))
    assert needle.judged(one, answer("The number is: 7654321.")) == (1, True)
    assert needle.judged(one, answer("It is 7654321?", "unsure")) == (1, True)
    assert needle.judged(one, answer("7654320")) == (0, False)
    two = needle.Question(text="?", expected=("111", "222"))
    assert needle.judged(two, answer("111")) == (1, False)
    assert needle.judged(two, answer("222 and 111")) == (2, True)
    none = needle.Question(text="?", expected=())
    assert needle.judged(none, answer("not in the text", "absent")) == (0, True)
    assert needle.judged(none, answer("", "other")) == (0, False)


def test_wording_is_gemini_s(model):
    assert SENTENCE == "The special magic Kutuzov number is: 7654321"
    assert needle.GEMINI_QUESTION.format(city="Rome") == (
        "What is the special magic Rome number? Don't give information outside the document or "
        "repeat your findings\n\nHere is the magic number from the context:"
    )
    run, known = needle.Grid(lengths=(20_000,), trials=2), needle.vocabulary(model)
    rng = np.random.default_rng(0)
    for cell in run.cells(20_000)[-4:]:
        planting = next(needle.plantings(run, known, cell, rng))
        assert len(planting.needles) == run.planted(cell.family)
        assert sorted(depth for depth, _ in planting.needles) == [d for d, _ in planting.needles]
        lines = [line for _, line in planting.needles]
        assert len(set(lines)) == len(lines)
        for question in planting.questions:
            assert all(sum(n in line for line in lines) == 1 for n in question.expected)
            if question.needle is not None:
                assert question.expected[0] in lines[question.needle]
    keys = needle.near_identical(known, rng)
    assert len(set(keys)) == needle.KEYS
    for key in keys:
        assert sum(bool(set(key.split()) & set(other.split())) for other in keys) == 1 + 1 + 4


def test_cells_and_audits():
    run = needle.Grid(lengths=(1_000, 50_000), trials=3)
    assert {cell.family for cell in run.cells(1_000)} == {"needle", "control", "multi-query"}
    assert {cell.family for cell in run.cells(50_000)} == set(needle.FAMILIES)
    for tokens in run.lengths:
        cells = [cell for cell in run.cells(tokens) if cell.family == "needle"]
        assert [cell.depth for cell in cells] == [n / 10 for n in range(11)]
        assert sum(run.audited(cell) for cell in cells) == 1
        half, none = replace(run, audit=0.5), replace(run, audit=0.0)
        assert sum(half.audited(cell) for cell in cells) == 6
        assert not any(none.audited(cell) for cell in cells)
    for wrong in ({"lengths": (10,)}, {"trials": 0}, {"audit": 2.0}, {"seed": -1}, {"needles": 0}):
        with pytest.raises(pollux.InputError):
            replace(run, **wrong)


def test_room_is_checked_before(monkeypatch):
    from pollux.config import SPARK
    from pollux.plan import report
    from pollux.plan.machine import Machine

    def free(gigabytes):
        machine = Machine(
            name="a", kind="CPU", memory=gigabytes * 10**9, flops=1.0, basis="", source=""
        )
        monkeypatch.setattr(report, "this_machine", lambda directory: machine)

    run = needle.Grid(lengths=(1_000, 10_000_000))
    free(8)
    needle.check_room(SPARK, run)
    free(3)
    with pytest.raises(pollux.SpaceError, match="auditing 10M needs a second reading"):
        needle.check_room(SPARK, run)
    needle.check_room(SPARK, replace(run, audit=0.0))
    free(1)
    with pytest.raises(pollux.SpaceError, match="is short of RAM"):
        needle.check_room(SPARK, run)


RUN = needle.Grid(lengths=(1_500,), families=("needle", "control", "multi-query"), trials=1)


def test_runs_are_kept_and_gone_on_with(model, source, tmp_path, monkeypatch):
    given = needle.settings(model, source, RUN)
    results = needle_results.opened(tmp_path, given, resume=False)
    cells, seen = needle.waiting(RUN, results), []
    run_cell = needle.run_cell

    def stopped(run, known, haystack, cell, report):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(cell)
        return run_cell(run, known, haystack, cell, report)

    monkeypatch.setattr(needle, "run_cell", stopped)
    with pytest.raises(KeyboardInterrupt):
        needle.go(model, RUN, source, results, lambda told, done: None)
    kept = json.loads((tmp_path / "needle.json").read_text())
    assert len(kept["cells"]) == 3 and (tmp_path / "needle.html").exists()
    monkeypatch.setattr(needle, "run_cell", run_cell)
    with pytest.raises(pollux.InputError, match="go on with --resume"):
        needle_results.opened(tmp_path, given, resume=False)
    with pytest.raises(pollux.InputError, match="made with another seed"):
        needle_results.opened(tmp_path, given | {"seed": 1}, resume=True)
    results, done = needle_results.opened(tmp_path, given, resume=True), []
    assert needle.waiting(RUN, results) == cells[3:]
    total = needle.work(RUN, cells[3:])
    needle.go(model, RUN, source, results, lambda told, part: done.append(part))
    assert abs(sum(done) / total - 1) < 0.1
    made = json.loads((tmp_path / "needle.json").read_text())
    assert [kept["cells"][i]["trials"] for i in range(3)] == [
        made["cells"][i]["trials"] for i in range(3)
    ]
    assert [row["count"] for row in made["pooled"]] == [11, 11, 11]
    assert made["audits"]["cells"] == 1
    page = (tmp_path / "needle.html").read_text()
    for cell in made["cells"]:
        assert f'id="{needle_report.anchor(cell)}"' in page
        assert f'href="#{needle_report.anchor(cell)}"' in page
        assert all(html.escape(trial["question"]) in page for trial in cell["trials"])
    assert page.count("<tr><td class=") == 33
    assert "http" not in page and "<script" not in page and "src=" not in page
    assert "prefers-color-scheme: dark" in page
    assert (tmp_path / "needle.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob("*.partial"))


def test_audit_tells_when_answers_differ(haystack, answer):
    planted = [grid.plant(haystack, 0.5, SENTENCE)]
    question = needle.Question(text=needle.GEMINI_QUESTION.format(city="Kutuzov"), expected=())
    with grid.overwritten(haystack, planted):
        told = haystack.respondent.ask(question.text, SHORT)
        nothing = lambda told, done: None  # noqa: E731
        assert needle.read_in_full(haystack, planted, question, told, nothing)["agrees"]
        other = answer("something else")
        assert not needle.read_in_full(haystack, planted, question, other, nothing)["agrees"]


def test_damaged_results_are_refused(model, source, tmp_path):
    given = needle.settings(model, source, RUN)
    for text in ("", "{}", '{"format": "x"}', "[1]"):
        (tmp_path / "needle.json").write_text(text)
        with pytest.raises(pollux.InputError, match="cannot be gone on with"):
            needle_results.opened(tmp_path, given, resume=True)


def test_report_escapes_and_shows_wrong_trials_first(tmp_path, model, source):
    given = needle.settings(model, source, RUN)
    results = needle_results.Results(directory=tmp_path, settings=given | {"haystack": ["<s>&"]})
    trial = {
        "question": "<script>alert(1)</script>",
        "expected": ["<i>"],
        "kind": "answer",
        "found": 0,
        "depth": 0.5,
        "line": 3,
        "place": "<u>:3",
        "probability": 0.5,
        "seconds": 0.1,
    }
    right = trial | {"text": "good", "right": True}
    audit = {"text": "<em>", "kind": "answer", "agrees": False}
    wrong = trial | {"text": '"bad" <img>', "right": False, "audit": audit}
    about = {"tokens": 990, "lines": 10, "repeats": 0.0, "read_seconds": 1.0}
    results.add(Cell(family="needle", length=1_000, depth=0.5), [right, wrong], about)
    results.add(Cell(family="multi-key", length=1_000), [], about, skipped="no 'room'")
    page = needle_report.page(results.as_dict())
    assert not re.search(r"<(script|i|s|u|img|em)\b", page)
    assert page.index("&quot;bad&quot;") < page.index("good")
    assert "50.0%" in page and 'title="no &#x27;room&#x27;"' in page
    assert needle_report.percent(0.9999) == "99.9%" and needle_report.percent(1) == "100%"
    assert needle_report.picture(results.as_dict())


def test_labels():
    told = {
        1_000: "1k",
        1_500: "1.5k",
        128_000: "128k",
        512_000: "512k",
        10**6: "1M",
        1_234: "1234",
    }
    assert {tokens: needle_report.label(tokens) for tokens in told} == told


def test_command(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pollux, "load", lambda path: pollux.Model(model))  # compiled already
    out, text = tmp_path / "out", tmp_path / "a.txt"
    text.write_text("The river was quiet that evening. Nobody came.\n" * 400)

    def call(*more):
        given = [
            "pollux",
            "eval",
            "needle",
            "--length",
            "1k",
            "--family",
            "needle",
            "--trials",
            "1",
        ]
        given += ["--haystack", text, "-o", out, *more]
        monkeypatch.setattr(sys, "argv", [str(one) for one in given])
        try:
            cli.main()
            return 0, capsys.readouterr()
        except SystemExit as stop:
            return stop.code or 0, capsys.readouterr()

    code, told = call()
    assert code == 0 and "needle" in told.out and "read in full: 1 cells" in told.err
    assert sorted(path.name for path in out.iterdir()) == [
        "needle.html",
        "needle.json",
        "needle.png",
    ]
    code, told = call()
    assert code == 1 and "--resume" in told.err
    assert call("--resume")[0] == 0
    assert "no family 'x'" in call("--family", "x")[1].err
    assert "is short of" in call("--length", "100B")[1].err
