# SPDX-License-Identifier: Apache-2.0
"""Readings kept by themselves, so that what was read once is never read again.

A reading is found by what was read, not by its file's name: weights, tokenizer, and every part's
name and text, or what is in it and how it was looked at.
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pollux.cache import cache_directory
from pollux.engine import reader
from pollux.engine.media import digest_of, is_mixed
from pollux.engine.model import Loaded
from pollux.errors import ReadingError
from pollux.media.part import Part
from pollux.media.view import VIEW, View
from pollux.memory.reading import Reading

SHELF_BYTES = 8 << 30  # kept in all; the readings longest unused go first


def shelf() -> Path:
    return cache_directory() / "readings"


def read_or_open(
    model: Loaded,
    parts: Sequence[Part],
    report: reader.Report = lambda progress: None,
    directory: Path | None = None,
    view: View = VIEW,
    skip_unreadable: bool = False,
    key: str = "",
) -> tuple[Reading, bool]:
    """The reading of these parts, and whether it was there already.

    `key`: under which it is kept; by default by its content.
    """
    directory, key = directory or shelf(), key or key_of(model, parts, view, skip_unreadable)
    if reading := find(model, key, directory):
        return reading, True
    path = directory / f"{key}.reading"
    directory.mkdir(parents=True, exist_ok=True)
    reading = reader.read(model, parts, path, report, view=view, skip_unreadable=skip_unreadable)
    _make_room(keep=path)
    return reading, False


def find(model: Loaded, key: str, directory: Path) -> Reading | None:
    """The reading that is kept under this key."""
    path = directory / f"{key}.reading"
    if not path.exists():
        return None
    try:
        reading = Reading.open(path, model.fingerprint, model.tokenizer.fingerprint)
        os.utime(path)
        return reading
    except OSError:  # another one made room just now
        return None
    except ReadingError:
        shutil.rmtree(path, ignore_errors=True)  # damaged: it can be made again
        return None


def key_of(
    model: Loaded, parts: Sequence[Part], view: View = VIEW, skip_unreadable: bool = False
) -> str:
    """Media read up to where they are damaged are not those that had to be whole."""
    digest = hashlib.sha256(f"{model.fingerprint} {model.tokenizer.fingerprint}".encode())
    for part in parts:
        digest.update(f"{part.name}\n{part.kind} {digest_of(model, part, view)}\n".encode())
        if skip_unreadable and is_mixed(model, part):
            digest.update(b"as far as it is readable\n")
    return digest.hexdigest()[:32]


def _make_room(keep: Path) -> None:
    readings = sorted(keep.parent.glob("*.reading"), key=lambda path: -path.stat().st_mtime)
    used = 0
    for path in readings:
        with suppress(OSError):  # another one makes room too
            used += sum(file.stat().st_size for file in path.iterdir())
        if used > SHELF_BYTES and path != keep:
            shutil.rmtree(path, ignore_errors=True)
