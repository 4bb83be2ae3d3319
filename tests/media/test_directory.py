# SPDX-License-Identifier: Apache-2.0
"""Which files of a directory are read, in which order."""

import os
import shutil
import socket
import subprocess

import pytest

from pollux.media.directory import walk
from pollux.media.limits import Unreadable


def build(top, **files):
    """Keys are paths with __ for / and _o_ for a dot; values their text."""
    for key, text in files.items():
        path = top / key.replace("__", "/").replace("_o_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def read(top):
    return [entry.name for entry in walk(top) if not entry.reason]


def left(top):
    return {entry.name: entry.reason for entry in walk(top) if entry.reason}


def test_order_is_sorted_by_path(tmp_path):
    build(tmp_path, b="", a__z="", a__b__c="", a_o_txt="", B="")
    assert read(tmp_path) == ["B", "a/b/c", "a/z", "a.txt", "b"]


def test_what_is_always_left_out(tmp_path):
    names = [".git", "node_modules", "__pycache__", ".venv"]
    for name in names:
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "file.py").write_text("x")
    build(tmp_path, a="")
    assert read(tmp_path) == ["a"]
    assert left(tmp_path) == {f"in/{name}": "is left out" for name in names}


def test_gitignore_of_each_level(tmp_path):
    build(
        tmp_path,
        _o_gitignore="*.log\n/build/\n!keep.log\n# no\n",
        a_o_log="",
        keep_o_log="",
        build__x="",
        sub__build__x="",
        sub___o_gitignore="!a.log\nsecret\r\n",
        sub__a_o_log="",
        sub__b_o_log="",
        sub__secret="",
        other__secret="",
    )
    assert read(tmp_path) == [
        ".gitignore",
        "keep.log",
        "other/secret",
        "sub/.gitignore",
        "sub/a.log",
        "sub/build/x",
    ]
    assert set(left(tmp_path).values()) == {"is ignored by git"}
    assert "build" in left(tmp_path)  # one entry, whatever it holds


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ("*\n!*/\n!*.py\n", ["a/b/x.py", "a/x.py", "x.py"]),
        ("a/**\n!a/x.py\n", [".gitignore", "a/x.py", "x.py", "x.txt"]),
        ("a/**/\n", [".gitignore", "a/x.py", "a/x.txt", "x.py", "x.txt"]),
        ("[z-a]\n!\n/\n\\\nx.txt \n", [".gitignore", "a/b/x.py", "a/x.py", "x.py"]),
    ],
)
def test_rules_mean_what_git_means(tmp_path, rules, kept):
    build(tmp_path, x_o_py="", x_o_txt="", a__x_o_py="", a__x_o_txt="", a__b__x_o_py="")
    (tmp_path / ".gitignore").write_text(rules)
    assert read(tmp_path) == kept
    if shutil.which("git"):
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
        listing = ["git", "-C", str(tmp_path), "ls-files", "--others", "--exclude-standard"]
        found = subprocess.run(listing, check=True, capture_output=True, text=True).stdout
        assert sorted(found.split()) == sorted(kept)


def test_rules_of_the_repository_around_hold(tmp_path):
    build(tmp_path, _o_gitignore="*.log\nbuild\n/src/x\n", src__a="", src__b_o_log="", src__x="")
    build(tmp_path, build__a="", build__b_o_log="")
    (tmp_path / ".git" / "info").mkdir(parents=True)
    (tmp_path / ".git" / "info" / "exclude").write_text("local\n")
    build(tmp_path, src__local="")
    assert read(tmp_path / "src") == ["a"]
    assert read(tmp_path / "build") == ["a", "b.log"]  # named although ignored


def test_links_are_not_followed_and_cycles_end(tmp_path):
    build(tmp_path, outside="", top__a__file="")
    top = tmp_path / "top"
    (top / "a" / "up").symlink_to(top)
    (top / "again").symlink_to(top / "a" / "file")
    (top / "loop").symlink_to("loop")
    (top / "nothing").symlink_to("missing")
    (top / "out").symlink_to(tmp_path / "outside")
    (top / "out_dir").symlink_to(tmp_path)
    assert read(top) == ["a/file"]
    assert left(top) == {
        "loop": "is a link to nothing",
        "nothing": "is a link to nothing",
        "out": "is a link that leaves the directory",
        "out_dir": "is a link that leaves the directory",
    }
    (tmp_path / "link").symlink_to(top)
    assert read(tmp_path / "link") == ["a/file"]


def test_special_files_and_readings_are_left_out(tmp_path, monkeypatch):
    build(tmp_path, a="", book_o_reading__manifest_o_json="{}")
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    assert read(tmp_path) == ["a"]
    assert left(tmp_path) == {
        "book.reading": "is a reading",
        "fifo": "is a pipe (FIFO)",
        "socket": "is a socket",
    }


def test_depth_is_not_that_of_pythons_stack(tmp_path, monkeypatch):
    (tmp_path / "top").mkdir()
    monkeypatch.chdir(tmp_path / "top")
    depth = 1200
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")
    with open("file", "w"):
        pass
    os.chdir(tmp_path / "top")
    deepest = "d/" * depth
    try:
        assert read(tmp_path / "top") == [deepest + "file"]
    finally:  # what pytest clears up with would go too deep for Python's stack
        os.remove(deepest + "file")
        os.removedirs(deepest)


def test_unlistable_directory(tmp_path, monkeypatch):
    build(tmp_path, shut__a="", z="")
    listed = os.scandir

    def scandir(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert read(tmp_path) == ["z"]
    assert left(tmp_path) == {"shut": "may not be read: permission denied"}
    with pytest.raises(Unreadable, match="permission denied"):
        read(tmp_path / "shut")
