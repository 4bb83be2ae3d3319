# SPDX-License-Identifier: Apache-2.0
"""Parts by themselves, and patches in them: the same rows as in arrays put together by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollux.errors import ReadingError
from pollux.memory.manifest import BLOCK, SEGMENT
from pollux.memory.reading import Reading
from pollux.memory.splice import Patch, splice

SIZES = st.lists(st.integers(3, 200), min_size=1, max_size=4)
QUICK = settings(max_examples=30, deadline=None)


def columns(reading, start, end):
    """A copy of the rows from `start` to before `end`."""
    rows = reading.take(np.arange(start, end))
    return rows.keys, rows.values, rows.key_scales, rows.value_scales, rows.tokens


@given(st.lists(SIZES, min_size=1, max_size=3), st.data())
@QUICK
def test_spliced_equals_put_together_by_hand(tmp_path_factory, random_reading, same, many, data):
    readings = [random_reading(sizes, seed) for seed, sizes in enumerate(many)]
    if data.draw(st.booleans()):
        readings[0] = readings[0].save(tmp_path_factory.mktemp("splice") / "a.reading")
    whole = Reading.combine(readings)
    index = data.draw(st.integers(0, len(whole.parts) - 1))
    part = whole.parts[index]
    cuts = sorted(data.draw(st.lists(st.integers(2, part.end - part.start), max_size=6)))
    patches, pieces, at = [], [], 0
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        made = random_reading([data.draw(st.integers(1, 150))], seed=start)
        new = columns(made, 0, data.draw(st.integers(0, made.num_valid)))
        patches.append(Patch(start=start, end=end, columns=new))
        pieces += [columns(whole, part.start + at, part.start + start), new]
        at = end
    pieces.append(columns(whole, part.start + at, part.end))
    spliced = splice(whole, part, patches, "new digest")
    by_hand = [np.concatenate(column) for column in zip(*pieces, strict=True)]
    size = len(by_hand[-1])
    found = spliced.parts[index]
    assert found == replace(part, end=part.start + size, sha256="new digest")
    for got, expected in zip(columns(spliced, found.start, found.end), by_hand, strict=True):
        assert np.array_equal(got, expected)
    padding = columns(spliced, found.end, found.end + -size % BLOCK)
    assert not any(column.any() for column in padding)
    for number, other in enumerate(whole.parts):
        if number != index:
            assert same(spliced.alone(spliced.parts[number]), whole.alone(other))
    saved = spliced.save(tmp_path_factory.mktemp("splice") / "b.reading")
    assert same(saved, spliced)


@given(SIZES)
@QUICK
def test_a_part_is_a_reading_of_views(random_reading, same, sizes):
    whole = random_reading(sizes)
    for i, part in enumerate(whole.parts):
        alone = whole.part(part.name)
        assert np.shares_memory(alone.keys, whole.keys)
        only = alone.parts[0]
        assert only == part.moved(-part.start) and alone.num_valid == sizes[i]
        rows = (columns(alone, 0, only.end), columns(whole, part.start, part.end))
        assert all(np.array_equal(*pair) for pair in zip(*rows, strict=True))
        assert same(alone.part(part.name), alone)
    parts = [whole.alone(part) for part in whole.parts]
    assert Reading.combine(parts).parts == whole.parts


def test_a_part_is_verified_where_it_stands(tmp_path, random_reading):
    sizes = [100, SEGMENT, 300]
    path = random_reading(sizes).save(tmp_path / "a.reading").path
    raw = bytearray((path / "keys.i8").read_bytes())
    raw[(SEGMENT + 70) * 5] ^= 1  # in the second part and the second segment
    (path / "keys.i8").write_bytes(raw)
    opened = Reading.open(path)
    first, second, third = (opened.alone(part) for part in opened.parts)
    first.verify()
    line = f"keys.i8 is damaged in tokens {SEGMENT:,} to"
    for broken in (second, third):
        with pytest.raises(ReadingError, match=line):
            broken.verify()
    with pytest.raises(ReadingError, match=line):
        list(second.segments())
    with pytest.raises(ReadingError, match=line):
        splice(opened, opened.parts[1], [], "")
    assert not (tmp_path / "b.reading").exists()
    edited = splice(opened, opened.parts[0], [], "")
    with pytest.raises(ReadingError, match=line):
        edited.save(tmp_path / "b.reading")
    assert not (tmp_path / "b.reading").exists()


def test_a_part_is_found_by_its_name_or_the_end_of_its_path(random_reading):
    reading = random_reading([5, 6, 7, 8])
    names = ("src/app.py", "tests/app.py", "app.py", "src/app.py/data")
    store = reading.stores[0]
    parts = [replace(p, name=n) for p, n in zip(reading.parts, names, strict=True)]
    manifest = replace(store.manifest, parts=tuple(parts))
    named = Reading((replace(store, manifest=manifest),))
    assert named.find("app.py").end == 128 + 7
    assert named.find("data") == named.find("app.py/data") == named.parts[3]
    assert named.find("tests/app.py") == named.parts[1]
    with pytest.raises(ReadingError, match="no part is called 'pp.py'; there are src/app.py, te"):
        named.find("pp.py")
    others = named.alone(parts[0]), named.alone(parts[1])
    with pytest.raises(ReadingError, match="2 parts are called 'app.py' .*: give the whole name"):
        Reading.combine(others).part("app.py")
    twice = Reading.combine([named, named])
    with pytest.raises(ReadingError, match="2 parts are called 'src/app.py' .*: open the readings"):
        twice.part("src/app.py")
    many = random_reading([3] * 20)
    with pytest.raises(ReadingError, match="there are part-0-0, .*, part-0-7 and 12 more$"):
        many.part("x")


def test_arrays_in_ram_begin_where_jax_needs_no_copy(random_reading):
    made = random_reading([300, 40])
    spliced = splice(made, made.parts[1], [], "")
    assert all(array.ctypes.data % 64 == 0 for array in spliced.stores[-1].arrays)
