# SPDX-License-Identifier: Apache-2.0
"""Writing: however it is cut up, interrupted or refused, a whole reading is what remains."""

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollux.errors import ReadingError, SpaceError
from pollux.memory.manifest import BLOCK, FILES, MANIFEST, SEGMENT, Shape
from pollux.memory.reading import Reading
from pollux.memory.store import Writer, check_space


def contents(path):
    return {name: (path / name).read_bytes() for name in os.listdir(path)}


def create(path, shape):
    return Writer.create(path, shape, "weights-a", "tokenizer-a")


def write(path, shape, append_parts, reading, chunk_blocks=3):
    with create(path, shape) as writer:
        append_parts(writer, reading, chunk_blocks)
        return writer.finish()


@given(st.lists(st.integers(1, 400), min_size=1, max_size=4), st.integers(1, 8))
@settings(max_examples=20, deadline=None)
def test_any_chunks_give_the_same_files(
    tmp_path_factory, shape, append_parts, random_reading, same, sizes, chunk_blocks
):
    root = tmp_path_factory.mktemp("chunks")
    fresh = random_reading(sizes)
    assert same(write(root / "a.reading", shape, append_parts, fresh, chunk_blocks), fresh)
    fresh.save(root / "b.reading")
    assert contents(root / "a.reading") == contents(root / "b.reading")


@given(st.lists(st.integers(1, 400), min_size=1, max_size=4), st.integers(0, 4))
@settings(max_examples=20, deadline=None)
def test_appended_equals_written_at_once(
    tmp_path_factory, shape, append_parts, random_reading, sizes, first
):
    root = tmp_path_factory.mktemp("extend")
    whole = random_reading(sizes)
    write(root / "once.reading", shape, append_parts, whole)
    path = root / "twice.reading"
    with create(path, shape) as writer:
        append_parts(writer, Kept(whole, whole.parts[:first]))
        writer.finish()
    for name in FILES:
        with open(path / name, "ab") as file:
            file.write(b"a torn append")
    with Writer.extend(path, "weights-a", "tokenizer-a") as writer:
        append_parts(writer, Kept(whole, whole.parts[first:]))
        writer.finish()
    assert contents(path) == contents(root / "once.reading")
    assert len(os.listdir(root)) == 2


class Kept:
    """Some of the parts of a reading."""

    def __init__(self, reading, parts):
        self.stores, self.parts = reading.stores, parts


def test_checksums_carry_on_across_segments(tmp_path, shape, append_parts, random_reading, same):
    whole = random_reading([SEGMENT - 1000, 5000, SEGMENT])
    path = tmp_path / "a.reading"
    write(path, shape, append_parts, Kept(whole, whole.parts[:1]), chunk_blocks=100)
    with Writer.extend(path) as writer:
        append_parts(writer, Kept(whole, whole.parts[1:]), chunk_blocks=2000)
        assert same(writer.finish(), whole)


def test_padding_is_written_as_zeros(tmp_path, shape):
    n = 2 * BLOCK
    ones = (np.ones((n, 5), np.int8), np.ones((n, 3), np.int8))
    scales = np.ones(n, np.float16)
    with create(tmp_path / "a.reading", shape) as writer:
        writer.begin_part("p", "text")
        writer.append(*ones, scales, scales, np.ones(n, np.uint16), valid=7)
        writer.end_part(1, "")
        reading = writer.finish()
    assert ones[0].all()  # the caller's arrays are left alone
    for array in (reading.keys, reading.values, reading.key_scales, reading.tokens):
        assert array[: BLOCK + 7].all() and not array[BLOCK + 7 :].any()
    assert reading.parts[0].end == BLOCK + 7 and reading.num_valid == BLOCK + 7
    assert reading.valid_mask(0).sum() == BLOCK + 7


def test_a_block_never_holds_two_parts(tmp_path, shape, append_parts, random_reading):
    reading = write(tmp_path / "a.reading", shape, append_parts, random_reading([1, 64, 65, 3]))
    assert [part.start for part in reading.parts] == [0, 64, 128, 256]
    assert len(reading) == 320


def test_misuse_is_refused(tmp_path, shape, random_reading):
    rows = random_reading([64]).stores[0].slices(0, 64)
    with create(tmp_path / "a.reading", shape) as writer:
        with pytest.raises(RuntimeError, match="begin a part"):
            writer.append(*rows)
        writer.begin_part("p", "text")
        for wrong in (dict(valid=0), dict(valid=65)):
            with pytest.raises(ValueError):
                writer.append(*rows, **wrong)
        with pytest.raises(ValueError):
            writer.append(*(array[:40] for array in rows))
        with pytest.raises(ValueError, match="has 0 tokens"):
            writer.end_part(0, "")
        with pytest.raises(RuntimeError, match="end the part"):
            writer.begin_part("q", "text")
        with pytest.raises(RuntimeError, match="end the part"):
            writer.finish()
        writer.append(*rows, valid=9)
        with pytest.raises(ValueError, match="padded already"):
            writer.append(*rows)
        with pytest.raises(ValueError):
            writer.end_part(10, "")
        writer.end_part(9, "")
        writer.finish()
        with pytest.raises(RuntimeError, match="has ended"):
            writer.begin_part("q", "text")


def test_exception_leaves_nothing_or_the_old(tmp_path, shape, append_parts, random_reading):
    path = tmp_path / "a.reading"
    fresh = random_reading([500, 30])
    with pytest.raises(KeyboardInterrupt), create(path, shape) as writer:
        append_parts(writer, fresh)
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []
    write(path, shape, append_parts, fresh)
    before = contents(path)
    for begin in (lambda: create(path, shape), lambda: Writer.extend(path)):
        with pytest.raises(KeyboardInterrupt), begin() as writer:
            append_parts(writer, random_reading([900], seed=1))
            assert contents(path) == before or writer.directory == path
            raise KeyboardInterrupt
        assert contents(path) == before
        assert os.listdir(tmp_path) == ["a.reading"]
    with create(path, shape):
        pass  # left without finishing
    assert contents(path) == before and os.listdir(tmp_path) == ["a.reading"]


def test_old_reading_opens_while_it_is_replaced_or_extended(
    tmp_path, shape, append_parts, random_reading, same
):
    path = tmp_path / "a.reading"
    fresh = random_reading([500, 30])
    opened = write(path, shape, append_parts, fresh)
    for begin in (lambda: create(path, shape), lambda: Writer.extend(path)):
        with begin() as writer:
            append_parts(writer, random_reading([900], seed=1))
            assert same(Reading.open(path), fresh) and same(opened, fresh)


@pytest.mark.parametrize("begin", ["create", "extend"])
@pytest.mark.parametrize("call", ["write", "fsync", "ftruncate", "replace"])
def test_full_disk_leaves_the_old_reading(
    tmp_path, shape, append_parts, random_reading, monkeypatch, begin, call
):
    path = tmp_path / "a.reading"
    write(path, shape, append_parts, random_reading([500, 30]))
    before = contents(path)
    real = getattr(os, call)
    for allowed in (0, 1, 3, 7, 20):
        writer = create(path, shape) if begin == "create" else Writer.extend(path)
        left = allowed

        def fail(*args):
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            if call == "write":  # as a disk does: part of it goes through
                return real(args[0], bytes(args[1])[: max(1, len(args[1]) // 2)])
            return real(*args)

        failed = None
        with writer, monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            try:
                append_parts(writer, random_reading([900], seed=1))
                writer.finish()
            except SpaceError as told:
                failed = str(told)
        if failed is None:
            assert call != "write" and len(Reading.open(path)) in (960, 576 + 960)
            break
        assert re.match(f"no space for {path}: [0-9,]+ bytes were written to {tmp_path}", failed)
        assert "\n" not in failed
        assert contents(path) == before
        assert os.listdir(tmp_path) == ["a.reading"]
        with pytest.raises(RuntimeError, match="has ended"):
            writer.begin_part("q", "text")


def test_real_limit_of_the_file_system(tmp_path, shape, append_parts, random_reading):
    resource = pytest.importorskip("resource")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, old[1]))
    try:
        line = "bytes were written .* at least 896 more"
        with pytest.raises(SpaceError, match=line), create(tmp_path / "a", shape) as writer:
            append_parts(writer, random_reading([4000]), chunk_blocks=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert os.listdir(tmp_path) == []


def test_check_space(tmp_path):
    check_space(tmp_path / "new" / "a.reading", 1000, Shape(key_dim=64, value_dim=64))
    with pytest.raises(SpaceError, match="it takes 13,400,000,000,000,000 bytes and .* free"):
        check_space(tmp_path / "a", 10**14, Shape(key_dim=64, value_dim=64))


def test_unwritable_places_are_told(tmp_path, shape):
    with pytest.raises(ReadingError, match="cannot be written: No such file or directory"):
        create(tmp_path / "missing" / "a.reading", shape)
    (tmp_path / "file").touch()
    with pytest.raises(ReadingError, match="cannot be written: Not a directory"):
        create(tmp_path / "file" / "a.reading", shape)
    with pytest.raises(ReadingError, match="does not exist"):
        Writer.extend(tmp_path / "a.reading")
    with pytest.raises(ReadingError, match="is not a reading"):
        Writer.extend(tmp_path)


def test_what_is_not_a_reading_is_never_replaced(tmp_path, shape, random_reading):
    """Neither at the name, nor at the names beside it that the writer uses."""
    for name in ("a.reading", "a.reading.partial", "a.reading.replaced"):
        root = tmp_path / name.replace(".", "-")
        (root / name).mkdir(parents=True)
        (root / name / "thesis.tex").write_text("years of work")
        (root / name / MANIFEST).write_text("mine")
        if name.endswith("replaced"):
            assert Reading.open(random_reading([9]).save(root / "a.reading").path)
        with pytest.raises(ReadingError):
            random_reading([90]).save(root / "a.reading")
        assert len(os.listdir(root / name)) == 2
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ReadingError, match="exists and is not a reading"):
        create(tmp_path / "file", shape)


def test_a_linked_reading_is_replaced_where_it_is(tmp_path, random_reading, same):
    (tmp_path / "large-disk").mkdir()
    path, link = tmp_path / "large-disk" / "a.reading", tmp_path / "a.reading"
    random_reading([9]).save(path)
    link.symlink_to(path)
    fresh = random_reading([90], seed=1)
    fresh.save(link)
    assert link.is_symlink() and same(Reading.open(path), fresh) and same(Reading.open(link), fresh)


def test_second_writer_is_refused(tmp_path, shape, append_parts, random_reading):
    path = tmp_path / "a.reading"
    write(path, shape, append_parts, random_reading([9]))
    line = f"is being written by another process .pid {os.getpid()}."
    for begin in (lambda: create(path, shape), lambda: Writer.extend(path)):
        with begin():
            with pytest.raises(ReadingError, match=line):
                create(path, shape)
            with pytest.raises(ReadingError, match=line):
                Writer.extend(path)
    with Writer.extend(path) as writer:
        writer.finish()


CHILD = """
import sys, time
import numpy as np
from pollux.memory.manifest import Shape
from pollux.memory.store import Writer
writer = Writer.create(sys.argv[1], Shape(key_dim=5, value_dim=3), "weights-a", "tokenizer-a")
writer.begin_part("p", "text")
scales = np.ones(64, np.float16)
keys, values = np.ones((64, 5), np.int8), np.ones((64, 3), np.int8)
writer.append(keys, values, scales, scales, np.ones(64, np.uint16))
print("writing", flush=True)
time.sleep(600)
"""


def test_killed_writer_leaves_nothing_to_open(tmp_path, shape, random_reading, same):
    path = tmp_path / "a.reading"
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", CHILD, str(path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)
    try:
        assert child.stdout.readline() == "writing\n"
        with pytest.raises(ReadingError, match=f"another process .pid {child.pid}."):
            create(path, shape)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    with pytest.raises(ReadingError, match="was never finished: read the files again"):
        Reading.open(path)
    fresh = random_reading([90])
    assert same(fresh.save(path), fresh)
    assert os.listdir(tmp_path) == ["a.reading"]


class Killed(BaseException):
    """From here on nothing reaches the disk."""


class Disk:
    """Lets `steps` changes of the disk through, then stops the process, as kill -9 does."""

    CHANGES = ("write", "rename", "replace", "fsync", "unlink", "rmdir", "mkdir", "ftruncate")

    def __init__(self, patch, steps):
        self.left, self.open = steps, set()
        for name in self.CHANGES:
            patch.setattr(os, name, self.counted(getattr(os, name)))
        opened, closed = os.open, os.close

        def tracked_open(name, flags, *args, **kwargs):
            fd = opened(name, flags, *args, **kwargs)
            if flags & (os.O_WRONLY | os.O_RDWR):
                self.open.add(fd)
            return fd

        def tracked_close(fd):
            self.open.discard(fd)
            closed(fd)

        patch.setattr(os, "open", tracked_open)
        patch.setattr(os, "close", tracked_close)

    def counted(self, real):
        def call(*args, **kwargs):
            self.left -= 1
            if self.left < 0:
                raise Killed
            return real(*args, **kwargs)

        return call


@pytest.mark.parametrize("job", ["create", "replace", "extend"])
def test_killed_at_any_step_leaves_old_or_new(
    tmp_path, shape, append_parts, random_reading, same, job
):
    old, new = random_reading([70, 3]), random_reading([200], seed=1)
    both = Reading.combine([old, new])
    outcomes = set()
    for steps in range(200):
        path = tmp_path / str(steps) / "a.reading"
        path.parent.mkdir()
        if job != "create":
            write(path, shape, append_parts, old)
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, steps)
            try:
                writer = Writer.extend(path) if job == "extend" else create(path, shape)
                append_parts(writer, new)
                writer.finish()
            except Killed:
                pass
        for fd in disk.open:  # the system closes them, and with them goes the lock
            os.close(fd)
        outcomes.add(outcome := state(path, same, old, both if job == "extend" else new))
        assert outcome == "old" or disk.left >= 0 or "new" in outcomes
        # Whatever was left, the next writer gets through, and leaves nothing behind.
        assert same(random_reading([5]).save(path), random_reading([5]))
        assert os.listdir(path.parent) == ["a.reading"]
        if disk.left >= 0:
            break
    assert outcome == "new" and disk.left == 0 and outcomes == {"old", "new"} and steps > 15


def state(path, same, old, new):
    """Which of the two readings is there, whole; no reading counts as the old one of `create`."""
    try:
        opened = Reading.open(path)
    except ReadingError as told:
        assert "was never finished" in str(told) or "does not exist" in str(told)
        return "old"
    return "old" if same(opened, old) else "new" if same(opened, new) else "neither"
