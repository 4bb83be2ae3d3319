# SPDX-License-Identifier: Apache-2.0
"""The command line: what it prints, how it exits, one clear line for all that can go wrong."""

import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from pollux import cache, checkpoint, cli, params
from pollux.config import TINY
from pollux.model import decoder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """But for compiled code, which all tests share."""
    (tmp_path / "cache").mkdir()
    compiled = Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    compiled.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache" / "compiled").symlink_to(compiled)
    monkeypatch.setenv("POLLUX_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("The stone lay by the river.\nThe secret word is lamp.\n" * 20)
    return path


@pytest.fixture
def run(command, weights):
    """`command` with tiny weights, or those that it has by itself."""

    def call(*arguments, tiny=True):
        return command(*arguments, *(("--weights", weights) if tiny else ()))

    return call


def one_line(err: str) -> str:
    """The line of the failure; it must be the last, and one."""
    lines = [line for line in err.splitlines() if line.strip()]
    assert lines[-1].startswith("pollux: ")
    assert sum(line.startswith("pollux:") for line in lines) == 1
    assert "Traceback" not in err
    return lines[-1]


def test_read_ask_info(run, text, tmp_path):
    reading = tmp_path / "a.reading"
    code, out, _ = run("read", text, "-o", reading)
    assert code == 0 and "tokens of 1 parts" in out
    code, out, _ = run("info", reading, tiny=False)
    assert code == 0 and "a.txt" in out and "whole" in out
    code, out, _ = run("ask", reading, "-q", "What is the secret word?", "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["question"] == "What is the secret word?"
    assert {"text", "kind", "sources", "probability", "tokens", "finish"} <= set(answer)


def test_several_questions_are_answered_in_order(run, text):
    questions = ["What is the secret word?", "Where does it say by the river?"]
    several = [argument for question in questions for argument in ("-q", question)]
    code, out, _ = run("ask", text, *several, "--json", "--max-tokens", 4)
    together = json.loads(out)
    assert code == 0
    assert [answer["question"] for answer in together] == questions
    printed = [run("ask", text, "-q", question, "--max-tokens", 4)[1] for question in questions]
    code, out, _ = run("ask", text, *several, "--max-tokens", 4)
    assert (code, out) == (0, "".join(printed))


def test_files_are_read_once_and_kept(run, text, monkeypatch):
    from pollux.engine import reader

    first = run("ask", text, "-q", "What is the secret word?", "--json")
    monkeypatch.setattr(reader, "read", lambda *_: pytest.fail("read again"))
    second = run("ask", text, "-q", "What is the secret word?", "--json")
    assert first[0] == second[0] == 0
    one, other = (json.loads(out) | {"seconds": 0.0} for _, out, *_ in (first, second))
    assert one == other


def test_chat_answers_each_line(run, text, monkeypatch):
    lines = iter(["What is the secret word?", ""])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    code, out, _ = run("chat", text)
    assert code == 0 and out.strip()


def test_standard_input_is_read(run, monkeypatch):
    import io

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"The word is lamp.\n")))
    code, out, _ = run("ask", "-", "-q", "What is the word?", "--json")
    assert code == 0 and json.loads(out)["question_tokens"] > 0


def test_compiled_code_is_kept_by_python_version(weights, tmp_path, monkeypatch):
    for tag in ("cpython-311", "cpython-399"):
        running = SimpleNamespace(implementation=SimpleNamespace(cache_tag=tag))
        monkeypatch.setattr(cache, "sys", running)
        cli.loaded(weights)
        expected = tmp_path / "cache" / "compiled" / tag
        assert Path(jax.config.jax_compilation_cache_dir) == expected


@pytest.mark.parametrize("name", ["read", "ask", "chat", "train", "info", "eval", "bench"])
def test_help_teaches(run, name):
    code, out, _ = run(name, "--help", tiny=False)
    assert code == 0 and "Usage" in out and len(out.splitlines()) > 5


def test_missing_file(run, tmp_path, text):
    code, _, err = run("ask", tmp_path / "b.txt", "-q", "x?")
    assert code == 1 and "b.txt" in one_line(err)


def test_empty_question(run, text):
    code, _, err = run("ask", text, "-q", "  ")
    assert code == 1 and "empty" in one_line(err)


def test_binary_posing_as_text(run, tmp_path):
    path = tmp_path / "b.txt"
    path.write_bytes(bytes(range(256)) * 10)
    code, _, err = run("ask", path, "-q", "x?")
    assert code == 1 and "b.txt" in one_line(err)


def test_directory_with_nothing_readable(run, tmp_path):
    (tmp_path / "d").mkdir()
    code, _, err = run("read", tmp_path / "d", "-o", tmp_path / "d.reading")
    assert code == 1
    one_line(err)
    assert not (tmp_path / "d.reading").exists()


def test_invalid_utf8_is_read_with_a_note(run, tmp_path):
    path = tmp_path / "b.txt"
    path.write_bytes(b"The stone lay by the river.\n" * 50 + b"caf\xe9\n")
    code, _, err = run("read", path, "-o", tmp_path / "b.reading")
    assert code == 0 and "1 invalid byte" in err


def test_what_cannot_be_read_is_left_out_when_asked(run, text, tmp_path):
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7\n")
    reading = tmp_path / "a.reading"
    code, _, err = run("read", text, broken, "-o", reading)
    assert code == 1
    assert one_line(err) == f"pollux: {broken} is cut short or damaged; fetch it again"
    code, out, err = run("read", text, broken, "-o", reading, "--skip-unreadable")
    assert code == 0 and "of 1 parts" in out
    said = "".join(err.split())  # whatever the width
    assert f"left out: {broken} is cut short or damaged".replace(" ", "") in said


def test_wrong_weights(run, text, tmp_path):
    reading = tmp_path / "a.reading"
    run("read", text, "-o", reading)
    other = tmp_path / "other.safetensors"
    fresh = params.initialise(decoder.declare(TINY), jax.random.key(1))
    checkpoint.save(other, fresh, TINY, {})
    code, _, err = run("ask", reading, "-q", "x?", "--weights", other, tiny=False)
    assert code == 1 and "read the files again" in one_line(err)


def test_missing_and_damaged_weights(run, text, tmp_path):
    code, _, err = run("ask", text, "-q", "x?", "--weights", tmp_path / "no", tiny=False)
    assert code == 1 and "no weights" in one_line(err)
    (tmp_path / "bad.safetensors").write_bytes(b"no weights at all")
    code, _, err = run(
        "ask", text, "-q", "x?", "--weights", tmp_path / "bad.safetensors", tiny=False
    )
    assert code == 1 and "damaged" in one_line(err)


@pytest.mark.parametrize("damage", ["truncate", "flip", "manifest"])
def test_broken_reading(run, text, tmp_path, damage):
    reading = tmp_path / "a.reading"
    run("read", text, "-o", reading)
    keys = reading / "keys.i8"
    data = bytearray(keys.read_bytes())
    if damage == "truncate":
        keys.write_bytes(data[:-100])
    elif damage == "flip":
        data[50] ^= 4
        keys.write_bytes(data)
    else:
        (reading / "manifest.json").write_text('{"version": 99}')
    code, _, err = run("ask", reading, "-q", "What is the secret word?")
    assert code == 1 and "a.reading" in one_line(err)


def test_disk_full_while_reading_keeps_the_old_reading(run, text, tmp_path, monkeypatch):
    import errno
    import os

    reading = tmp_path / "a.reading"
    run("read", text, "-o", reading)
    before = (reading / "keys.i8").read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    code, _, err = run("read", text, "-o", reading)
    monkeypatch.undo()
    assert code == 1
    one_line(err)
    assert (reading / "keys.i8").read_bytes() == before


def test_interrupt_is_130_and_leaves_nothing(run, text, tmp_path, monkeypatch):
    from pollux.engine import reader

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(reader, "memories", stop)
    code, _, err = run("read", text, "-o", tmp_path / "a.reading")
    assert code == 130 and "interrupted" in one_line(err)
    assert not (tmp_path / "a.reading").exists()


def test_wrong_usage_is_2(run):
    assert run("nonsense", tiny=False)[0] == 2
    assert run("ask", tiny=False)[0] == 2


def test_unknown_recipe_and_setting(run, tmp_path):
    code, _, err = run("train", "nonsense", "--out", tmp_path, tiny=False)
    assert code == 1 and "spark" in one_line(err)
    given = "--out", tmp_path, "--hand", "a.safetensors"
    for recipe in ("spotter", "picture"):
        code, _, err = run("train", recipe, *given, tiny=False)
        assert code == 1 and f"{recipe} has no image codes: leave --hand out" in one_line(err)
    given = "--out", tmp_path, "--weights", tmp_path / "none.safetensors"
    code, _, err = run("train", "picture", *given, tiny=False)
    assert code == 1 and "picture begins afresh: leave --weights out" in one_line(err)
    code, _, err = run("train", "spotter", *given, tiny=False)
    assert code == 1 and "no weights at" in one_line(err)
    code, _, err = run("train", "tiny", "--out", tmp_path, "--set", "speed=9", tiny=False)
    assert code == 1 and "speed" in one_line(err)
    code, _, err = run("train", "tiny", "--out", tmp_path, "--set", "stages.0.rows=0", tiny=False)
    assert code == 1 and "rows 0 must be 1 or more" in one_line(err)


def test_output_in_a_place_that_cannot_be(run, text, tmp_path):
    (tmp_path / "file").write_text("x")
    code, _, err = run("read", text, "-o", tmp_path / "file" / "a.reading")
    assert code == 1
    one_line(err)
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
