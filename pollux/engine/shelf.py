# SPDX-License-Identifier: Apache-2.0
"""Readings kept by themselves, so that what was read once is never read again.

A reading is found by what was read, not by its file's name: weights, tokenizer, and every part's
name and text.
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pollux.cache import cache_directory
from pollux.engine import reader
from pollux.engine.media import digest_of
from pollux.engine.model import Loaded
from pollux.errors import ReadingError
from pollux.media.part import Part
from pollux.memory.reading import Reading

SHELF_BYTES = 8 << 30  # kept in all; the readings longest unused go first


def shelf() -> Path:
    return cache_directory() / "readings"


def read_or_open(
    model: Loaded,
    parts: Sequence[Part],
    report: reader.Report = lambda progress: None,
    directory: Path | None = None,
) -> tuple[Reading, bool]:
    """The reading of these parts, and whether it was there already."""
    directory, key = directory or shelf(), key_of(model, parts)
    if reading := find(model, key, directory):
        return reading, True
    path = directory / f"{key}.reading"
    directory.mkdir(parents=True, exist_ok=True)
    reading = reader.read(model, parts, path, report)
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


def key_of(model: Loaded, parts: Sequence[Part]) -> str:
    digest = hashlib.sha256(f"{model.fingerprint} {model.tokenizer.fingerprint}".encode())
    for part in parts:
        digest.update(f"{part.name}\n{part.kind} {digest_of(model, part)}\n".encode())
    return digest.hexdigest()[:32]


def _make_room(keep: Path) -> None:
    readings = sorted(keep.parent.glob("*.reading"), key=lambda path: -path.stat().st_mtime)
    used = 0
    for path in readings:
        with suppress(OSError):  # another one makes room too
            used += sum(file.stat().st_size for file in path.iterdir())
        if used > SHELF_BYTES and path != keep:
            shutil.rmtree(path, ignore_errors=True)
