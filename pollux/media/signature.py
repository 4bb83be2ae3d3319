# SPDX-License-Identifier: Apache-2.0
"""What a file is by its first bytes; its suffix may say anything."""

import re

from pollux.media.limits import Unreadable
from pollux.media.part import Kind

HEAD = 65536  # bytes looked at before the rest is read

_UNREAD = "this model reads text only"
_AS_PDF = "save it as PDF or text"
_PACKED = "unpack it and name what is inside"

# (first bytes, what it is). RIFF, ISO media and the like, told apart further in, are below.
_MEDIA = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"8BPS\0", "a Photoshop image"),
    (b"\0\0\1\0", "an icon"),
    (b"icns\0", "an icon"),
    (b"qoif\0", "a QOI image"),
    (b"DDS |\0", "a DDS image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\0\0\0\x0cJXL \r\n", "a JPEG XL image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  \r\n", "a JPEG 2000 image"),
    (b"fLaC", "a FLAC recording"),
    (b"MThd\0", "a MIDI file"),
    (b"#!AMR", "an AMR recording"),
    (b".snd\0", "an AU recording"),
    (b"caff\0", "a CAF recording"),
    (b"riff\x2e\x91\xcf\x11", "a WAV recording"),
    (b"MAC \x96\x0f", "a Monkey's Audio recording"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"FLV\1", "a Flash video"),
    (b".RMF\0", "a RealMedia video"),
    (b"DKIF\0\0", "an IVF video"),
    (b"YUV4MPEG2 ", "a YUV4MPEG video"),
    (b"\x06\x0e\x2b\x34", "an MXF video"),
    (b"\0\0\1\xba", "an MPEG video"),
    (b"\0\0\1\xb3", "an MPEG video"),
    (b"0&\xb2u\x8ef\xcf\x11", "a Windows Media video"),
    (b"%PDF-", "a PDF document"),
    (b"AT&TFORM", "a DjVu document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
    (b"\x7fELF", "a program"),
    (b"\xca\xfe\xba\xbe", "a compiled Java class or program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\0asm", "a WebAssembly program"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"PAR1\x15", "a Parquet file"),
    (b"wOFF", "a font"),
    (b"wOF2", "a font"),
    (b"OTTO\0", "a font"),
    (b"\0\1\0\0\0", "a font"),
)
_ARCHIVES = (
    (b"\x1f\x8b", "a gzip file"),
    (b"\xfd7zXZ\0", "an xz file"),
    (b"PK\3\4", "a ZIP archive"),
    (b"PK\5\6", "a ZIP archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\7", "a RAR archive"),
    (b"(\xb5/\xfd", "a Zstandard file"),
    (b"\4\x22M\x18", "an LZ4 file"),
    (b"\x1f\x9d", "a compress (.Z) file"),
)
_BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
# The second byte of MPEG audio: layer III of MPEG 1, 2 and 2.5, or AAC in ADTS.
_SOUND_SYNC = re.compile(rb"\xff([\xfa\xfb\xf2\xf3\xe2\xe3]|[\xf0\xf1\xf8\xf9])")
_RIFF = {b"WEBP": "a WebP image", b"WAVE": "a WAV recording", b"AVI ": "an AVI video"}
_OGG = (
    (b"OpusHead", "an Opus recording"),
    (b"\1vorbis", "an Ogg Vorbis recording"),
    (b"\x7fFLAC", "a FLAC recording"),
    (b"\x80theora", "an Ogg Theora video"),
)
_ISO_MEDIA = (
    (b"avi", "an AVIF image"),
    (b"hei", "a HEIC image"),
    (b"mif1", "a HEIC image"),
    (b"M4A", "an M4A recording"),
    (b"qt  ", "a QuickTime video"),
)
_KINDS: dict[str, Kind] = {  # by the name or its last word
    "a PDF document": "pdf",
    "icon": "image",
    "image": "image",
    "recording": "audio",
    "video": "video",
}
_PIXMAP = re.compile(rb"P[456]\s+\d+\s+\d+\s")
_BINARY = re.compile(rb"[\0-\x08]")
_TRANSPORT = ((0, 188), (4, 192))  # where MPEG packets begin, and their length: TS and M2TS


def refuse_media(head: bytes) -> None:
    """Raises Unreadable, with its name, for what is a known format but neither text nor code."""
    if name := _archive(head):
        if name in ("an Office document", "an EPUB book", "an OpenDocument file"):
            raise Unreadable(f"is {name}", _AS_PDF)
        raise Unreadable(f"is {name}", _PACKED)
    if name := _medium(head):
        raise Unreadable(f"is {name}", _UNREAD)


def medium(head: bytes) -> tuple[str, Kind | None]:
    """What it is, as in "a PNG image", and as what it might be decoded; None for what is not."""
    name = "" if _archive(head) else _medium(head)
    return name, _KINDS.get(name, _KINDS.get(name.rpartition(" ")[2]))


def compression(head: bytes) -> str:
    """The module that undoes it ("gzip", "lzma", "bz2"), or "" for what is not compressed."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"\xfd7zXZ\0"):
        return "lzma"
    return "bz2" if _BZIP2.match(head) else ""


def is_zip(head: bytes) -> bool:
    return head.startswith((b"PK\3\4", b"PK\5\6")) and _archive(head) == "a ZIP archive"


def _archive(head: bytes) -> str:
    if head.startswith(b"PK\3\4"):
        first = head[30:128]  # the first member's name, and its content where it is not compressed
        if first.startswith(b"mimetypeapplication/epub"):
            return "an EPUB book"
        if first.startswith(b"mimetypeapplication/vnd.oasis"):
            return "an OpenDocument file"
        if first.startswith(b"[Content_Types].xml"):
            return "an Office document"
    if _BZIP2.match(head):
        return "a bzip2 file"
    if head[257:262] == b"ustar":
        return "a tar archive"
    return next((name for magic, name in _ARCHIVES if head.startswith(magic)), "")


def _medium(head: bytes) -> str:
    if head.startswith((b"RIFF", b"RF64")) and len(head) >= 12:
        return _RIFF.get(head[8:12], "")
    if head.startswith(b"OggS"):
        return next((name for magic, name in _OGG if magic in head[:128]), "an Ogg recording")
    if head[4:8] == b"ftyp" and head[:2] == b"\0\0":
        brand = head[8:12]
        return next((name for magic, name in _ISO_MEDIA if brand.startswith(magic)), "an MP4 video")
    if head[4:8] in (b"moov", b"wide", b"mdat") and head[0] == 0:  # before there was ftyp
        return "a QuickTime video"
    if head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"):
        return "an AIFF recording"
    # "BM" and "ID3" also begin sentences: what follows must be binary.
    if head.startswith(b"BM") and len(head) > 26 and head[6:10] == b"\0\0\0\0":
        return "a BMP image"
    if head.startswith(b"ID3") and len(head) > 4 and head[3] in (2, 3, 4) and head[4] < 0x20:
        return "an MP3 recording"
    if sync := _SOUND_SYNC.match(head):
        return "an AAC recording" if sync[1] in b"\xf0\xf1\xf8\xf9" else "an MP3 recording"
    if head.startswith(b"wvpk") and b"\0" in head[4:16]:
        return "a WavPack recording"
    if _PIXMAP.match(head) and _BINARY.search(head):
        return "a PNM image"
    for first, length in _TRANSPORT:
        if head[first : first + 3 * length : length] == b"GGG" and b"\0" in head[:192]:
            return "an MPEG video"
    if head.startswith(b"MZ") and b"\0" in head[:64]:
        return "a program"
    return next((name for magic, name in _MEDIA if head.startswith(magic)), "")
