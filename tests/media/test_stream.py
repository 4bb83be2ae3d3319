# SPDX-License-Identifier: Apache-2.0
"""What is common to all media: work ahead, kinds a model reads, missing packages, held bytes."""

import gzip
import subprocess
import sys
import threading
import time
import zipfile

import pytest
from PIL import Image

import pollux
from pollux.errors import InputError
from pollux.media.content import Content
from pollux.media.inputs import open_parts
from pollux.media.limits import Limits
from pollux.media.part import MEDIA, TEXT, Part
from pollux.media.prefetch import ahead
from pollux.media.stream import pieces

SCRIPT = """
import sys
sys.modules.update(dict.fromkeys(("av", "PIL", "pypdfium2")))
from pollux.errors import InputError
from pollux.media.inputs import open_parts
from pollux.media.part import MEDIA, TEXT
for path in sys.argv[1:]:
    try:
        print(*(part.kind for part in open_parts([path], kinds=TEXT | MEDIA)))
    except InputError as error:
        print(error)
"""


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (20, 20), "red").save(path)
    return path


def test_items_come_in_order_and_ahead():
    made = []

    def items():
        for number in range(6):
            made.append(number)
            yield number

    found = ahead(items(), depth=2)
    assert next(found) == 0
    limit = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < limit:  # one taken, two waiting, one in the hand
        time.sleep(0.001)
    time.sleep(0.05)
    assert made == [0, 1, 2, 3]
    assert [*found] == [1, 2, 3, 4, 5]


def test_errors_come_where_they_belong():
    def items():
        yield 1
        raise KeyError("lost")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(KeyError, match="lost"):
        next(found)
    assert next(found, None) is None


def test_closing_ends_the_thread_and_the_generator():
    ended = threading.Event()

    def items():
        try:
            while True:
                yield 0
        finally:
            ended.set()

    before = threading.active_count()
    found = ahead(items(), depth=1)
    next(found)
    found.close()
    assert ended.is_set() and threading.active_count() == before


def test_a_model_that_reads_text_says_so(photo, film, weights, tmp_path):
    path = film("a.mp4", seconds=1.0)
    for one, what in ((photo, "a PNG image"), (path, "an MP4 video")):
        with pytest.raises(InputError) as caught:
            open_parts([one])
        assert str(caught.value) == f"{one} is {what}; this model reads text only"
    (part,) = open_parts([path], kinds=MEDIA)
    assert pollux.load(weights).read(part).parts[0].kind == "video"
    with pytest.raises(InputError, match="an MP4 video; this model reads text, image$"):
        open_parts([path], kinds={"text", "image"})
    (tmp_path / "src").mkdir()
    photo.rename(tmp_path / "src" / "photo.png")
    (tmp_path / "src" / "a.py").write_text("a = 1\n")
    opened = open_parts([tmp_path / "src"])
    assert [part.name for part in opened] == ["src/a.py"]
    assert [one.reason for one in opened.skipped] == ["is a PNG image"]


def test_missing_packages_are_named_with_their_extra(photo, film, tmp_path):
    path, document, note = film("a.mp4", seconds=1.0), tmp_path / "a.pdf", tmp_path / "a.txt"
    document.write_bytes(b"%PDF-1.4\n")
    note.write_text("words\n")
    names = [str(one) for one in (photo, path, document, note)]
    run = subprocess.run([sys.executable, "-c", SCRIPT, *names], capture_output=True, text=True)
    told = "{} cannot be decoded: {} is not installed; pip install 'pollux[media]'"
    missing = ("PIL", "av", "pypdfium2")
    expected = [told.format(name, package) for name, package in zip(names, missing, strict=False)]
    assert run.stdout.splitlines() == [*expected, "text"], run.stderr


def test_archives_and_compressed_files(photo, film, tmp_path):
    path = film("a.mp4", seconds=1.0)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for one in (photo, path):
            archive.write(one, one.name)
        archive.writestr("note.txt", "words\n")
    (tmp_path / "b.png.gz").write_bytes(gzip.compress(photo.read_bytes()))
    opened = open_parts([tmp_path / "all.zip", tmp_path / "b.png.gz"], kinds=TEXT | MEDIA)
    parts = [*opened]
    assert [(part.name, part.kind) for part in parts] == [
        ("all.zip/a.mp4", "video"),
        ("all.zip/note.txt", "text"),
        ("all.zip/photo.png", "image"),
        ("b.png.gz", "image"),
    ]
    assert [len([*pieces(part)]) for part in parts] == [2, 1, 1, 1]
    size = path.stat().st_size
    opened = open_parts([tmp_path / "all.zip"], kinds=MEDIA, limits=Limits(max_held_bytes=size - 1))
    assert [part.name for part in opened] == ["all.zip/note.txt", "all.zip/photo.png"]
    reasons = {one.path: one.reason for one in opened.skipped}
    assert reasons["all.zip/a.mp4"].startswith("holds more than")


def test_a_file_on_disk_is_not_held(film):
    path = film("a.mp4", seconds=1.0)
    (part,) = open_parts([path], kinds=MEDIA, limits=Limits(max_bytes=10, max_held_bytes=10))
    assert part.content == Content(path=path) and not part.text
    with pytest.raises(InputError, match="a.mp4 holds more than 10 bytes; split it"):
        open_parts([path], kinds=MEDIA, limits=Limits(max_media_bytes=10))


def test_a_file_that_is_gone_is_told(photo):
    (part,) = open_parts([photo], kinds=MEDIA)
    photo.unlink()
    with pytest.raises(InputError, match="photo.png does not exist"):
        list(pieces(part))


def test_parts_of_media_have_content_and_no_text():
    with pytest.raises(ValueError, match="comes from its content"):
        Part(name="a.png", kind="image")
    with pytest.raises(ValueError, match="comes from its content"):
        Part(name="a.png", kind="image", text="words", content=Content(data=b"x"))
