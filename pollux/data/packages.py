# SPDX-License-Identifier: Apache-2.0
"""The public packages that pictures and voices are made from, fetched by their own clients.

`npm pack` and `apt-get download` bring an archive; nothing in it is ever run. An archive that lies
in POLLUX_DATA/packages is taken instead. What is in an archive is not trusted: only ordinary files
of the wanted names and of bounded size are looked at, and nothing is written under their names.
"""

import fnmatch
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pollux.data.corpora import data_directory
from pollux.errors import RecipeError

MAX_FILE, MAX_ALL = 64 << 20, 1 << 30  # bytes, unpacked
PATIENCE = 600  # seconds a client may take


@dataclass(frozen=True, kw_only=True)
class Package:
    """`version`: what npm is asked for; empty, with apt, is what the distribution has."""

    name: str
    client: Literal["npm", "apt"]
    version: str = ""
    kind: Literal["icons", "fonts", "photos"]
    files: str  # a pattern of what is used
    licence: str

    @property
    def archive(self) -> str:
        """A pattern of the file that the client leaves."""
        if self.client == "apt":
            return f"{self.name}_*.deb"
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"

    @property
    def source(self) -> str:
        return f"Debian {self.name}" if self.client == "apt" else f"npm {self.name}@{self.version}"


def _icons(name: str, version: str, licence: str) -> Package:
    return Package(
        name=f"@iconify-json/{name}",
        client="npm",
        version=version,
        kind="icons",
        files="package/*.json",
        licence=licence,
    )


def _fonts(name: str, licence: str) -> Package:
    return Package(name=name, client="apt", kind="fonts", files="*.[to]t[fc]", licence=licence)


def _photos(name: str, licence: str) -> Package:
    return Package(
        name=name, client="apt", kind="photos", files="*/backgrounds/*.[jp][pn]g", licence=licence
    )


PACKAGES = (
    _icons("twemoji", "1.2.5", "CC-BY-4.0"),
    _icons("noto", "1.2.9", "Apache-2.0"),
    _icons("openmoji", "1.2.29", "CC-BY-SA-4.0"),
    _icons("fluent-emoji-flat", "1.2.6", "MIT"),
    _icons("mdi", "1.2.3", "Apache-2.0"),
    _icons("lucide", "1.2.137", "ISC"),
    _icons("game-icons", "1.2.4", "CC-BY-3.0"),
    _fonts("fonts-dejavu-core", "Bitstream Vera and public domain"),
    _fonts("fonts-liberation", "OFL-1.1"),
    _fonts("fonts-urw-base35", "AGPL-3 with the font exception"),
    _fonts("fonts-open-sans", "Apache-2.0"),
    _fonts("fonts-lato", "OFL-1.1"),
    _fonts("fonts-roboto-unhinted", "Apache-2.0"),
    _fonts("fonts-aenigma", "free to copy and modify (Brian Kent)"),
    _fonts("fonts-wqy-zenhei", "GPL-2 with the font exception"),
    _fonts("fonts-wqy-microhei", "Apache-2.0 or GPL-3 with the font exception"),
    _fonts("fonts-lxgw-wenkai", "OFL-1.1"),
    _photos("mate-backgrounds", "by file: CC-BY-SA, CC0, GPL-2+, public domain"),
    _photos("lomiri-wallpapers-20.04", "by file: CC-BY-SA-4.0, CC-BY-4.0, CC0"),
)


def fetch(package: Package, folder: Path) -> Path:
    """The package's archive: a local copy, one fetched before, or a new one in `folder`.

    Raises RecipeError where there is none and no client that could bring it.
    """
    local = data_directory()
    for place in (local / "packages" if local else folder, folder):
        if found := sorted(place.glob(package.archive)):
            return found[-1]
    folder.mkdir(parents=True, exist_ok=True)
    if package.client == "npm":
        program, wanted = "npm", f"{package.name}@{package.version}"
        command = ["npm", "pack", wanted, "--silent", "--ignore-scripts"]
    else:
        program, command = "apt-get", ["apt-get", "download", "-q", package.name]
    if not (path := shutil.which(program)):
        raise RecipeError(
            f"{package.source} is not here and neither is {program}: put {package.archive} into "
            "the folder packages of POLLUX_DATA"
        )
    _run([path, *command[1:]], folder, package)
    if found := sorted(folder.glob(package.archive)):
        return found[-1]
    raise RecipeError(f"{program} brought no {package.archive}: is {package.source} known to it?")


def _run(command: list[str], folder: Path, package: Package) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RecipeError(f"{command[0]} did not bring {package.source} ({error})") from None
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()
        raise RecipeError(f"{package.source} cannot be fetched: {lines[-1][:200]}; try again later")


def unpacked(package: Package, archive: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the wanted files, by name. RecipeError if the archive is damaged."""
    with tempfile.TemporaryFile() as plain:
        if archive.suffix == ".deb":
            if not (path := shutil.which("dpkg-deb")):
                raise RecipeError(f"{archive.name} needs dpkg-deb to be opened: install dpkg")
            made = subprocess.run([path, "--fsys-tarfile", archive], stdout=plain, timeout=PATIENCE)
            if made.returncode:
                raise RecipeError(f"{archive} is damaged: delete it, then fetch it again")
        else:
            with archive.open("rb") as file:
                shutil.copyfileobj(file, plain)
        plain.seek(0)
        try:
            with tarfile.open(fileobj=plain) as tar:
                members = [m for m in tar if m.isreg() and fnmatch.fnmatch(m.name, package.files)]
                left = MAX_ALL
                for member in sorted(members, key=lambda m: m.name):
                    left -= member.size
                    if member.size > MAX_FILE or left < 0:
                        raise RecipeError(
                            f"{archive.name} unpacks to too much to be {package.kind}"
                        )
                    file = tar.extractfile(member)
                    assert file is not None
                    yield PurePosixPath(member.name).name, file.read()
        except (tarfile.TarError, EOFError, OSError) as error:
            raise RecipeError(f"{archive} is damaged ({error}): fetch it again") from None


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
