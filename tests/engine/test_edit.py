# SPDX-License-Identifier: Apache-2.0
"""An edited reading is the reading of the edited text."""

import os

import numpy as np
import pytest

import pollux
from pollux import cli
from pollux.engine import edit, reader
from pollux.engine.edit import Change
from pollux.memory.place import place_of
from pollux.memory.store import Writer

QUESTION = "Where does it say stone river lamp?"
NEEDLE = "The secret word for Paris is “lighthouse”.\n"


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda fd: None)


def same(left, right):
    """Equal but for what rounding does where windows fall otherwise (a shift by no whole block)."""
    assert left.parts == right.parts
    assert np.array_equal(left.tokens, right.tokens)
    for what in ("keys", "values"):
        steps = np.abs(getattr(left, what).astype(int) - getattr(right, what))
        assert steps.max() <= 1 and (steps > 0).mean() < 1e-3
    for what in ("key_scales", "value_scales"):
        one, other = (
            getattr(reading, what).view(np.int16).astype(int) for reading in (left, right)
        )
        assert (
            np.abs(one - other).max() <= 1 and (one != other).mean() < 2e-3
        )  # units in the last place
    return True


def changed(part, *changes):
    """The part with bytes of its text replaced, by plain slicing."""
    raw, text, at = part.text.encode(), b"", 0
    for change in changes:
        text += raw[at : change.start] + change.text.encode()
        at = change.end
    return pollux.Part(name=part.name, kind=part.kind, text=(text + raw[at:]).decode())


def random_change(rng, text, after=0):
    """A stretch of `text`, short or long, for a few words, letters, lines or nothing."""
    made = rng.choice(
        [
            "",
            "x",
            " ",
            "\n",
            "\n\n",
            NEEDLE,
            "lamp\tseven",
            "第一章。",
            "▁▁ e\u0301",
            "ab\r\n",
            "\U0001f600",
        ]
    )
    start = int(rng.integers(after, len(text) + 1))
    end = min(len(text), start + int(rng.choice([0, 0, 1, 3, 40, 400])))
    spot = [len(text[:at].encode()) for at in (start, end)]
    return Change(start=spot[0], end=spot[1], text=str(made)), end


@pytest.mark.parametrize("seed", range(12))
def test_random_changes_equal_reading_anew(model, parts, seed):
    rng = np.random.default_rng(seed)
    which = int(rng.integers(len(parts)))
    changes, after = [], 0
    for _ in range(int(rng.integers(1, 5))):
        change, after = random_change(rng, parts[which].text, after)
        changes.append(change)
    texts = [*parts]
    texts[which] = changed(parts[which], *changes)
    before = model.read(*parts)
    edited = edit.replace_bytes(model.loaded, before, parts[which].name, changes)
    assert same(edited, model.read(*texts))
    assert same(before, model.read(*parts))  # left as it was


def test_answers_are_those_of_a_fresh_reading(model, parts):
    reading = model.read(*parts)
    middle = len(parts[0].text.encode()) // 2
    change = Change(start=middle, end=middle, text="\n" + NEEDLE)
    edited = edit.replace_bytes(model.loaded, reading, "0.txt", [change])
    fresh = model.read(changed(parts[0], change), *parts[1:])
    for question in (QUESTION, "What is the secret word for Paris?"):
        one, other = model.ask(edited, question), model.ask(fresh, question)
        assert (one.text, one.kind, one.places) == (other.text, other.kind, other.places)
        assert [s.place for s in one.sources] == [s.place for s in other.sources]


def test_only_what_a_change_reaches_is_read(model, parts, monkeypatch):
    text = parts[0].text * 5
    lines = pollux.Part(name="lines.txt", kind="text", text=text)
    flat = pollux.Part(name="flat.txt", kind="text", text=text.replace("\n", " "))
    reading = model.read(lines, flat)
    needle = Change(start=len(text) // 2, end=len(text) // 2, text=NEEDLE)
    word = Change(start=5_000, end=5_000, text="a")
    fresh = model.read(changed(lines, needle), changed(flat, word))
    seen = []
    memories = reader.memories

    def counted(loaded, runs, size):
        seen.append(sum(len(run.tokens) for run in runs))
        return memories(loaded, runs, size)

    monkeypatch.setattr(reader, "memories", counted)
    reading = edit.replace_bytes(model.loaded, reading, "lines.txt", [needle])
    reading = edit.replace_bytes(model.loaded, reading, "flat.txt", [word])  # one line, all of it
    assert same(reading, fresh)
    reach = model.loaded.config.receptive_field
    assert seen[0] <= 2 * reach + len(model.loaded.tokenizer.encode(NEEDLE)) + 3 * 64
    assert seen[1] <= 2 * reach + 3 * 64
    far = [Change(start=at, end=at, text=NEEDLE) for at in range(100, len(text), 2_000)]
    edit.replace_bytes(model.loaded, reading, "lines.txt", far)
    assert len(seen) == 3 and seen[2] < len(far) * (2 * reach + 200)


def test_what_does_not_change_is_shared_and_nothing_is_read(model, parts, monkeypatch):
    reading = model.read(*parts)
    edited = model.replace_lines(reading, "1.txt", (2, 2), "stone")
    assert np.shares_memory(edited.stores[0].arrays[0], reading.keys)
    assert np.shares_memory(edited.stores[2].arrays[0], reading.keys)
    assert all(array.ctypes.data % 64 == 0 for array in edited.stores[1].arrays)
    monkeypatch.setattr(reader, "memories", lambda *_: pytest.fail("read"))
    words = parts[1].text.encode()[3:9].decode()
    again = edit.replace_bytes(model.loaded, reading, "1.txt", [Change(start=3, end=9, text=words)])
    assert again is reading
    assert edit.replace_bytes(model.loaded, reading, "1.txt", []) is reading


def test_a_source_can_be_replaced(model, parts):
    reading = model.read(*parts)
    part = reading.parts[1]
    start, end = part.text_start + 7, part.text_start + 20
    edited = model.replace(reading, (start, end), "violet drum")
    tokens, decode = reading.tokens, model.loaded.tokenizer.decode
    text = "".join(
        [decode(tokens[part.text_start : start]), "violet drum", decode(tokens[end : part.end])]
    )
    fresh = model.read(parts[0], pollux.Part(name="1.txt", kind="text", text=text), parts[2])
    assert same(edited, fresh)
    at = edited.parts[1].text_start + 7
    assert place_of(edited, model.loaded.tokenizer, at).part == "1.txt"


@pytest.mark.parametrize("text", ["one\ntwo\nthree\n", "one\ntwo\nthree", "one\n\n"])
@pytest.mark.parametrize("lines", [(1, 1), (2, 2), (1, 2), (1, 0), (2, 1), (3, 2), (3, 3), (4, 3)])
@pytest.mark.parametrize("new", ["", "lamp", "lamp\n", "lamp\n\nseven"])
def test_lines(model, text, lines, new):
    kept = text.splitlines()
    part = pollux.Part(name="a/b.txt", kind="text", text=text)
    reading = small(model, part)
    if lines[1] > len(kept) or lines[0] > len(kept) + 1:
        with pytest.raises(pollux.InputError, match=rf"lines .* in a/b.txt: it has {len(kept)}"):
            model.replace_lines(reading, "b.txt", lines, new)
        return
    edited = model.replace_lines(reading, "b.txt", lines, new)
    got = model.loaded.tokenizer.decode(edited.tokens[edited.parts[0].text_start :])
    expected = [*kept[: lines[0] - 1], *new.splitlines(), *kept[lines[1] :]]
    assert got.splitlines() == expected
    touches_end = lines[1] == len(kept) and not text.endswith("\n") and new
    assert not got or got.endswith("\n") or not text.endswith("\n") or touches_end
    assert edited.parts == small(model, pollux.Part(name="a/b.txt", kind="text", text=got)).parts


READ: dict[str, pollux.Reading] = {}


def small(model, part):
    """A reading of a small part; each text is read once."""
    if part.text not in READ:
        READ[part.text] = model.read(part)
    return READ[part.text]


def test_everything_deleted_and_written_again(model, parts):
    reading = model.read(parts[1])
    size = len(parts[1].text.encode())
    empty = edit.replace_bytes(model.loaded, reading, "1.txt", [Change(start=0, end=size, text="")])
    assert same(empty, model.read(pollux.Part(name="1.txt", kind="text", text="")))
    full = edit.replace_bytes(
        model.loaded, empty, "1.txt", [Change(start=0, end=0, text=parts[1].text)]
    )
    assert same(full, reading)


def test_edits_of_many_parts_save_as_one_reading(model, parts, tmp_path):
    reading = model.read(*parts)
    new = [*parts]
    for _ in range(2):
        for number, part in enumerate(new):
            change = Change(start=3 + number, end=7, text="ember ")
            reading = edit.replace_bytes(model.loaded, reading, part.name, [change])
            new[number] = changed(part, change)
    assert same(reading, model.read(*new))
    assert same(reading.save(tmp_path / "a.reading"), reading)


def test_a_long_insertion_takes_several_chunks(model, parts, monkeypatch):
    reading = model.read(*parts)
    change = Change(start=50, end=60, text=parts[0].text[:1500])
    fresh = model.read(parts[0], changed(parts[1], change), parts[2])
    monkeypatch.setattr(reader, "CHUNK", 192)
    assert same(edit.replace_bytes(model.loaded, reading, "1.txt", [change]), fresh)


def test_what_cannot_be_changed_is_told(model, parts):
    reading = model.read(*parts, pollux.Part(name="é.txt", kind="text", text="小 \U0001f600"))
    part, other = reading.parts[:2]
    for span in (
        (part.start, part.text_start),
        (part.end - 1, other.text_start + 3),
        (part.text_start + 5, part.text_start + 4),
        (-1, 2),
        (len(reading), len(reading) + 9),
    ):
        with pytest.raises(pollux.InputError, match="not inside the text of one part"):
            model.replace(reading, span, "x")

    def give(*spans, name="0.txt"):
        changes = [Change(start=start, end=end, text="x") for start, end in spans]
        return edit.replace_bytes(model.loaded, reading, name, changes)

    for spans in ([(10, 20), (19, 30)], [(20, 10)], [(10, 20), (12, 12)]):
        with pytest.raises(pollux.InputError, match="overlap"):
            give(*spans)
    for span in ((0, 10**9), (-1, 5)):
        with pytest.raises(pollux.InputError, match=r"there is no byte .* in 0\.txt: it has"):
            give(span)
    for span in ((1, 3), (0, 2), (5, 8)):
        with pytest.raises(pollux.InputError, match="inside a character"):
            give(span, name="é.txt")
    with pytest.raises(pollux.ReadingError, match=r"no part is called 'no'; there are 0\.txt, 1"):
        give((0, 1), name="no")


def test_reading_of_other_weights_is_refused(model, parts):
    import dataclasses

    store = model.read(parts[1]).stores[0]
    foreign = dataclasses.replace(store.manifest, weights_fingerprint="0" * 16)
    other = pollux.Reading((dataclasses.replace(store, manifest=foreign),))
    with pytest.raises(pollux.ReadingError, match="made with other weights"):
        model.replace_lines(other, "1.txt", (1, 1), "x")


@pytest.fixture
def run(monkeypatch, command, model):
    """`command`: exit code, last line of either output."""
    monkeypatch.setattr(cli, "loaded", lambda weights: model)

    def call(*arguments):
        code, out, err = command(*arguments)
        assert "Traceback" not in err
        return code, [*out.splitlines(), *err.splitlines()][-1]

    return call


def test_command_edits_in_place_or_beside(run, model, parts, tmp_path):
    path, other = tmp_path / "a.reading", tmp_path / "b.reading"
    model.read(*parts, save=path)
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    given = ("edit", path, "--part", "1.txt", "--lines")
    code, told = run(*given, "2-3", "--with", "stone", "-o", other)
    assert code == 0 and f"{other}: " in told and "of 3 parts" in told
    assert before == {file.name: file.read_bytes() for file in path.iterdir()}
    lines = parts[1].text.splitlines()
    new = [lines[0], "stone", *lines[3:]]
    fresh = [parts[0], pollux.Part(name="1.txt", kind="text", text="\n".join(new) + "\n"), parts[2]]
    assert same(model.open(other), model.read(*fresh))
    (tmp_path / "new.txt").write_text("stone")
    assert run(*given, "2-3", "--with-file", tmp_path / "new.txt")[0] == 0
    assert same(model.open(path), model.open(other))
    assert sorted(os.listdir(tmp_path)) == ["a.reading", "b.reading", "new.txt"]


def test_command_tells_what_is_wrong(run, model, parts, tmp_path):
    path = tmp_path / "a.reading"
    model.read(*parts, save=path)
    good = {"--part": "1.txt", "--lines": "2", "--with": "x"}

    def told(place=path, **instead):
        given = good | {f"--{name}": value for name, value in instead.items()}
        code, line = run("edit", place, *(word for pair in given.items() for word in pair))
        assert code == 1 and line.startswith("pollux: ")
        return line

    assert "no part is called 'no'" in told(part="no")
    assert "no lines 2 to 99 in 1.txt: it has 7" in told(lines="2-99")
    assert "no lines 9 to 7" in told(lines="9-7")
    assert "no lines 0 to 0" in told(lines="0")
    assert "--lines two is no line" in told(lines="two")
    assert "either --with TEXT or --with-file FILE" in told(**{"with-file": "x"})
    assert "b.reading does not exist" in told(tmp_path / "b.reading")
    assert sorted(os.listdir(tmp_path)) == ["a.reading"]
    with Writer.extend(path):
        assert f"is being written by another process (pid {os.getpid()})" in told()
    before = model.open(path)
    data = bytearray((path / "keys.i8").read_bytes())
    data[-9] ^= 1
    (path / "keys.i8").write_bytes(data)
    assert "keys.i8 is damaged" in told()
    assert sorted(os.listdir(tmp_path)) == ["a.reading"]
    assert model.open(path).parts == before.parts
