# SPDX-License-Identifier: Apache-2.0
"""Compressed files and archives, sound, damaged and hostile."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile

import pytest

from pollux.errors import InputError
from pollux.media.inputs import open_parts
from pollux.media.limits import Limits

FILES = {"pkg/b.py": b"def b(): pass\n", "a.txt": b"hello\n", "pkg/\xe9\u4e2d.md": b"# title\n"}


def tar(files, mode="w", **fields):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def zipped(files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


def opened(tmp_path, name, data, **options):
    (tmp_path / name).write_bytes(data)
    result = open_parts([tmp_path / name], **options)
    parts = {part.name: part for part in result}
    return parts, {skipped.path: skipped.reason for skipped in result.skipped}


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)],
)
def test_compressed_file(tmp_path, suffix, compress):
    parts, _ = opened(tmp_path, f"a.py{suffix}", compress(b"x = 1\r\n" * 9))
    assert [(part.kind, part.text) for part in parts.values()] == [("code", "x = 1\r\n" * 9)]
    assert list(parts) == [f"a.py{suffix}"]
    with pytest.raises(InputError, match=r"bomb.* holds more than 977 KiB; split it$"):
        opened(
            tmp_path, f"bomb{suffix}", compress(b"a" * 20_000_000), limits=Limits(max_bytes=10**6)
        )
    with pytest.raises(InputError, match="is cut short or damaged; fetch it again"):
        opened(
            tmp_path,
            f"cut{suffix}",
            compress(random.Random(0).randbytes(99_999).hex().encode())[:-9],
        )
    with pytest.raises(InputError, match="; unpack it and name what is inside"):
        opened(tmp_path, f"twice{suffix}", compress(compress(b"text")))
    with pytest.raises(InputError, match="is empty"):
        opened(tmp_path, f"empty{suffix}", compress(b""))
    with pytest.raises(InputError, match="is a PNG image"):
        opened(tmp_path, f"image{suffix}", compress(b"\x89PNG\r\n\x1a\n"))


def test_suffix_decides_nothing(tmp_path):
    parts, _ = opened(tmp_path, "plain.gz", b"plain text")
    assert parts["plain.gz"].text == "plain text"
    parts, _ = opened(tmp_path, "packed.txt", gzip.compress(b"plain text"))
    assert parts["packed.txt"].text == "plain text"


@pytest.mark.parametrize("name", ["x.zip", "x.whl", "x.tar", "x.tar.gz", "x.tar.xz", "x.tar.bz2"])
def test_archive_is_a_directory(tmp_path, name):
    data = zipped(FILES) if name[1:] in (".zip", ".whl") else tar(FILES, mode=f"w:{name[6:]}")
    parts, skipped = opened(tmp_path, name, data)
    assert {f"{name}/{inner}": text.decode() for inner, text in FILES.items()} == {
        part.name: part.text for part in parts.values()
    }
    assert parts[f"{name}/pkg/b.py"].kind == "code"
    assert not skipped
    if name[1:] in (".zip", ".whl"):
        assert list(parts) == sorted(parts)
    assert [path.name for path in tmp_path.iterdir()] == [name]  # nothing was unpacked


@pytest.mark.parametrize("pack", [zipped, tar])
def test_members_that_are_not_read(tmp_path, pack):
    files = {
        "../../evil": b"escape",
        "/etc/absolute": b"stays inside",
        "./dot//a": b"a",
        "node_modules/x/1.js": b"x",
        "node_modules/x/2.js": b"x",
        "b/.git/config": b"x",
        "image.txt": b"\x89PNG\r\n\x1a\n",
        "inner.gz": gzip.compress(b"x"),
        "inner.zip": zipped({"a": b"a"}),
        "empty": b"",
        "large": b"x" * 2000,
    }
    parts, skipped = opened(tmp_path, "x", pack(files), limits=Limits(max_bytes=1000))
    assert {part.name: part.text for part in parts.values()} == {
        "x/etc/absolute": "stays inside",
        "x/dot/a": "a",
    }
    assert skipped == {
        "x/../../evil": "has a path that leaves the archive",
        "x/node_modules": "is left out",
        "x/b/.git": "is left out",
        "x/image.txt": "is a PNG image",
        "x/inner.gz": "is a gzip file",
        "x/inner.zip": "is a ZIP archive",
        "x/empty": "is empty",
        "x/large": "holds more than 1000 bytes",
    }


def test_links_and_devices_in_a_tar(tmp_path):
    for kind, reason in [
        (tarfile.SYMTYPE, "is a link"),
        (tarfile.LNKTYPE, "is a link"),
        (tarfile.FIFOTYPE, "is a device"),
        (tarfile.CHRTYPE, "is a device"),
    ]:
        with pytest.raises(InputError, match=f"holds nothing to read: x.tar/a {reason}; name"):
            opened(tmp_path, "x.tar", tar({"a": b""}, type=kind, linkname="/etc/passwd"))


def test_link_in_a_zip(tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with pytest.raises(InputError, match="x.zip/link is a link"):
        opened(tmp_path, "x.zip", zipped({info: b"/etc/passwd"}))


@pytest.mark.parametrize("pack", [zipped, tar])
def test_archives_are_bounded(tmp_path, pack):
    files = {f"{number:03}": b"some text\n" * 100 for number in range(20)}
    with pytest.raises(InputError, match="more than 10 files"):
        opened(tmp_path, "x", pack(files), limits=Limits(max_files=10))
    with pytest.raises(InputError, match="more than 4.88 KiB"):
        opened(tmp_path, "x", pack(files), limits=Limits(max_total_bytes=5000))
    assert len(opened(tmp_path, "x", pack(files), limits=Limits(max_files=20))[0]) == 20


def test_tar_of_directories_only_is_bounded(tmp_path):
    files = {f"{number:03}": b"" for number in range(20)}
    with pytest.raises(InputError, match="more than 10 files and directories"):
        opened(tmp_path, "x.tar", tar(files, type=tarfile.DIRTYPE), limits=Limits(max_files=10))


def test_tar_header_cannot_fill_the_memory(tmp_path):
    info = tarfile.TarInfo("././@LongLink")
    info.type = tarfile.GNUTYPE_LONGNAME
    info.size = 1 << 33
    with pytest.raises(InputError, match="has a damaged header; fetch it again"):
        opened(tmp_path, "x.tar", info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


def test_zip_that_needs_a_password(tmp_path):
    data = bytearray(zipped({"a": b"text"}))
    data[6] |= 1  # the flag in the local header
    data[data.index(b"PK\1\2") + 8] |= 1  # and in the directory
    with pytest.raises(InputError, match="x.zip/a needs a password"):
        opened(tmp_path, "x.zip", bytes(data))


@pytest.mark.parametrize("packed", [zipped(FILES), tar(FILES), tar(FILES, mode="w:gz")])
def test_damage_is_told_never_thrown(tmp_path, packed):
    chance = random.Random(1)
    for trial in range(150):
        data = bytearray(packed)
        if trial % 2:
            del data[chance.randrange(1, len(data)) :]
        for _ in range(chance.randrange(1, 8)):
            data[chance.randrange(min(len(data), 2048))] = chance.randrange(256)
        try:
            opened(tmp_path, "x", bytes(data))
        except InputError as error:
            assert "\n" not in str(error) and "; " in str(error)


def test_office_documents_are_refused(tmp_path):
    files = {"_rels/.rels": b"<xml/>", "[Content_Types].xml": b"<xml/>", "word/document.xml": b"x"}
    with pytest.raises(InputError, match="is an Office document; save it as PDF or text"):
        opened(tmp_path, "x.docx", zipped(files))
