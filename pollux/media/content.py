# SPDX-License-Identifier: Apache-2.0
"""Where the bytes of a medium are: a file on disk, or held in memory where there is none."""

import io
from dataclasses import dataclass, field
from pathlib import Path

from pollux.media.file import open_regular


@dataclass(frozen=True, kw_only=True)
class Content:
    """Either `path` or `data`: what stood in an archive or came through a pipe is held."""

    path: Path | None = None
    data: bytes = field(default=b"", repr=False)

    def open(self) -> io.BufferedReader | io.BytesIO:
        """Seekable, at its start. Raises Unreadable if the file is gone or no longer a file."""
        return open_regular(self.path) if self.path else io.BytesIO(self.data)
