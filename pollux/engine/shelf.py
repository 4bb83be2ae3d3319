# SPDX-License-Identifier: Apache-2.0
"""Readings kept by themselves, so that what was read once is never read again.

A reading is found by what was read, not by its file's name: weights, tokenizer, and every part's
name and text.
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from pollux.cache import cache_directory
from pollux.engine import reader
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
) -> tuple[Reading, bool]:
    """The reading of these parts, and whether it was there already."""
    path = shelf() / f"{_key(model, parts)}.reading"
    mine = model.fingerprint, model.tokenizer.fingerprint
    if path.exists():
        try:
            reading = Reading.open(path, *mine)
            path.touch()
            return reading, True
        except ReadingError:
            shutil.rmtree(path, ignore_errors=True)  # damaged: it can be made again
    path.parent.mkdir(parents=True, exist_ok=True)
    reading = reader.read(model, parts, path, report)
    _make_room(keep=path)
    return reading, False


def _key(model: Loaded, parts: Sequence[Part]) -> str:
    digest = hashlib.sha256(f"{model.fingerprint} {model.tokenizer.fingerprint}".encode())
    for part in parts:
        text = hashlib.sha256(part.text.encode("utf-8", "replace")).hexdigest()
        digest.update(f"{part.name}\n{part.kind} {text}\n".encode())
    return digest.hexdigest()[:32]


def _make_room(keep: Path) -> None:
    readings = sorted(shelf().glob("*.reading"), key=lambda path: -path.stat().st_mtime)
    used = 0
    for path in readings:
        used += sum(file.stat().st_size for file in path.iterdir())
        if used > SHELF_BYTES and path != keep:
            shutil.rmtree(path, ignore_errors=True)
