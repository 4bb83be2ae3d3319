# SPDX-License-Identifier: Apache-2.0
"""Bytes to text: encodings, damage, and binary that poses as text."""

import codecs
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollux.media.document import decode, read_bytes
from pollux.media.limits import Unreadable
from pollux.media.signature import refuse_media

# What text may hold: no NUL, and no more control characters than any text has.
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc",)) | st.sampled_from("\n\r\t"), min_size=1
).filter(lambda text: not text.startswith("\ufeff"))


@given(TEXTS)
def test_utf8_comes_back_exactly(text):
    assert decode(text.encode()) == (text, "")


@given(TEXTS, st.sampled_from(["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]))
def test_utf16_and_utf32_are_known_by_their_mark(text, encoding):
    mark = "\ufeff".encode(encoding)
    assert decode(mark + text.encode(encoding)) == (text, f"decoded from {encoding[:6].upper()}")


def test_mark_of_utf8_is_no_text():
    assert decode(codecs.BOM_UTF8 + b"a") == ("a", "")


def test_line_breaks_stay():
    assert decode(b"a\r\nb\rc\n")[0] == "a\r\nb\rc\n"


def test_few_invalid_bytes_are_replaced_and_counted():
    text, note = decode(b"x" * 1000 + b"\xff" + b"y" * 1000 + b"\xe2\x82")
    assert text == "x" * 1000 + "\ufffd" + "y" * 1000 + "\ufffd"
    assert note == "3 invalid bytes replaced"
    assert decode(b"x" * 1000 + b"\xff")[1] == "1 invalid byte replaced"


def test_replaced_text_can_be_written_as_utf8():
    lone_surrogate = b"\x00\xd8"
    text, note = decode(codecs.BOM_UTF16_LE + ("a" * 1000).encode("utf-16-le") + lone_surrogate)
    assert text.encode() and note == "2 invalid bytes replaced"
    assert decode(b"x" * 1000 + b"\xed\xa0\x80")[0].encode()


@pytest.mark.parametrize("text", ["déjà vu, été", "\u4e2d\u6587\u7684\u4e66"])
def test_other_encodings_are_refused(text):
    encoding = "latin-1" if text.isascii() or ord(max(text)) < 256 else "gb18030"
    with pytest.raises(Unreadable, match="is not text: .*% of its bytes are no UTF-8; .*iconv"):
        decode(text.encode(encoding))


def test_binary_is_refused():
    with pytest.raises(Unreadable, match="is not text: it has NUL bytes"):
        decode(b"x" * 100_000 + b"\0")
    with pytest.raises(Unreadable, match="is not text: 20% of it are control characters"):
        decode(b"\x01\x02" + b"x" * 8)
    assert decode(b"\x01" + b"x" * 9)[0] == "\x01" + "x" * 9
    with pytest.raises(Unreadable, match="save UTF-16 text as UTF-8"):
        read_bytes(io.BytesIO("plain".encode("utf-16-le")), 100)


def test_terminal_logs_and_manual_pages_are_text():
    assert decode(b"\x1b[1m" * 10)[0]
    assert decode(b"N\x08NA\x08A")[0]


@pytest.mark.parametrize("data", [b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE])
def test_empty_is_refused(data):
    with pytest.raises(Unreadable, match="is empty"):
        decode(data)


@pytest.mark.parametrize("size", [5, 70_000, 3_000_000])
def test_size_is_bounded(size):
    assert len(read_bytes(io.BytesIO(b"x" * size), size)) == size
    with pytest.raises(Unreadable, match="holds more than"):
        read_bytes(io.BytesIO(b"x" * size), size - 1)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "a WebP image"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "a WAV recording"),
        (b"BM" + b"\x46\0\0\0" + bytes(4) + b"\x36" + bytes(20), "a BMP image"),
        (b"\0\0\0\x18ftypmp42", "an MP4 video"),
        (b"\0\0\0\x18ftypqt  ", "a QuickTime video"),
        (b"\0\0\0\x18ftypheic", "a HEIC image"),
        (b"\x1aE\xdf\xa3\x01\0\0\0", "a Matroska or WebM video"),
        (b"ID3\x04\0\0\0\0\0\0", "an MP3 recording"),
        (b"\xff\xfb\x90\0", "an MP3 recording"),
        (b"\xff\xf1\x50\x80", "an AAC recording"),
        (b"OggS\0\x02" + bytes(22) + b"OpusHead\x01", "an Opus recording"),
        (b"OggS\0\x02" + bytes(22) + b"\x01vorbis", "an Ogg Vorbis recording"),
        (b"fLaC\0\0\0\x22", "a FLAC recording"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
        (b"PK\3\4" + bytes(26) + b"mimetypeapplication/epub+zip", "an EPUB book"),
        (b"PK\3\4" + bytes(26) + b"[Content_Types].xml", "an Office document"),
        (b"\x7fELF\x02\x01\x01", "a program"),
        (b"SQLite format 3\0", "an SQLite database"),
    ],
)
def test_media_are_refused_by_name(head, name):
    with pytest.raises(Unreadable, match=f"^is {name}; "):
        refuse_media(head)


@pytest.mark.parametrize("text", ["BMW", "ID3 tags", "RIFF", "FORM 1040", "OK", "PK", "MZ", "Rar!"])
def test_text_that_begins_as_media_do_is_text(text):
    refuse_media(text.encode() + b" " * 40)
