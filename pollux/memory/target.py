# SPDX-License-Identifier: Apache-2.0
"""Where a reading is to stand: one writer at a time, the old one whole until the new one is.

Beside NAME.reading there may be NAME.reading.lock (held while writing), .partial (a reading not
finished yet) and .replaced (the old one, between the two renames of a replacement). Directories
are only ever removed when nothing but the files of a reading is in them.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pollux.errors import ReadingError
from pollux.memory.manifest import FILES, MANIFEST, sync_directory

OLDER = ("key_scales.f32", "value_scales.f32")  # of format 1
KNOWN = frozenset((*FILES, *OLDER, MANIFEST, MANIFEST + ".partial"))


def beside(path: Path, suffix: str) -> Path:
    return path.parent / f"{path.name}.{suffix}"


def is_ours(directory: Path) -> bool:
    """A directory with nothing in it but files of a reading (or nothing at all)."""
    if directory.is_symlink() or not directory.is_dir():
        return False
    return KNOWN.issuperset(os.listdir(directory))


def remove(directory: Path) -> None:
    """Delete the reading `directory`, if it is one and nothing else."""
    if not is_ours(directory):
        return
    # Without its manifest it is no reading, so what is left by a kill is never opened.
    for name in sorted(os.listdir(directory), key=lambda name: name != MANIFEST):
        os.unlink(directory / name)
    os.rmdir(directory)


def check_replaceable(path: Path) -> None:
    """ReadingError when something that is not a reading stands at `path`."""
    if os.path.lexists(path) and not is_ours(path):
        raise ReadingError(f"{path} exists and is not a reading: choose another name")


def put_in_place(partial: Path, path: Path) -> None:
    """Rename `partial` to `path`; a reading that stands there is deleted once that is done."""
    check_replaceable(path)
    aside = beside(path, "replaced")
    if os.path.lexists(path):
        os.rename(path, aside)
    os.rename(partial, path)
    sync_directory(path.parent)
    remove(aside)


def settle(path: Path) -> None:
    """End a replacement that was cut short: the old reading back, or away. Needs the lock."""
    aside = beside(path, "replaced")
    if not os.path.lexists(path) and is_ours(aside) and (aside / MANIFEST).exists():
        os.rename(aside, path)
    remove(aside)


def restore(path: Path) -> None:
    """Settle from the reader's side, where nothing stands at `path`."""
    if os.path.lexists(beside(path, "replaced")):
        with locked(path):
            settle(path)


def take_lock(path: Path) -> int:
    """A descriptor that holds the lock of `path`; ReadingError when another process holds it."""
    name = beside(path, "lock")
    while True:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_same_file(fd, name):
                os.ftruncate(fd, 0)
                os.write(fd, str(os.getpid()).encode())
                return fd
        except BlockingIOError:
            pid = os.pread(fd, 20, 0).decode("ascii", "replace") or "unknown"
            os.close(fd)
            raise ReadingError(f"{path} is being written by another process (pid {pid})") from None
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def is_same_file(fd: int, name: Path) -> bool:
    """False when the last holder deleted the lock's file between our opening and locking it."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(name))
    except FileNotFoundError:
        return False


def release_lock(path: Path, fd: int) -> None:
    """Delete the lock's file while it is still held, then let go."""
    try:
        os.unlink(beside(path, "lock"))
    finally:
        os.close(fd)


@contextmanager
def locked(path: Path) -> Generator[None]:
    fd = take_lock(path)
    try:
        yield
    finally:
        release_lock(path, fd)
