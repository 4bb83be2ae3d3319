# SPDX-License-Identifier: Apache-2.0
"""How a server was started."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from pollux.errors import InputError

MEBIBYTE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Sizes in bytes, times in seconds, lengths in tokens."""

    state: Path  # what outlives the process: files, caches, readings, batches
    host: str = "127.0.0.1"
    port: int = 8000
    keys: tuple[str, ...] = ()  # any of them opens; none: no key is asked for
    aliases: tuple[str, ...] = ()  # names that clients know the model by
    context: int = 131_072
    output: int = 8_192  # of an answer, at most
    workers: int = 2  # prompts read at a time, beside one long one
    waiting: int = 256  # requests that may wait, for reading and for answering
    seconds: float = 300.0  # of one request, at most
    request_bytes: int = 64 * MEBIBYTE
    file_bytes: int = 2048 * MEBIBYTE
    stored_bytes: int = 20_480 * MEBIBYTE  # all files and caches together

    def __post_init__(self) -> None:
        if not self.keys and not self.loopback:
            raise InputError(
                f"{self.host} can be reached from other machines: set a key (POLLUX_API_KEY), "
                "or leave --host out"
            )
        for name in ("context", "output", "workers", "waiting", "seconds"):
            if getattr(self, name) <= 0:
                raise InputError(f"--{name} must be above 0, not {getattr(self, name)}")
        if any(len(key) < 8 for key in self.keys):
            raise InputError("a key needs at least 8 characters")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
