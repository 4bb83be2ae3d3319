# SPDX-License-Identifier: Apache-2.0
"""Compressed files and archives, read in memory: nothing is written, so no path can escape."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, cast

from pollux.media.directory import LEFT_OUT
from pollux.media.document import Stream, too_large
from pollux.media.limits import Limits, Unreadable
from pollux.media.signature import HEAD, compression, is_zip

File = io.BufferedReader | io.BytesIO  # what can be read again from its start

_MAX_HEADER = 1 << 20  # bytes of one extended tar header, which is read whole
_BLOCK = 512  # bytes of a tar header
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_DAMAGE = (
    EOFError,
    OSError,
    RuntimeError,  # zipfile: a password, or a compression it does not know
    ValueError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
)


@dataclass(frozen=True, kw_only=True)
class Member:
    """One file in an archive: read its stream before asking for the next. No stream: a reason."""

    name: str
    stream: Stream | None = None
    reason: str = ""


def expanded(file: File) -> Stream:
    """The content of a seekable file: decompressed, if it is compressed."""
    how = compression(file.read(HEAD))
    file.seek(0)
    if how == "gzip":
        return gzip.GzipFile(fileobj=file)
    if how == "lzma":
        return lzma.LZMAFile(file)
    return bz2.BZ2File(file) if how == "bz2" else file


def archive_format(file: File) -> str:
    """ "zip", "tar" (compressed or not), or "" for what is no archive."""
    head = file.read(HEAD)
    file.seek(0)
    if is_zip(head):
        return "zip"
    block = expanded(file).read(_BLOCK)
    file.seek(0)
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return ""
    return "tar"


def members(file: File, limits: Limits) -> Iterator[Member]:
    """The files of a zip in sorted order, of a tar as they come. Raises Unreadable if damaged."""
    unpack = zip_members if archive_format(file) == "zip" else tar_members
    seen: set[str] = set()
    for member in unpack(file, limits):
        name = inner_name(member.name)
        left_out = next((part for part in name.split("/") if part in LEFT_OUT), "")
        if left_out:
            # Thousands of files may lie in there: one line for all.
            name = name[: name.index(left_out) + len(left_out)]
            if name not in seen:
                yield Member(name=name, reason="is left out")
        elif not name:
            yield Member(name=member.name, reason="has a path that leaves the archive")
        elif name in seen:
            yield Member(name=name, reason="is there twice")
        else:
            yield Member(name=name, stream=member.stream, reason=member.reason)
        seen.add(name)


def inner_name(name: str) -> str:
    """The path inside the archive, "" for one that leaves it."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "" if ".." in parts else "/".join(parts)


def zip_members(file: File, limits: Limits) -> Iterator[Member]:
    with damage_told():
        archive = zipfile.ZipFile(file)
        infos = sorted(archive.infolist(), key=lambda info: info.filename.split("/"))
    if any(info.filename == "[Content_Types].xml" for info in infos):
        raise Unreadable("is an Office document", "save it as PDF or text")
    for info in infos:
        if info.is_dir():
            continue
        reason = "needs a password" if info.flag_bits & 1 else ""
        if (info.external_attr >> 16) & 0o170000 == 0o120000:
            reason = "is a link"
        if info.file_size > limits.max_bytes:
            reason = too_large(limits.max_bytes).reason
        if reason:
            yield Member(name=info.filename, reason=reason)
            continue
        try:
            with damage_told():
                stream = archive.open(info)
        except Unreadable as error:
            yield Member(name=info.filename, reason=error.reason)
            continue
        with stream:
            yield Member(name=info.filename, stream=stream)


def tar_members(file: File, limits: Limits) -> Iterator[Member]:
    # Read as a stream, since seeking back in a compressed one begins again at its start.
    bounded = cast(IO[bytes], Bounded(expanded(file), limits.max_total_bytes))
    with damage_told():
        archive = tarfile.open(fileobj=bounded, mode="r|", tarinfo=Header, errorlevel=2)
    for _ in range(limits.max_files + 1):
        with damage_told():
            info = archive.next()
        if info is None:
            return
        if info.isdir():
            continue
        if info.issym() or info.islnk():
            yield Member(name=info.name, reason="is a link")
        elif not info.isreg():
            yield Member(name=info.name, reason="is a device")
        elif info.size > limits.max_bytes:
            yield Member(name=info.name, reason=too_large(limits.max_bytes).reason)
        else:
            yield Member(name=info.name, stream=archive.extractfile(info))
    # Directories too: `archive` keeps what it has met.
    raise Unreadable(f"has more than {limits.max_files:,} files and directories", "unpack it")


class Header(tarfile.TarInfo):
    """Refuses extended headers that would fill the memory; `tarfile` reads them whole."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "Header":
        header = super().frombuf(buf, encoding, errors)
        if header.type in _EXTENDED and header.size > _MAX_HEADER:
            raise Unreadable("has a damaged header", "fetch it again")
        return header


class Bounded:
    """A stream that refuses to give more than so many bytes: a tar has no list of its sizes."""

    def __init__(self, stream: Stream, max_bytes: int) -> None:
        self.stream = stream
        self.max_bytes = max_bytes
        self.given = 0

    def read(self, size: int, /) -> bytes:
        data = self.stream.read(size)
        self.given += len(data)
        if self.given > self.max_bytes:
            raise too_large(self.max_bytes)
        return data


@contextmanager
def damage_told() -> Generator[None, None, None]:
    """What the decompressors raise, of many types, as Unreadable."""
    try:
        yield
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise Unreadable(f"cannot be read: {error.strerror}", "check the disk") from None
        if isinstance(error, RuntimeError):
            raise Unreadable("is packed in an unknown way", "unpack it") from None
        raise Unreadable("is cut short or damaged", "fetch it again") from None
