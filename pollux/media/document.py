# SPDX-License-Identifier: Apache-2.0
"""Bytes to text: UTF-8, or UTF-16 and UTF-32 by their mark. Nothing else is guessed at.

Line breaks stay as they are, so that places in the text are places in the file.
"""

import codecs
from typing import Protocol, runtime_checkable

import numpy as np

from pollux.media.limits import Unreadable, in_words
from pollux.media.signature import HEAD, refuse_media

MAX_INVALID = 0.01  # of all bytes: a torn or pasted-in passage, not another encoding
MAX_CONTROL = 0.10  # of all characters

# The mark of UTF-32-LE begins with that of UTF-16-LE, so it is looked for first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Backspace and escape are kept out: manual pages and terminal logs are full of them.
_CONTROL = np.array([*range(1, 8), *range(14, 27), *range(28, 32), 127])
_STRIDE = 1 << 20  # characters counted at a time, so counting takes little memory


@runtime_checkable
class Stream(Protocol):
    """Whatever bytes are read from: a file, a member of an archive, a decompressor."""

    def read(self, size: int, /) -> bytes: ...


def decode(data: bytes | bytearray) -> tuple[str, str]:
    """The text, and a note on what was done to get it ("" for nothing). Raises Unreadable."""
    encoding, mark = _encoding(data)
    body = memoryview(data)[len(mark) :]
    if not body:
        raise Unreadable("is empty", "name a file with text in it")
    try:
        text = codecs.decode(body, encoding)
        note = "" if encoding == "utf-8" else f"decoded from {encoding[:6].upper()}"
    except UnicodeDecodeError:
        text, note = _mend(body, encoding)
    _refuse_binary(text)
    return text, note


def refuse_head(head: bytes) -> None:
    """Raises Unreadable where the first bytes already show that the rest need not be read."""
    encoding, mark = _encoding(head)
    if mark:
        return
    refuse_media(head)
    if not head:
        raise Unreadable("is empty", "name a file with text in it")
    if b"\0" in head:
        raise _nul_bytes(head)


def read_bytes(stream: Stream, max_bytes: int) -> bytearray:
    """All of a binary stream, at most `max_bytes`. Raises Unreadable as soon as it is hopeless."""
    head = stream.read(HEAD)
    refuse_head(head)
    return read_within(stream, max_bytes, head)


def read_within(stream: Stream, max_bytes: int, head: bytes = b"") -> bytearray:
    """`head` and the rest of the stream. Raises Unreadable, having read no more than it must."""
    data = bytearray(head)
    while len(data) <= max_bytes and (chunk := stream.read(_STRIDE)):
        data += chunk
    if len(data) > max_bytes:
        raise too_large(max_bytes)
    return data


def too_large(max_bytes: int) -> Unreadable:
    return Unreadable(f"holds more than {in_words(max_bytes)}", "split it")


def _encoding(data: bytes | bytearray) -> tuple[str, bytes]:
    found = ((encoding, mark) for mark, encoding in _MARKS if data.startswith(mark))
    return next(found, ("utf-8", b""))


def _mend(body: memoryview, encoding: str) -> tuple[str, str]:
    # What "ignore" drops is exactly what is invalid.
    valid = len(codecs.decode(body, encoding, "ignore").encode(encoding))
    invalid = len(body) - valid
    if invalid >= MAX_INVALID * len(body):
        raise Unreadable(
            f"is not text: {invalid / len(body):.1%} of its bytes are no {encoding[:6].upper()}",
            "text in another encoding can be converted (iconv -f GB18030 -t UTF-8)",
        )
    bytes_ = "byte" if invalid == 1 else "bytes"
    return codecs.decode(body, encoding, "replace"), f"{invalid:,} invalid {bytes_} replaced"


def _refuse_binary(text: str) -> None:
    control = 0
    for start in range(0, len(text), _STRIDE):
        piece = text[start : start + _STRIDE].encode()
        counts = np.bincount(np.frombuffer(piece, np.uint8), minlength=256)
        if counts[0]:
            raise _nul_bytes(piece)
        control += int(counts[_CONTROL].sum())
    if control > MAX_CONTROL * len(text):
        raise Unreadable(
            f"is not text: {control / len(text):.0%} of it are control characters",
            "name a text file",
        )


def _nul_bytes(piece: bytes) -> Unreadable:
    # Western text in UTF-16 without a mark is half NUL bytes.
    if piece.count(b"\0") >= 0.4 * len(piece):
        return Unreadable("is not text: it is full of NUL bytes", "save UTF-16 text as UTF-8")
    return Unreadable("is not text: it has NUL bytes", "name a text file")
