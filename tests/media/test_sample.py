# SPDX-License-Identifier: Apache-2.0
"""A sample is of what would be read, knows how much that is, and stays small."""

import gzip
import zipfile

import pytest

from pollux.errors import InputError
from pollux.media.inputs import open_parts
from pollux.media.limits import Limits
from pollux.media.sample import SAMPLE, sample

LINE = "The stone lay by the river. 第一章。\n"


def held(path):
    """Parts and bytes as they are when everything is read."""
    texts = [part.text for part in open_parts([path])]
    return len(texts), sum(len(text.encode()) for text in texts)


@pytest.fixture
def tree(tmp_path):
    top = tmp_path / "tree"
    (top / "deep").mkdir(parents=True)
    (top / "a.txt").write_text(LINE * 10)
    (top / "deep" / "b.py").write_text("print(1)\n" * 200)
    (top / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (top / "empty.txt").write_text("")
    (top / "packed.txt.gz").write_bytes(gzip.compress(LINE.encode() * 30))
    (top / "wide.txt").write_text(LINE * 5, "utf-16")
    return top


def test_a_directory_is_counted_as_it_is_read(tree):
    found = sample([tree])
    assert (found.parts, found.bytes) == held(tree)
    assert any("print(1)" in text for text in found.texts)


def test_an_archive_is_counted_as_it_is_read(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.txt", LINE * 7)
        archive.writestr("two.txt", LINE * 9)
    found = sample([path])
    assert (found.parts, found.bytes) == held(path) == (2, len(LINE.encode()) * 16)


def test_a_large_file_is_looked_at_in_places(tmp_path):
    path = tmp_path / "large.txt"
    lines = [f"{number:06d} {LINE}" for number in range(100_000)]
    path.write_text("".join(lines))
    found = sample([path])
    assert found.bytes == path.stat().st_size > 4 * SAMPLE
    taken = sum(len(text.encode()) for text in found.texts)
    assert SAMPLE // 2 < taken <= SAMPLE
    assert found.texts[0].startswith("000000") and "\n09" in found.texts[-1]


def test_many_small_files_are_all_sampled(tmp_path):
    for number in range(300):
        (tmp_path / f"{number}.txt").write_text(LINE)
    found = sample([tmp_path])
    assert found.parts == 300 and found.bytes == 300 * len(LINE.encode())
    assert found.texts == (LINE,) * 300


def test_what_is_named_twice_counts_once(tree):
    assert sample([tree, tree / "a.txt"]) == sample([tree])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("-", "standard input can be read only once"),
        ("nowhere.txt", "nowhere.txt does not exist"),
        ("tree/picture.png", "is a PNG image"),
        ("tree/empty.txt", "is empty"),
        ("old.reading", "is a reading already"),
        ("bare", "there is nothing to read"),
    ],
)
def test_what_cannot_be_read_is_refused(tree, monkeypatch, name, message):
    monkeypatch.chdir(tree.parent)
    (tree.parent / "old.reading").mkdir()
    (tree.parent / "bare").mkdir()
    with pytest.raises(InputError, match=message) as raised:
        sample([name])
    assert "\n" not in str(raised.value)


def test_limits_are_those_of_reading(tree):
    with pytest.raises(InputError, match="more than 2 files"):
        sample([tree], Limits(max_files=2))
    with pytest.raises(InputError, match="holds more than 20 bytes"):
        sample([tree / "a.txt"], Limits(max_bytes=20))
