# SPDX-License-Identifier: Apache-2.0
"""Opening, verifying, combining: what is on disk is what was made, and damage is always told."""

import json
import os
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollux.errors import ReadingError
from pollux.memory import arrays
from pollux.memory.manifest import (
    BLOCK,
    FILES,
    MANIFEST,
    SEGMENT,
    Manifest,
    PartSpan,
    Shape,
    array_files,
    write_manifest,
)
from pollux.memory.reading import Reading

SIZES = st.lists(st.integers(1, 5 * BLOCK), max_size=5)
QUICK = settings(max_examples=20, deadline=None)


@given(SIZES)
@QUICK
def test_saved_equals_fresh(tmp_path_factory, random_reading, same, sizes):
    path = tmp_path_factory.mktemp("saved") / "a.reading"
    fresh = random_reading(sizes)
    saved = fresh.save(path)
    assert same(saved, fresh) and same(Reading.open(path, "weights-a", "tokenizer-a"), fresh)
    assert saved.path == path and fresh.path is None
    assert saved.nbytes == fresh.nbytes == sum((path / name).stat().st_size for name in FILES)
    assert saved.num_valid == sum(sizes)
    assert sorted(os.listdir(path.parent)) == ["a.reading"]


def test_segments_are_views_and_cover_everything(tmp_path, random_reading, same):
    fresh = random_reading([SEGMENT + 10, 100, SEGMENT])
    saved = fresh.save(tmp_path / "a.reading")
    assert same(saved, fresh)
    lengths = [len(segment.tokens) for segment in saved.segments()]
    assert lengths == [SEGMENT, SEGMENT, 64 + 128]
    assert [segment.start for segment in saved.segments()] == [0, SEGMENT, 2 * SEGMENT]
    assert np.shares_memory(saved.segment(1).keys, saved.keys)
    assert not saved.keys.flags.writeable
    whole = np.concatenate([saved.valid_mask(i) for i in range(saved.num_segments)])
    real = np.concatenate([np.arange(p.start, p.end) for p in saved.parts])
    assert np.array_equal(np.flatnonzero(whole), real)


@given(st.lists(SIZES, min_size=1, max_size=4), st.randoms(use_true_random=False))
@QUICK
def test_combined_equals_chained(random_reading, many, random):
    readings = [random_reading(sizes, seed) for seed, sizes in enumerate(many)]
    both = Reading.combine(readings)
    for name in ("keys", "values", "key_scales", "value_scales", "tokens"):
        chained = np.concatenate([getattr(reading, name) for reading in readings])
        assert np.array_equal(getattr(both, name), chained)
        by_segment = [getattr(segment, name) for segment in both.segments()]
        assert np.array_equal(np.concatenate([chained[:0], *by_segment]), chained)
    assert len(both) == sum(map(len, readings))
    assert [part.name for part in both.parts] == [p.name for r in readings for p in r.parts]
    for part, old in zip(both.parts, (p for r in readings for p in r.parts), strict=True):
        owner = next(r for r in readings if old in r.parts)
        body = owner.tokens[old.text_start : old.end]
        assert np.array_equal(both.tokens[part.text_start : part.end], body)
        assert both.part_of(part.start) == both.part_of(part.end - 1) == part
    positions = np.array([random.randrange(len(both)) for _ in range(9 if len(both) else 0)], int)
    rows = both.take(positions)
    assert np.array_equal(rows.keys, both.keys[positions])
    assert np.array_equal(rows.value_scales, both.value_scales[positions])
    assert np.array_equal(rows.tokens, both.tokens[positions])


def test_combined_can_be_saved_and_combined_again(tmp_path, random_reading, same):
    a, b, c = (random_reading([100 + seed, 70], seed) for seed in range(3))
    nested = Reading.combine([Reading.combine([a, b]), c])
    assert same(nested, Reading.combine([a, b, c]))
    assert same(nested.save(tmp_path / "abc.reading"), nested)


def test_combine_refuses_other_weights(random_reading):
    with pytest.raises(ReadingError, match="made with other weights .weights-b, .*weights-a"):
        Reading.combine([random_reading([9]), random_reading([9], weights="weights-b")])


def test_padding_and_outside_are_in_no_part(random_reading):
    reading = random_reading([10, 64])
    assert reading.part_of(9).end == 10 and reading.part_of(64).start == 64
    for position in (-1, 10, 63, 128):
        with pytest.raises(IndexError):
            reading.part_of(position)
    with pytest.raises(IndexError):
        reading.take(np.array([128]))


def test_wrong_arrays_are_refused(random_reading):
    whole = random_reading([64])
    fields = {name: getattr(whole, name) for name in ("keys", "values", "key_scales", "tokens")}
    fields |= dict(value_scales=whole.value_scales, parts=whole.parts)
    prints = dict(weights_fingerprint="", tokenizer_fingerprint="")
    Reading.from_arrays(**fields, **prints)
    for wrong in (
        dict(keys=whole.keys.astype(np.int16)),
        dict(key_scales=np.zeros(64, np.float32)),
        dict(key_scales=np.zeros(1, np.float16)),
        dict(parts=()),
        dict(tokens=whole.tokens[:40]),
    ):
        with pytest.raises(ValueError):
            Reading.from_arrays(**(fields | wrong), **prints)


@pytest.mark.parametrize("name", FILES)
def test_truncated_file_is_told(tmp_path, random_reading, name):
    path = random_reading([300]).save(tmp_path / "a.reading").path
    size = (path / name).stat().st_size
    os.truncate(path / name, size - 1)
    with pytest.raises(ReadingError) as told:
        Reading.open(path)
    line = str(told.value)
    assert f"{path}/{name} is truncated ({size - 1:,} bytes of {size:,})" in line
    assert "read the files again" in line and "\n" not in line


@given(st.sampled_from(FILES), st.floats(0, 1, exclude_max=True), st.integers(0, 7))
@QUICK
def test_flipped_bit_is_told(tmp_path_factory, random_reading, name, where, bit):
    path = tmp_path_factory.mktemp("flip") / "a.reading"
    random_reading([200, SEGMENT, 130]).save(path)
    raw = bytearray((path / name).read_bytes())
    at = int(where * len(raw))
    raw[at] ^= 1 << bit
    (path / name).write_bytes(raw)
    opened = Reading.open(path)  # opening does not look at the contents
    files = array_files(opened.shape)
    file = next(file for file in files if file.file == name)
    number = at // file.row_bytes // SEGMENT
    whole = 1 - number
    opened.verify(whole)
    start = number * SEGMENT
    end = min(start + SEGMENT, len(opened)) - 1
    message = f"{path}/{name} is damaged in tokens {start:,} to {end:,}"
    with pytest.raises(ReadingError, match=message):
        opened.verify()
    with pytest.raises(ReadingError, match=message):
        list(opened.segments())
    with pytest.raises(ReadingError, match=message):
        opened.save(path.parent / "copy.reading")
    assert not (path.parent / "copy.reading").exists()


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 7))
@settings(max_examples=100, deadline=None)
def test_damaged_manifest_never_opens_as_something_else(
    tmp_path_factory, random_reading, same, where, bit
):
    path = tmp_path_factory.mktemp("flip") / "a.reading"
    fresh = random_reading([200, 130])
    fresh.save(path)
    raw = bytearray((path / MANIFEST).read_bytes())
    raw[int(where * len(raw))] ^= 1 << bit
    (path / MANIFEST).write_bytes(raw)
    try:
        opened = Reading.open(path)
    except ReadingError as told:
        assert str(path) in str(told) and "\n" not in str(told)
    else:  # a space became another blank
        assert same(opened, fresh)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "[" * 100_000, '{"format": 1}', '{"version": 1}', "\xff", "1" * 9999],
)
def test_manifest_of_nonsense_is_told(tmp_path, random_reading, text):
    path = random_reading([200]).save(tmp_path / "a.reading").path
    (path / MANIFEST).write_bytes(text.encode("latin-1"))
    with pytest.raises(ReadingError, match=str(path)) as told:
        Reading.open(path)
    assert "\n" not in str(told.value)


def forge(path, change):
    """Change a manifest's body and give it the right checksum."""
    from pollux.memory.manifest import body_crc

    record = json.loads((path / MANIFEST).read_text())
    change(record["reading"])
    record["crc32"] = body_crc(record["reading"])
    (path / MANIFEST).write_text(json.dumps(record))


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.pop("parts"),
        lambda body: body.update(tokens=-64),
        lambda body: body.update(tokens=True),
        lambda body: body.update(tokens=10**30),
        lambda body: body["shape"].update(key_dim=0),
        lambda body: body["shape"].update(key_dim="5"),
        lambda body: body["parts"][0].update(end=10**12),
        lambda body: body["parts"][0].update(start=1),
        lambda body: body["parts"].append(body["parts"][0]),
        lambda body: body["checksums"].pop("keys.i8"),
        lambda body: body["checksums"].update({"keys.i8": []}),
        lambda body: body["checksums"].update({"keys.i8": ["1"]}),
    ],
)
def test_forged_manifest_is_told(tmp_path, random_reading, change):
    path = random_reading([200]).save(tmp_path / "a.reading").path
    forge(path, change)
    with pytest.raises(ReadingError, match="is damaged .*: read the files again"):
        Reading.open(path)


def test_oversized_manifest_is_not_parsed(tmp_path, random_reading, monkeypatch):
    path = random_reading([200]).save(tmp_path / "a.reading").path
    monkeypatch.setattr(arrays, "MANIFEST_LIMIT", 100)
    with pytest.raises(ReadingError, match="too large"):
        Reading.open(path)


def test_other_version_is_told(tmp_path, random_reading):
    path = random_reading([200]).save(tmp_path / "a.reading").path
    record = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(record | {"version": 7}))
    with pytest.raises(ReadingError, match="is of format 7, and this Pollux knows format 2"):
        Reading.open(path)


def test_older_version_is_told_and_can_be_replaced(tmp_path, random_reading, same):
    path = random_reading([200]).save(tmp_path / "a.reading").path
    record = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(record | {"version": 1}))
    for what in ("key_scales", "value_scales"):
        (path / f"{what}.f16").rename(path / f"{what}.f32")
    line = "a.reading was made by an older version of Pollux .*: read the files again$"
    with pytest.raises(ReadingError, match=line):
        Reading.open(path)
    fresh = random_reading([90], seed=1)
    assert same(fresh.save(path), fresh)
    assert not (path / "key_scales.f32").exists()


def test_other_fingerprints_are_told(tmp_path, random_reading):
    path = random_reading([200]).save(tmp_path / "a.reading").path
    line = "made with other weights .weights-a, the model's is weights-b.: read the files again"
    with pytest.raises(ReadingError, match=line):
        Reading.open(path, "weights-b", "tokenizer-a")
    with pytest.raises(ReadingError, match="made with other tokenizer"):
        Reading.open(path, "weights-a", "tokenizer-b")


def test_what_is_not_a_reading_is_told(tmp_path, random_reading):
    path = random_reading([200]).save(tmp_path / "a.reading").path
    with pytest.raises(ReadingError, match="nothing.reading does not exist"):
        Reading.open(tmp_path / "nothing.reading")
    with pytest.raises(ReadingError, match="is not a reading: it is not a directory"):
        Reading.open(path / "keys.i8")
    with pytest.raises(ReadingError, match="is not a reading: it has no manifest.json"):
        Reading.open(tmp_path)
    (path / "keys.i8").unlink()
    with pytest.raises(ReadingError, match="is broken: it lacks keys.i8"):
        Reading.open(path)
    os.mkfifo(path / "keys.i8")
    with pytest.raises(ReadingError, match="keys.i8 is not a plain file"):
        Reading.open(path)
    (path / "keys.i8").unlink()
    (path / "keys.i8").symlink_to(path / "values.i8")
    with pytest.raises(ReadingError, match="keys.i8 cannot be opened"):
        Reading.open(path)


def test_bytes_beyond_the_manifest_are_ignored(tmp_path, random_reading, same):
    fresh = random_reading([200, 64])
    path = fresh.save(tmp_path / "a.reading").path
    for name in FILES:
        with open(path / name, "ab") as file:
            file.write(b"torn")
    assert same(Reading.open(path), fresh)


def test_replaced_while_open_stays_as_it_was(tmp_path, random_reading, same):
    old, new = random_reading([200]), random_reading([300, 20], seed=1)
    opened = old.save(tmp_path / "a.reading")
    assert same(new.save(tmp_path / "a.reading"), new)
    assert same(opened, old)
    assert same(opened.save(tmp_path / "a.reading"), old)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_opening_two_gigabytes_touches_no_array(tmp_path):
    shape = Shape(key_dim=64, value_dim=64)
    tokens = 256 * SEGMENT  # 2.2 GB, all of it holes
    part = PartSpan(
        name="p", kind="text", note="", start=0, text_start=2, end=tokens - 5, sha256=""
    )
    manifest = Manifest(
        tokens=tokens,
        shape=shape,
        weights_fingerprint="w",
        tokenizer_fingerprint="t",
        parts=(part,),
        checksums=((1,) * 256,) * 5,
    )
    path = tmp_path / "big.reading"
    path.mkdir()
    for file in array_files(shape):
        (path / file.file).touch()
        os.truncate(path / file.file, file.nbytes(tokens))
    write_manifest(path, manifest)
    opened = Reading.open(path)
    assert len(opened) == tokens and opened.nbytes > 2_000_000_000
    assert resident_kilobytes(path) == 0
    with pytest.raises(ReadingError, match="keys.i8 is damaged in tokens 0 to 65,535"):
        next(opened.segments())
    assert 0 < resident_kilobytes(path) < 20_000


def resident_kilobytes(path):
    """What of the reading's maps is in memory."""
    total, inside = 0, False
    with open("/proc/self/smaps") as maps:
        for line in maps:
            if "-" in line.split()[0] and not line.split()[0].endswith(":"):
                inside = str(path) in line
            elif inside and line.startswith("Rss:"):
                total += int(line.split()[1])
    return total


def test_spans_survive_odd_names(tmp_path, random_reading, same):
    fresh = random_reading([70])
    store = fresh.stores[0]
    part = replace(store.manifest.parts[0], name='a "\n\udcff你', note="\x00é")
    odd = Reading((replace(store, manifest=replace(store.manifest, parts=(part,))),))
    assert same(odd.save(tmp_path / "a.reading"), odd)
