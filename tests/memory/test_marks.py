# SPDX-License-Identifier: Apache-2.0
"""What is shown when: marks in a manifest, and the places that follow from them."""

import dataclasses
import json
import zlib

import pytest

import pollux
from pollux.memory.manifest import BLOCK, MANIFEST, Mark, PartSpan
from pollux.memory.place import medium_place
from pollux.memory.reading import Reading
from pollux.memory.store import Writer

MARKS = (Mark(3, 0, 0, 0, -1), Mark(13, 0, 40, -1, -1), Mark(40, 1000, 0, 25, -1))


def film(marks=MARKS, **given):
    about = {"name": "a.mp4", "kind": "video", "note": "", "sha256": "", **given}
    return PartSpan(start=128, text_start=130, end=190, marks=marks, **about)


def written(path, shape, random_reading, marks):
    made = random_reading([60, 70])
    with Writer.create(path, shape, "weights-a", "tokenizer-a") as writer:
        for part, kept in zip(made.parts, (marks, ()), strict=True):
            writer.begin_part(part.name, "video")
            whole = -(-part.end // BLOCK) * BLOCK
            rows = made.stores[0].slices(part.start, whole)
            writer.append(*rows, valid=BLOCK - (whole - part.end))
            writer.end_part(2, part.sha256, kept)
        return writer.finish()


def test_marks_are_kept(tmp_path, shape, random_reading):
    saved = written(tmp_path / "a.reading", shape, random_reading, MARKS)
    assert [part.marks for part in saved.parts] == [MARKS, ()]
    assert [part.marks for part in saved.save(tmp_path / "b.reading").parts] == [MARKS, ()]
    record = json.loads((tmp_path / "a.reading" / MANIFEST).read_text())
    assert "marks" in record["reading"]["parts"][0]
    assert "marks" not in record["reading"]["parts"][1]  # as in readings from before there were any
    both = Reading.combine([saved, saved])
    assert both.parts[2].marks == MARKS and both.parts[2].start == len(saved)


@pytest.mark.parametrize(
    "marks",
    [
        [[70, 0, 0, 0, -1]],  # beyond the part
        [[-1, 0, 0, 0, -1]],
        [[9, 0, 0, 0, -1], [3, 0, 0, 0, -1]],
        [[3, 0, 0, 0]],
        [[3, 0, 0, 0, 1.5]],
        [3],
        {"at": 3},
    ],
)
def test_bad_marks_are_damage(tmp_path, shape, random_reading, marks):
    path = tmp_path / "a.reading"
    written(path, shape, random_reading, MARKS)
    record = json.loads((path / MANIFEST).read_text())
    record["reading"]["parts"][0]["marks"] = marks
    record["crc32"] = zlib.crc32(json.dumps(record["reading"], sort_keys=True).encode())
    (path / MANIFEST).write_text(json.dumps(record))
    with pytest.raises(pollux.ReadingError, match=r"manifest\.json is damaged"):
        Reading.open(path)


@pytest.mark.parametrize(
    "position, milliseconds, frame",
    [(130, 0, 0), (135, 0, 0), (141, 0, None), (142, 40, None), (167, 1040, None), (168, 1000, 25)],
)
def test_places(position, milliseconds, frame):
    place = medium_place(film(), position)
    assert (place.milliseconds, place.frame) == (milliseconds, frame)
    assert (place.part, place.medium, place.page) == ("a.mp4", "video", None)
    assert str(place) == f"a.mp4 00:0{milliseconds // 1000}"


def test_places_without_time():
    photo = film((Mark(2, -1, 0, -1, -1),), name="b.png", kind="image")
    assert str(medium_place(photo, 140)) == "b.png"
    assert str(medium_place(film(()), 140)) == "a.mp4"
    scan = film((Mark(2, -1, 0, -1, 1), Mark(30, -1, 0, -1, 2)), name="c.tiff", kind="image")
    assert [str(medium_place(scan, at)) for at in (140, 160)] == ["c.tiff page 1", "c.tiff page 2"]


def test_what_is_text():
    assert not film().is_text and not film(()).is_text
    assert film((), kind="pdf").is_text and not film(kind="pdf").is_text
    assert dataclasses.replace(film(()), kind="code").is_text
