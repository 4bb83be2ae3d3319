# SPDX-License-Identifier: Apache-2.0
"""Learning a language from the context: what is given, and how it is judged."""

import json
import lzma

import pytest
from typer.testing import CliRunner

import pollux
from pollux.data import corpora, languages
from pollux.errors import InputError
from pollux.evals import command, kalamang
from pollux.evals import translate as evaluation
from pollux.evals.translate import Translated, Trial

ANSWER = """A red B dog C watched
- the A B C = B A C
- B dog = mavi
- A red = sani
- C watched = tateku
mavi sani tateku"""
PAIRS = [
    ("Ma sor ruo.", "He eats the fish."),
    ("An sor kangun paruak.", "I throw the bones away."),
    ("Bal me konamin.", "The dog sees them."),
    ("Tumun me min.", "The child sleeps now."),
    ("Mu he yecie.", "They already went home."),
]


def trial(**changes):
    known = {"task": "translate", "shots": 5, "language": "Velu", "question": "?"}
    known |= {"expected": "mavi sani tateku", "shown": True, "text": ANSWER}
    return Trial(**{**known, "kind": "answer", "probability": 0.9} | changes)


@pytest.fixture(scope="module")
def model(weights):
    return pollux.load(weights)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A little of each of Kalamang's files."""
    words = {"sor": "fish", "ruo": "to eat (food); to dig", "me": "[topic]", "bal": "dog, hound"}
    dictionary = [
        {"headword": word, "variants": "vbal ; xbal" * (word == "bal"), "senses": [{"en": sense}]}
        for word, sense in words.items()
    ]
    rows = {
        "dictionary": dictionary,
        "sentences": [{"kgv": kgv, "eng": eng} for kgv, eng in PAIRS],
        "grammar": [{"text": "An example: bal me konamin 'the dog sees them'."}],
        "stories": [{"kgv": "tumun me min"}],
    }
    (tmp_path / "text").mkdir()
    for kind, found in rows.items():
        lines = "".join(json.dumps(row) + "\n" for row in found)
        (tmp_path / kalamang.FILES[kind]).write_bytes(lzma.compress(lines.encode()))
    monkeypatch.setenv("POLLUX_DATA", str(tmp_path))
    return tmp_path


def test_an_answer_is_judged_by_its_last_line():
    assert trial().right and trial().read_off
    wrong = trial(text=ANSWER.replace("sani", "mavi"))
    assert not wrong.right and not wrong.read_off
    slipped = trial(text=ANSWER.removesuffix("tateku"))
    assert not slipped.right and slipped.read_off
    assert not trial(kind="absent").right


def test_word_for_word_lines_are_all_looked_up():
    assert evaluation.looked_up("- mavi = dog\n- sani = red\ndog red") == "dog red"
    assert evaluation.looked_up("") == ""


def test_cells_tell_shown_from_refused():
    made = [
        trial(),
        trial(text="?"),
        trial(shown=False, kind="absent"),
        trial(shown=False),
        trial(task="word for word", expected="x"),
    ]
    first, second = evaluation.cells(made)
    assert (first["exact"].right, first["exact"].trials) == (2, 4)
    assert (first["shown"].right, first["shown"].trials) == (1, 2)
    assert (first["refused"].right, first["refused"].trials) == (1, 2)
    assert second["exact"].trials == 1
    rows = evaluation.made_up_table(made)
    assert rows[0] == ["made-up languages", "5 examples"]
    assert rows[1][1].startswith("50.0% [") and rows[1][1].endswith("of 4")


def test_made_up_languages_are_held_out_and_asked_about(model, monkeypatch):
    monkeypatch.setattr(evaluation, "LONG_ENOUGH", pollux.Sampling(max_tokens=2))
    monkeypatch.setattr(evaluation, "STEMS", 10)
    made = list(evaluation.made_up(model, (0, 3), 2, seed=0))
    assert [(one.task, one.shots) for one in made] == 2 * [
        ("translate", 0),
        ("word for word", 0),
    ] + 2 * [("translate", 3), ("word for word", 3)]
    assert not any(one.shown for one in made if one.shots == 0 and one.task == "translate")
    assert len({one.question for one in made}) == 4  # the same for any number of examples
    for one in made:
        name, said = one.question.removeprefix("Translate").rsplit(": ", 1)
        words = (one.expected if one.task == "translate" else said).split()
        words = [word for word in words if word not in languages.NAMES]
        assert words and all(map(languages.kept_for_evaluation, words))
        assert one.language in name or "English" in name


def test_kalamang_to_translate_is_nowhere_in_what_is_given(data):
    given = kalamang.load(tests=2, examples=10, seed=0)
    assert len(given.tests) == 2
    text = kalamang.plain(" ".join(part.text for part in kalamang.parts(given, "all")))
    for pair in given.tests:
        assert kalamang.plain(pair.kalamang) not in text
        assert kalamang.plain(pair.english) not in text
    assert {"Bal me konamin.", "Tumun me min."}.isdisjoint(one.kalamang for one in given.tests)
    assert len(given.examples) == 3
    assert given == kalamang.load(tests=2, examples=10, seed=0)


def test_word_lists_have_short_meanings_and_forms(data):
    given = kalamang.load(tests=1, examples=0, seed=0)
    assert given.to_english == {
        "sor": "fish",
        "ruo": "eat",
        "bal": "dog",
        "vbal": "dog",
        "xbal": "dog",
    }
    assert given.to_kalamang["dig"] == given.to_kalamang["eating"] == "ruo"
    assert given.to_kalamang["dogs"] == given.to_kalamang["hound"] == "bal"
    assert kalamang.looked_up(given.to_english, "Ma sor ruo.") == "ma fish eat"
    none, words, everything = (kalamang.parts(given, context) for context in kalamang.CONTEXTS)
    assert none[0].text == "# Kalamang\n"
    assert "- sor = fish\n" in words[0].text and "- eats = ruo\n" in words[0].text
    assert len(words) == 1 and len(everything) == 3 and "An example" in everything[2].text


@pytest.mark.parametrize("file", kalamang.FILES.values())
def test_kalamang_is_never_trained_on(file):
    with pytest.raises(pollux.RecipeError, match="held out"):
        corpora.refuse_held_out(file)


def test_kalamang_is_translated_both_ways(data, model, monkeypatch):
    pytest.importorskip("sacrebleu")
    monkeypatch.setattr(evaluation, "LONG_ENOUGH", pollux.Sampling(max_tokens=2))
    made = list(evaluation.of_kalamang(model, trials=2, seed=0))
    results = [one for one in made if one]
    assert len(made) - len(results) == 2 * 2 * 3
    assert [one.context for one in results] == 2 * ["none", "words", "none", "words", "all"]
    copied = results[0]
    assert copied.system == "source copied" and copied.text == copied.source
    assert all(0 <= one.chrf <= 100 for one in results)
    header, *rows = evaluation.kalamang_table(results)
    assert header[1:] == ["none", "words", "all"] and len(rows) == 6
    assert rows[0][0] == "to kalamang, source copied" and rows[0][2:] == ["", ""]


def test_chrf():
    pytest.importorskip("sacrebleu")
    same, _ = evaluation.chrf(["the cat sat", "a dog"], ["the cat sat", "a dog"])
    assert same == pytest.approx(100)
    score, _ = evaluation.chrf(["the cat sat"], ["the cat sat down"])
    assert score == pytest.approx(66.018, abs=0.01)
    _, interval = evaluation.chrf(["the cat", "xyz", "a dog"], ["the cat", "the end", "a dig"])
    assert interval > 0


def test_tables_are_put_into_a_document(tmp_path):
    path = tmp_path / "a.md"
    path.write_text("before\n<!-- made-up -->\nold\n<!-- end -->\nafter\n<!-- kalamang -->\n")
    evaluation.fill(path, "made-up", [["a", "b"], ["1", "2"]])
    text = path.read_text()
    assert text.startswith(
        "before\n<!-- made-up -->\n| a | b |\n| --- | --- |\n| 1 | 2 |\n<!-- end"
    )
    assert "old" not in text and text.endswith("after\n<!-- kalamang -->\n")
    with pytest.raises(InputError, match="kalamang"):
        evaluation.fill(path, "kalamang", [["a"]])
    with pytest.raises(InputError, match="cannot read"):
        evaluation.fill(tmp_path / "none.md", "kalamang", [["a"]])


def test_what_cannot_be_is_said_first(monkeypatch):
    with pytest.raises(InputError, match="trials"):
        evaluation.check(["made-up"], [0], 0, 0)
    with pytest.raises(InputError, match="2000"):
        evaluation.check(["made-up"], [2_000], 1, 0)
    monkeypatch.setattr(evaluation, "find_spec", lambda name: None)
    evaluation.check(["made-up"], [0], 1, 0)
    with pytest.raises(InputError, match="pip install sacrebleu"):
        evaluation.check(["kalamang"], [0], 1, 0)


def test_missing_data_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("POLLUX_DATA", str(tmp_path))
    with pytest.raises(InputError, match="--language kalamang"):
        kalamang.load(1, 1, 0)


def test_command(weights, tmp_path, monkeypatch):
    result = Translated(
        system="pollux",
        direction="to english",
        context="words",
        source=("sor",),
        reference=("fish",),
        text=("fish",),
        chrf=41.25,
        interval=1.5,
    )
    monkeypatch.setattr(evaluation, "made_up", lambda *_: iter([trial()]))
    monkeypatch.setattr(evaluation, "of_kalamang", lambda *_: iter([None, result]))
    monkeypatch.setattr(evaluation, "check", lambda *_: None)
    output, page = tmp_path / "out.json", tmp_path / "translate.md"
    page.write_text("<!-- made-up -->\n<!-- end -->\n<!-- kalamang -->\n<!-- end -->\n")
    arguments = ["translate", "--language", "made-up", "--language", "kalamang", "--shots", "5"]
    arguments += ["--trials", "1", "--weights", str(weights), "-o", str(output)]
    run = CliRunner().invoke(command.app, [*arguments, "--fill", str(page)])
    assert run.exit_code == 0, run.output
    made = json.loads(output.read_text())
    assert made["made-up"][0]["exact"]["wilson"][0] < 1 and made["trials"][0]["right"]
    assert made["kalamang"][0]["text"] == ["fish"] and made["sentences"] == 1
    assert "| to english, pollux |  | 41.2 ± 1.5 |  |" in page.read_text()
    assert "100.0%" in page.read_text()
