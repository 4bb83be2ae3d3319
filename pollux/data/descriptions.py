# SPDX-License-Identifier: Apache-2.0
"""Debian's package descriptions, titles and bodies, in two halves: for training, for evaluation.

A package belongs to a half by its name; those of one family (`libfoo1`, `libfoo-dev`) to the same.
What both halves say all the same, word for word, is taken out of the one for evaluation.
"""

import lzma
import re
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pollux.data.corpora import data_directory
from pollux.errors import RecipeError

FILE = "text/Translation-en.xz"  # as Debian's archive has it: dists/SUITE/main/i18n
HELPERS = Path("/usr/lib/apt")  # of apt, on Debian and what is made from it
BODY = 80, 2_000  # characters
SAME = 6  # words: a sentence of so many that both halves have is no accident
GENERIC = frozenset(  # say how a package is built, not what it is of
    "bin bioc chicken com common cran data dev dict doc elpa erlang fonts gap ghc gir github "
    "gitlab gnome golang haskell kde linux node ocaml octave org perl php puppet pypi python ruby "
    "rust texlive xfce xserver".split()
)
EMPTY = re.compile(r"transitional|dummy|meta-?package|debug(ging)? symbols", re.I)


@dataclass(frozen=True, kw_only=True)
class Description:
    package: str
    title: str  # one line
    body: str  # paragraphs with a blank line between


def descriptions(*, evaluation: bool) -> tuple[Description, ...]:
    """One half, in the archive's order, one of each family; RecipeError when it is not here."""
    found = halves(archive())
    return found[evaluation]


@cache
def archive() -> str:
    """The text of Debian's descriptions: from POLLUX_DATA, else from apt's own lists."""
    directory = data_directory()
    if directory is not None and (path := directory / FILE).is_file():
        try:
            return lzma.decompress(path.read_bytes()).decode("utf-8", "replace")
        except (OSError, lzma.LZMAError) as error:
            raise RecipeError(f"cannot read {path} ({error}): get it again from Debian") from None
    if text := _from_apt():
        return text
    raise RecipeError(
        f"Debian's package descriptions are not here: put main/i18n/Translation-en.xz of Debian's "
        f"archive into POLLUX_DATA as {FILE}, or, on Debian, run apt-get -o Acquire::Languages=en "
        "update"
    )


def _from_apt() -> str:
    """What `apt-get -o Acquire::Languages=en update` brought; nothing where there is no apt."""
    wanted = ["indextargets", "--format", "$(FILENAME)", "Created-By: Translations"]
    listed = _output(["apt-get", "-o", "Acquire::Languages=en", *wanted]).split()
    files = [file for file in listed if Path(file).is_file()]
    return _output([str(HELPERS / "apt-helper"), "cat-file", *files]) if files else ""


def _output(command: list[str]) -> str:
    try:
        run = subprocess.run(command, capture_output=True)
    except OSError:
        return ""
    return run.stdout.decode("utf-8", "replace") if run.returncode == 0 else ""


@cache
def halves(text: str) -> tuple[tuple[Description, ...], tuple[Description, ...]]:
    """For training and for evaluation."""
    trained: dict[str, Description] = {}
    kept: dict[str, Description] = {}
    titles: set[str] = set()
    for one in parsed(text):
        opening = sentences(one.body)[0].casefold()
        if one.title.casefold() not in titles:
            titles.add(one.title.casefold())
            (kept if kept_for_evaluation(one.package) else trained).setdefault(opening, one)
    said = {s for one in trained.values() for s in _long_sentences(one.body)}
    left = [one for one in kept.values() if not said & set(_long_sentences(one.body))]
    return tuple(trained.values()), tuple(left)


def kept_for_evaluation(package: str) -> bool:
    return zlib.crc32(family(package).encode()) % 2 == 0


def family(package: str) -> str:
    """What packages made from one program have in common: the first word that says something."""
    words = [w.removeprefix("lib") for w in re.findall(r"[a-z]{2,}", package)]
    telling = [w for w in words if len(w) > 2 and w not in GENERIC]
    return telling[0] if telling else package


def parsed(text: str) -> Iterator[Description]:
    """The descriptions in a file of translations that are neither empty words nor very long."""
    for stanza in text.split("\n\n"):
        head = re.match(r"Package: (\S+)\n(?:.+\n)*?Description-en: (.+)\n", stanza + "\n")
        if head is None or EMPTY.search(head[2]) or len(head[2].split()) < 2:
            continue
        body = unwrapped(stanza[head.end() :])
        if BODY[0] <= len(body) <= BODY[1]:
            yield Description(package=head[1], title=head[2].strip(), body=body)


def unwrapped(lines: str) -> str:
    """Debian's form to plain: one space is text to be joined, two a line of its own, a dot none."""
    out, joins = "", False
    for line in lines.split("\n"):
        if line.startswith("  "):
            out, joins = f"{out.rstrip(' ')}\n{line.strip()}", False
        elif line.strip() in ("", "."):
            out, joins = out + "\n\n", False
        else:
            out, joins = out + (" " if joins else "\n") + line.strip(), True
    return re.sub(r"\n{3,}", "\n\n", out).strip()


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+|\n+", text)


def _long_sentences(text: str) -> list[str]:
    """Those of SAME words or more, without case and marks."""
    words = (re.findall(r"\w+", s.casefold()) for s in sentences(text))
    return [" ".join(of) for of in words if len(of) >= SAME]
