# SPDX-License-Identifier: Apache-2.0
"""Things with a name that outlive the process: a directory each, with about.json and what it holds.

A thing is made in a directory beside and renamed when it is whole, about.json is written beside
and renamed: whatever stops the process, each thing is there as last acknowledged or not at all.
"""

import json
import os
import re
import secrets
import shutil
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pollux.serve.errors import ApiError, invalid, not_found

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
ABOUT = "about.json"
PAGE, MOST = 100, 1_000  # things listed at once, by default and at most

Record = dict[str, Any]


class Store:
    """Things of one kind ("files"), whose names are KIND/ID."""

    def __init__(self, directory: Path, kind: str):
        self.directory, self.kind = directory / kind, kind
        self.directory.mkdir(parents=True, exist_ok=True)
        self.lock = threading.RLock()
        self.records: dict[str, Record] = {}
        for path in sorted(self.directory.iterdir()):
            record = _read(path / ABOUT)
            if NAME.fullmatch(path.name) and record is not None:
                self.records[path.name] = record
            else:
                shutil.rmtree(path, ignore_errors=True)  # never acknowledged, or half deleted

    def new_id(self, wanted: str | None = None) -> str:
        """`wanted` as in "files/mine", or one that nobody can guess. ApiError when it is taken."""
        if not wanted:
            return secrets.token_hex(16)
        number = wanted.removeprefix(f"{self.kind}/")
        if not NAME.fullmatch(number):
            raise invalid(
                f"{wanted[:80]!r} is no name: {self.kind}/ and 1 to 40 of a-z, 0-9 and -", "name"
            )
        if number in self.records:
            raise ApiError("ALREADY_EXISTS", f"{self.kind}/{number} is there already")
        return number

    @contextmanager
    def making(self) -> Generator[Path]:
        """A fresh directory to make a thing in; unless `add` gives it its name, it is deleted."""
        path = self.directory / f".{secrets.token_hex(8)}"
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def add(self, number: str, made: Path, record: Record) -> Record:
        """The directory `made` becomes the thing `number`."""
        with self.lock:
            self.new_id(number)
            write_json(made / ABOUT, record)
            os.rename(made, self.path(number))
            sync(self.directory)
            self.records[number] = record
            return record

    def change(self, number: str, **fields: Any) -> Record:
        with self.lock:
            record = {**self.get(number), **fields, "updated": now()}
            write_json(self.path(number) / ABOUT, record)
            self.records[number] = record
            return record

    def get(self, number: str) -> Record:
        """ApiError where there is none, or its time is over."""
        record = self.records.get(number)
        if record is None or expired(record):
            raise not_found(f"{self.kind}/{number}")
        return record

    def path(self, number: str) -> Path:
        return self.directory / number

    def remove(self, number: str) -> None:
        with self.lock:
            self.get(number)
            self._remove(number)

    def sweep(self) -> list[str]:
        """Deletes what has expired and says which."""
        with self.lock:
            gone = [number for number, record in self.records.items() if expired(record)]
            for number in gone:
                self._remove(number)
        return gone

    def _remove(self, number: str) -> None:
        del self.records[number]
        hidden = self.directory / f".{secrets.token_hex(8)}"
        os.rename(self.path(number), hidden)  # gone at once, however long deleting takes
        shutil.rmtree(hidden, ignore_errors=True)

    def page(self, size: int | None, token: str | None) -> tuple[list[tuple[str, Record]], str]:
        """The newest first; the token is the number of the last one given."""
        if size is not None and not 0 <= size <= MOST:
            raise invalid(f"pageSize must be 0 to {MOST}, not {size}", "pageSize")
        with self.lock:
            found = [(n, record) for n, record in self.records.items() if not expired(record)]
        found.sort(key=lambda one: (one[1]["created"], one[0]), reverse=True)
        if token:
            places = [place for place, (number, _) in enumerate(found) if number == token]
            if not places:
                raise invalid("pageToken is not one of this list", "pageToken")
            found = found[places[0] + 1 :]
        shown = found[: size or PAGE]
        return shown, shown[-1][0] if len(found) > len(shown) else ""

    def stored_bytes(self) -> int:
        with self.lock:
            return sum(record.get("bytes", 0) for record in self.records.values())


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def after(seconds: float) -> str:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def expired(record: Record) -> bool:
    return record.get("expires", "9") < now()


def write_json(path: Path, value: Any) -> None:
    """Beside, to the disk, then renamed."""
    beside = path.with_name(path.name + ".partial")
    with open(beside, "w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def sync(directory: Path) -> None:
    """Renames in it are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Record | None:
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and "created" in record else None
