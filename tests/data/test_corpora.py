# SPDX-License-Identifier: Apache-2.0
"""Where training text comes from, and how its tokens are kept."""

import errno
import json
import lzma
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pollux.data import corpora
from pollux.errors import RecipeError, SpaceError

LETTERS = replace(corpora.CORPORA["books"], name="letters", files=("text/letters.jsonl.xz",))
ROWS = [{"text": "Dear Anna,"}, {"text": "你好\nall is well"}]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POLLUX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("POLLUX_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def data(tmp_path, cache, monkeypatch):
    """A directory with the file of LETTERS."""
    path = tmp_path / "data" / LETTERS.files[0]
    path.parent.mkdir(parents=True)
    with lzma.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in ROWS)
    monkeypatch.setenv("POLLUX_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def files(cache):
    return [path for path in cache.rglob("*") if path.is_file()]


def one_line(caught):
    text = str(caught.value)
    assert text and "\n" not in text
    return text


@pytest.mark.parametrize(
    "file",
    [
        "text/books-dev.jsonl.xz",
        "text/war-and-peace-eval.jsonl.xz",
        "text/apollo11.jsonl",
        "evals/humaneval.jsonl.xz",
        "evals/gsm8k-test.jsonl.xz",
    ],
)
def test_held_out_names_are_refused(data, file):
    (data / file).parent.mkdir(exist_ok=True)
    (data / LETTERS.files[0]).rename(data / file)
    with pytest.raises(RecipeError) as caught:
        list(corpora.rows(replace(LETTERS, files=(file,))))
    assert Path(file).name in one_line(caught)
    assert "held out" in one_line(caught)


@pytest.mark.parametrize("name", [name for name, c in corpora.CORPORA.items() if c.files])
@pytest.mark.parametrize("where", [None, "an empty directory"])
def test_missing_data_names_its_public_source(cache, tmp_path, monkeypatch, tokenizer, name, where):
    if where:
        monkeypatch.setenv("POLLUX_DATA", str(tmp_path))
    corpus = corpora.CORPORA[name]
    with pytest.raises(RecipeError) as caught:
        corpora.tokens(corpus, tokenizer)
    text = one_line(caught)
    assert corpus.source in text and corpus.licence in text and "POLLUX_DATA" in text
    assert not files(cache)


def test_standard_library_needs_no_data(cache):
    row = next(corpora.rows(corpora.CORPORA["code"]))
    assert row["text"].startswith("# ") and ".py\n" in row["text"]


@pytest.mark.parametrize("content", [b"", b"no archive", "half"])
def test_damaged_data_is_one_line(data, tokenizer, content):
    path = data / LETTERS.files[0]
    path.write_bytes(path.read_bytes()[:-20] if content == "half" else content)
    if content == b"":
        with lzma.open(path, "wt") as file:
            file.write('{"text": "cut off')
    with pytest.raises(RecipeError, match="get it again from github.com") as caught:
        corpora.tokens(LETTERS, tokenizer)
    assert path.name in one_line(caught)


def test_tokens_are_kept(data, cache, tokenizer, monkeypatch):
    text = "".join(row["text"] + "\n" for row in ROWS)
    made = corpora.tokens(LETTERS, tokenizer)
    assert made.dtype == np.uint16 and tokenizer.decode(made) == text
    monkeypatch.setattr(corpora, "rows", lambda corpus: pytest.fail("read again"))
    assert np.array_equal(corpora.tokens(LETTERS, tokenizer), made)
    assert [path.name for path in files(cache)] == ["letters.npy"]


def test_another_tokenizer_has_its_own(data, cache, tokenizer):
    corpora.tokens(LETTERS, tokenizer)
    assert tokenizer.fingerprint in files(cache)[0].parts


def test_cache_is_written_beside_and_renamed(data, cache, tokenizer, monkeypatch):
    def save(file, array):
        assert not list(cache.rglob("letters.npy"))
        assert Path(file.name).suffix == ".partial"
        file.write(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", save)
        with pytest.raises(KeyboardInterrupt):
            corpora.tokens(LETTERS, tokenizer)
    assert not files(cache)
    assert len(corpora.tokens(LETTERS, tokenizer))


def test_killed_while_writing(data, cache, tokenizer, monkeypatch):
    """What a killed process left beside is never opened."""
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            corpora.tokens(LETTERS, tokenizer)
    (left,) = files(cache)
    left.rename(left.with_suffix(".partial"))  # of another process
    left.with_suffix(".partial").write_bytes(b"torn")
    assert tokenizer.decode(corpora.tokens(LETTERS, tokenizer)).startswith("Dear Anna")


@pytest.mark.parametrize("size", [0, 5, 60, -3])
def test_torn_cache_is_not_used(data, cache, tokenizer, size):
    whole = np.array(corpora.tokens(LETTERS, tokenizer))
    (path,) = files(cache)
    os.truncate(path, size % path.stat().st_size)
    assert np.array_equal(corpora.tokens(LETTERS, tokenizer), whole)
    assert np.array_equal(np.load(path), whole)


def test_full_disk_is_one_line(data, cache, tokenizer, monkeypatch):
    def save(file, array):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "save", save)
    with pytest.raises(SpaceError, match="No space left.*POLLUX_CACHE") as caught:
        corpora.tokens(LETTERS, tokenizer)
    one_line(caught)
    assert not files(cache)


def test_questions_of_every_kind_of_file():
    dialogue = [
        {"role": "user", "text": "Where is it?"},
        {"role": "assistant", "text": "Where is what?"},
        {"role": "user", "text": "The station. Thanks."},
        {"role": "user", "text": "And when?"},
        {"role": "user", "text": "How much?"},
    ]
    texts = corpora.QUESTIONS.texts
    assert texts({"question": "How\nmany?", "answer": "2"}) == "How many?"
    assert texts({"qas": [{"question": "谁？"}, {"question": "何时？"}]}) == "谁？\n何时？"
    assert texts({"turns": dialogue}) == "Where is it?\nAnd when?"


def test_tokenizer_lines_keep_to_their_budget(data, monkeypatch):
    monkeypatch.setitem(corpora.CORPORA, "letters", LETTERS)
    lines = ["Dear Anna,", "你好", "all is well"]
    assert list(corpora.tokenizer_lines({"letters": 10**6})) == lines
    assert list(corpora.tokenizer_lines({"letters": 0})) == []
