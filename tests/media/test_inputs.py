# SPDX-License-Identifier: Apache-2.0
"""Everything a user may name, rightly or wrongly."""

import gzip
import io
import os
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pollux.errors import InputError
from pollux.media.inputs import Skipped, open_parts, part_names
from pollux.media.limits import Limits
from pollux.media.part import Part

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc",)) | st.sampled_from("\n\r\t"), min_size=1
).filter(lambda text: not text.startswith("\ufeff"))


def write(path, content="text"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def names(*paths, **options):
    return [part.name for part in open_parts(paths, **options)]


def refusal(*paths, **options):
    with pytest.raises(InputError) as caught:
        names(*paths, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS)
def test_any_text_comes_back(tmp_path, text):
    for name, data in [("a.txt", text.encode()), ("a.txt.gz", gzip.compress(text.encode()))]:
        (part,) = open_parts([write(tmp_path / name, data)])
        assert part == Part(name=name, kind="text", text=text)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.py", "code"),
        ("A.PY", "code"),
        ("a.h", "code"),
        ("Makefile", "code"),
        ("a.ts.gz", "code"),
        ("a.md", "text"),
        ("a.html", "text"),
        ("a.json", "text"),
        ("py", "text"),
        (".py", "text"),
    ],
)
def test_kind(tmp_path, name, kind):
    text = "# *as* <b>is</b>\n"
    if name.endswith(".gz"):
        write(tmp_path / name, gzip.compress(text.encode()))
    else:
        write(tmp_path / name, text)
    assert list(open_parts([tmp_path / name])) == [Part(name=name, kind=kind, text=text)]


def test_one_path_needs_no_list(tmp_path):
    path = write(tmp_path / "a.txt")
    assert [part.name for part in open_parts(path)] == ["a.txt"]
    assert [part.name for part in open_parts(str(path))] == ["a.txt"]


def test_directory_gives_named_parts_and_a_report(tmp_path):
    for name in ["app.py", "lib/z.txt", "lib/a.txt", "logo.png", "lib/__init__.py"]:
        write(tmp_path / "src" / name, {"logo.png": PNG, "lib/__init__.py": ""}.get(name, name))
    opened = open_parts([tmp_path / "src"])
    assert opened.skipped == []
    assert next(opened).name == "src/app.py"
    assert [(part.name, part.text) for part in opened] == [
        ("src/lib/a.txt", "lib/a.txt"),
        ("src/lib/z.txt", "lib/z.txt"),
    ]
    assert opened.skipped == [
        Skipped(path="src/lib/__init__.py", reason="is empty"),
        Skipped(path="src/logo.png", reason="is a PNG image"),
    ]


def test_here_is_named_by_its_directory(tmp_path, monkeypatch):
    write(tmp_path / "project" / "src" / "a.txt")
    monkeypatch.chdir(tmp_path / "project")
    assert names(".") == ["project/src/a.txt"]
    assert names("src/") == ["src/a.txt"]
    monkeypatch.chdir("src")
    assert names("..") == ["project/src/a.txt"]


def test_parts_stream(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b")
    opened = open_parts([tmp_path / "a", tmp_path / "b"])
    assert next(opened).name == "a"
    (tmp_path / "b").unlink()
    with pytest.raises(InputError, match="b does not exist"):
        next(opened)


def test_same_names_are_told_apart():
    assert part_names(["x/a", "y/a", "b"]) == ["x/a", "y/a", "b"]
    assert part_names(["1/x/a", "2/x/a", "2/y/a"]) == ["1/x/a", "2/x/a", "y/a"]
    assert part_names(["/a", "/b/a"]) == ["a", "b/a"]
    assert part_names(["a", "./a"]) == ["a", "a"]
    assert part_names(["-", "/"]) == ["stdin", "root"]


def test_nothing_is_read_twice(tmp_path):
    a = write(tmp_path / "src" / "a")
    write(tmp_path / "src" / "b")
    (tmp_path / "link").symlink_to(a)
    opened = open_parts([a, tmp_path / "src", tmp_path / "link", tmp_path / "src"])
    assert [part.name for part in opened] == ["a", "src/b"]
    assert {skipped.reason for skipped in opened.skipped} == {"was read already"}


def test_standard_input(monkeypatch):
    def feed(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    feed("one\r\ntwo, \u4e09\n".encode())
    assert list(open_parts(["-"])) == [Part(name="stdin", kind="text", text="one\r\ntwo, 三\n")]
    feed(gzip.compress(b"packed"))
    assert next(open_parts(["-"])).text == "packed"
    feed(b"")
    assert refusal("-") == "standard input is empty; name a file with text in it"
    feed(b"x" * 2000)
    assert refusal("-", limits=Limits(max_bytes=1000)).startswith("standard input holds more than")


def test_missing_file_suggests(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "books" / "War-and-Peace.txt")
    for wrong, right in [
        ("books/war-and-peas.txt", "books/War-and-Peace.txt"),
        ("book/War-and-Peace.txt", "books"),
    ]:
        assert refusal(wrong) == f"{wrong} does not exist; did you mean {right}?"
    assert refusal("quite other") == "quite other does not exist; check its spelling"
    assert refusal("books/War-and-Peace.txt/1") == (
        "books/War-and-Peace.txt/1 does not exist;"
        " books/War-and-Peace.txt is a file, not a directory"
    )
    Path("link").symlink_to("gone")
    assert refusal("link") == "link is a link to gone, which does not exist; mend it"


def test_wrong_paths(tmp_path):
    assert "no input is named" in refusal()
    assert "is an empty path" in refusal("")
    assert "is not a file name" in refusal("a\0b")
    assert "cannot be read: File name too long" in refusal("x" * 5000)
    assert "does not exist" in refusal(str(tmp_path / "two\nlines"))


def test_what_is_named_wrongly_is_found_before_anything_is_read(tmp_path):
    for name, content in [("image", PNG), ("empty", ""), ("binary", bytes(100))]:
        with pytest.raises(InputError):
            open_parts([write(tmp_path / "good"), write(tmp_path / name, content)])
    with pytest.raises(InputError, match="holds more than 10 bytes"):
        open_parts([write(tmp_path / "large", "x" * 11)], limits=Limits(max_bytes=10))


def test_refusals_of_files(tmp_path):
    path = write(tmp_path / "photo.txt", PNG)
    assert refusal(path) == f"{path} is a PNG image; this model reads text only"
    path = write(tmp_path / "a.bin", b"text\0more")
    assert refusal(path) == f"{path} is not text: it has NUL bytes; name a text file"
    path = write(tmp_path / "late", b"x" * 100_000 + b"\0")
    assert refusal(path) == f"{path} is not text: it has NUL bytes; name a text file"
    path = write(tmp_path / "empty.txt", "")
    assert refusal(path) == f"{path} is empty; name a file with text in it"


def test_note_comes_with_the_part(tmp_path):
    part = next(open_parts([write(tmp_path / "a", b"x" * 1000 + b"\xff")]))
    assert part.note == "1 invalid byte replaced"


def test_special_files_are_refused_without_waiting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    assert refusal("fifo") == "fifo is a pipe (FIFO); pipe its content in and name it -"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    assert "socket is a socket" in refusal("socket")
    assert "/dev/zero is a device" in refusal("/dev/zero")


def test_permission_denied(tmp_path, monkeypatch):
    path = write(tmp_path / "src" / "shut")
    write(tmp_path / "src" / "z")
    opening = os.open

    def refuse(name, *rest, **options):
        if str(name).endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return opening(name, *rest, **options)

    monkeypatch.setattr(os, "open", refuse)
    message = "may not be read: permission denied"
    assert refusal(path) == f"{path} {message}; change its permissions (chmod +r)"
    opened = open_parts([tmp_path / "src"])
    assert [part.name for part in opened] == ["src/z"]
    assert opened.skipped == [Skipped(path="src/shut", reason=message)]


def test_directory_with_nothing_readable(tmp_path):
    top = tmp_path / "src"
    top.mkdir()
    assert refusal(top) == f"{top} holds nothing to read: it is empty; name a text file"
    for number in range(3):
        write(top / f"{number}.png", PNG)
    write(top / "node_modules" / "a.js")
    assert refusal(top) == (
        f"{top} holds nothing to read: src/0.png is a PNG image (and 2 more),"
        " src/node_modules is left out; name a text file"
    )


def test_skip_unreadable(tmp_path):
    paths = [write(tmp_path / "a.png", PNG), write(tmp_path / "b"), tmp_path / "c", tmp_path / "d"]
    (tmp_path / "d").mkdir()
    opened = open_parts(paths, skip_unreadable=True)
    assert [part.name for part in opened] == ["b"]
    assert [(Path(one.path).name, one.reason) for one in opened.skipped] == [
        ("a.png", "is a PNG image"),
        ("c", "does not exist"),
        ("d", "holds nothing to read: it is empty"),
    ]
    message = refusal(paths[0], paths[2], skip_unreadable=True)
    assert message.startswith("there is nothing to read: ")
    assert "a.png is a PNG image" in message and "c does not exist" in message


def test_limits(tmp_path):
    for name in "abc":
        write(tmp_path / "src" / name, "x" * 100)
    write(tmp_path / "src" / "large", "x" * 300)
    opened = open_parts([tmp_path / "src"], limits=Limits(max_bytes=200))
    assert len(list(opened)) == 3
    assert opened.skipped == [Skipped(path="src/large", reason="holds more than 200 bytes")]
    message = refusal(tmp_path / "src", limits=Limits(max_files=3))
    assert message == "there are more than 3 files; name fewer of them"
    message = refusal(tmp_path / "src", limits=Limits(max_total_bytes=250))
    assert message == "the files hold more than 250 bytes of text; name fewer of them"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file name is Unicode")
def test_odd_file_names_stay_on_one_line(tmp_path):
    for name in [b"new\nline", b"no\xffutf8", "\u4e2d\u3000\u6587".encode()]:
        write(Path(os.fsdecode(bytes(tmp_path) + b"/src/" + name)))
    assert names(tmp_path / "src") == ["src/new\ufffdline", "src/no\ufffdutf8", "src/中　文"]
    assert names(Path(os.fsdecode(bytes(tmp_path) + b"/src/no\xffutf8"))) == ["no\ufffdutf8"]


def test_part_has_a_name_on_one_line():
    for name in ["", "a\nb", "\ud800"]:
        with pytest.raises(ValueError, match="one line"):
            Part(name=name, kind="text", text="x")
