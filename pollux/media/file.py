# SPDX-License-Identifier: Apache-2.0
"""Opening one named file: only a regular one, and never waiting for it."""

import difflib
import os
import stat
from io import BufferedReader
from itertools import islice
from pathlib import Path

from pollux.media.limits import Unreadable

_MAX_NAMES = 10_000  # looked through for what a mistyped name may have meant
_SPECIAL = (
    (stat.S_ISFIFO, "is a pipe (FIFO)"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a device"),
    (stat.S_ISBLK, "is a device"),
)


def open_regular(path: Path) -> BufferedReader:
    """Raises Unreadable for what is missing, may not be read, or is no regular file."""
    # A FIFO put in the file's place since it was looked at must not make us wait for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        mode = status(path).st_mode
        if stat.S_ISDIR(mode):
            raise Unreadable("is a directory", "name a file")
        refuse_special(mode)
        file = os.fdopen(os.open(path, flags), "rb")
    except OSError as error:
        raise unopened(path, error) from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Unreadable("is no longer a regular file", "try again")
    return file


def status(path: Path) -> os.stat_result:
    """As `os.stat`, links followed. Raises Unreadable."""
    try:
        return os.stat(path)
    except OSError as error:
        raise unopened(path, error) from None
    except ValueError:  # a NUL in the name
        raise Unreadable("is not a file name", "check its spelling") from None


def refuse_special(mode: int) -> None:
    """Raises Unreadable for pipes, sockets and devices."""
    for is_special, reason in _SPECIAL:
        if is_special(mode):
            raise Unreadable(reason, "pipe its content in and name it -")


def unopened(path: Path, error: OSError) -> Unreadable:
    """What an error of the operating system means for the one who named `path`."""
    if isinstance(error, PermissionError):
        return Unreadable("may not be read: permission denied", "change its permissions (chmod +r)")
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        if path.is_symlink():
            return Unreadable(f"is a link to {os.readlink(path)}, which does not exist", "mend it")
        return Unreadable("does not exist", _suggestion(path))
    return Unreadable(f"cannot be read: {error.strerror or error}", "check the path and the disk")


def _suggestion(path: Path) -> str:
    while not os.path.exists(path.parent):
        path = path.parent
    if not os.path.isdir(path.parent):
        return f"{path.parent} is a file, not a directory"
    try:
        with os.scandir(path.parent) as entries:
            names = {entry.name.casefold(): entry.name for entry in islice(entries, _MAX_NAMES)}
    except OSError:
        return "check its spelling"
    close = difflib.get_close_matches(path.name.casefold(), names, n=1)
    return f"did you mean {path.parent / names[close[0]]}?" if close else "check its spelling"
