# SPDX-License-Identifier: Apache-2.0
"""How much may be opened at once, so that no input, however made, fills the memory."""

from dataclasses import dataclass

from pollux.errors import InputError


class Unreadable(Exception):
    """Why one file cannot be read (`reason`, said of the file) and what to do about it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sizes in bytes, of the content once decompressed. Files count whether read or skipped."""

    max_bytes: int = 2 << 30  # of text
    max_files: int = 100_000
    max_total_bytes: int = 8 << 30
    max_media_bytes: int = 256 << 30  # of a medium on disk, which is never read whole
    max_held_bytes: int = 256 << 20  # of one that is in an archive or compressed: it is held
    max_pixels: int = 64 << 20  # of a picture or a frame, decoded
    max_seconds: int = 240 * 3600  # of sound or film
    max_pages: int = 20_000


LIMITS = Limits()


class Tally:
    """What has been opened so far. Going past a limit is an error: no text is lost silently."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.files = 0
        self.bytes = 0

    def count_file(self) -> None:
        self.files += 1
        if self.files > self.limits.max_files:
            raise InputError(
                f"there are more than {self.limits.max_files:,} files; name fewer of them"
            )

    def count_bytes(self, number: int) -> None:
        self.bytes += number
        if self.bytes > self.limits.max_total_bytes:
            size = in_words(self.limits.max_total_bytes)
            raise InputError(f"the files hold more than {size} of text; name fewer of them")


def in_words(size: int) -> str:
    """A number of bytes as people say it: 2147483648 is '2 GiB'."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << power:
            return f"{size / (1 << power):.3g} {unit}"
    return f"{size} bytes"
