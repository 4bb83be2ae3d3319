# SPDX-License-Identifier: Apache-2.0
"""Fonts, icons and photographs to draw pictures with, as `pollux data prepare` lays them out.

In the folder: the faces in which letters can be told apart, in `fonts`; icons as PNG in
`icons.zip` and backgrounds in `photos.zip`; what each is called in `art.json`, with the packages it
comes from, their licences and SHA-256. Without such a folder there are matplotlib's fonts.
"""

import io
import json
import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont, JpegImagePlugin

from pollux.cache import cache_directory
from pollux.data import held_out
from pollux.data.packages import PACKAGES, Package, digest, fetch, unpacked
from pollux.errors import RecipeError

ICON, PHOTO = 96, 480  # pixels, the longer side
STYLES_LEAST = 2  # training styles that draw a concept: else nobody could know it in another
WORDS_MOST = 3  # of an icon's name
MONOCHROME = "currentColor"  # in an SVG: the icon is an outline to be drawn in any colour
LEGIBLE = 0.55  # of the letters of a face are most like the same letter in a plain one
PLAIN = ("DejaVuSans.ttf", "DejaVuSans-Oblique.ttf", "DejaVuSerif.ttf", "STIXGeneralItalic.ttf")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
LEFT_OUT = frozenset(  # words of names that no picture shows
    "man woman men women person people skin flag keycap button light dark medium low off plus "
    "minus outline filled circle square box a b variant sign mark with facing input oclock "
    "thirty".split()
)
SAME = "cijkopsuvwxyz"  # small and capital are alike, or nearly
_HAN = "国书门"


@dataclass(frozen=True)
class Font:
    file: str
    index: int  # within a collection
    family: str
    style: str
    chinese: bool


@dataclass(frozen=True)
class Icon:
    file: str
    style: str  # the set it is from
    name: str  # a few words: red apple
    outline: bool  # to be drawn in any colour


@dataclass(frozen=True)
class Art:
    """Of training, or what is held out. `folder` holds the files."""

    folder: Path
    fonts: tuple[Font, ...]
    icons: tuple[Icon, ...]
    photos: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Of all icons, each once."""
        return sorted({icon.name for icon in self.icons})

    @cached_property
    def words(self) -> list[str]:
        """Of the names, in small letters."""
        words = {word.lower() for name in self.names for word in name.split()}
        return sorted(word for word in words if 1 < len(word) < 14 and {*word} <= {*LETTERS})


def art_directory() -> Path:
    return cache_directory() / "art"


def art(folder: Path | None = None, evaluation: bool = False) -> Art:
    """What was prepared in `folder`: the part for training, or the part held out.

    Icons held out are all that training has not: those of STYLE and those of other concepts.
    """
    folder = folder or art_directory()
    try:
        made = json.loads((folder / "art.json").read_text("utf-8"))
    except FileNotFoundError:
        fonts = tuple(f for f in _plain_fonts() if held_out.font(f.family) == evaluation)
        return Art(folder, fonts, (), ())
    except (OSError, ValueError) as error:
        raise RecipeError(f"{folder} is damaged ({error}): pollux data prepare again") from None
    icons = [Icon(**icon) for icon in made["icons"]]
    return Art(
        folder,
        tuple(
            f for f in (Font(**f) for f in made["fonts"]) if held_out.font(f.family) == evaluation
        ),
        tuple(i for i in icons if held_out.icon(i.style, i.name) == evaluation),
        tuple(name for name in made["photos"] if held_out.photo(name) == evaluation),
    )


def font_path(art: Art, font: Font) -> str:
    return str(art.folder / "fonts" / font.file)  # what is absolute stays as it is


@lru_cache(maxsize=4096)
def face(path: str, index: int, size: int) -> ImageFont.FreeTypeFont:
    # Without Raqm, so that letters stand at the same places wherever Pillow comes from.
    return ImageFont.truetype(path, size, index, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=4)
def _zip(path: str, process: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


@lru_cache(maxsize=512)
def _stored(path: str, file: str) -> Image.Image:
    image = Image.open(io.BytesIO(_zip(path, os.getpid()).read(file)))
    image.load()
    return image


def icon_image(art: Art, icon: Icon) -> Image.Image:
    """RGBA, its longer side ICON."""
    return _stored(str(art.folder / "icons.zip"), icon.file).convert("RGBA")


def photo_image(art: Art, name: str) -> Image.Image:
    """RGB, its longer side PHOTO."""
    return _stored(str(art.folder / "photos.zip"), name).convert("RGB")


def _plain_fonts() -> Iterator[Font]:
    """Those that come with matplotlib: Debian is not needed to try something."""
    for path in sorted(_plain_folder().glob("*.ttf")):
        # A Display face has some signs of mathematics and no letters.
        letters = path.name.startswith(("DejaVuSans", "DejaVuSerif", "STIXGeneral"))
        if letters and "Display" not in path.name:
            family, style = _named(str(path), 0)
            yield Font(str(path), 0, family, style, False)


def plain_face() -> str:
    return str(_plain_folder() / PLAIN[0])


def _plain_folder() -> Path:
    try:
        from matplotlib import get_data_path
    except ModuleNotFoundError:
        raise RecipeError("there are no fonts to draw with: install pollux[train]") from None
    return Path(get_data_path(), "fonts", "ttf")


def _named(path: str, index: int) -> tuple[str, str]:
    family, style = face(path, index, 24).getname()
    return family or Path(path).stem, style or "Regular"


def prepare(
    folder: Path,
    packages: Sequence[Package] = PACKAGES,
    report: Callable[[str], None] = lambda line: None,
) -> Path:
    """Fetches the packages and lays out what is in them; returns `art.json`.

    A package that cannot be had is reported and left out. Raises RecipeError if nothing is left.
    """
    fetched: dict[str, tuple[Package, Path]] = {}
    for package in packages:
        try:
            fetched[package.name] = package, fetch(package, folder / "packages")
            report(f"{package.source}  {package.licence}")
        except RecipeError as error:
            report(f"left out: {error}")
    if not fetched:
        raise RecipeError("no package could be fetched: see the lines above")
    (folder / "fonts").mkdir(parents=True, exist_ok=True)
    made = {
        "packages": [
            asdict(package) | {"archive": path.name, "sha256": digest(path)}
            for package, path in fetched.values()
        ],
        "fonts": [asdict(font) for font in _fonts(folder, _of(fetched, "fonts"))],
        "icons": [asdict(icon) for icon in _icons(folder, _of(fetched, "icons"))],
        "photos": list(_photos(folder, _of(fetched, "photos"))),
    }
    beside = folder / "art.partial"
    beside.write_text(json.dumps(made, indent=1, ensure_ascii=False), "utf-8")
    return beside.replace(folder / "art.json")


def _of(
    fetched: dict[str, tuple[Package, Path]], kind: str
) -> Iterator[tuple[Package, str, bytes]]:
    for package, archive in fetched.values():
        if package.kind == kind:
            yield from ((package, *file) for file in unpacked(package, archive))


def _fonts(folder: Path, files: Iterator[tuple[Package, str, bytes]]) -> Iterator[Font]:
    """The legible faces, written to `fonts` under names of our own."""
    seen: set[tuple[str, str]] = set()
    for number, (package, _, content) in enumerate(files):
        suffix = ".ttc" if content[:4] == b"ttcf" else ".otf" if content[:4] == b"OTTO" else ".ttf"
        name = f"{package.name}-{number:04}{suffix}"
        path = folder / "fonts" / name
        path.write_bytes(content)
        kept = False
        for index in range(_faces(content)):
            try:
                called, legible = _named(str(path), index), legibility(str(path), index)
                chinese = _has_han(str(path), index)
            except OSError:  # not a font, whatever its suffix
                continue
            if called in seen or legible < LEGIBLE or called[0].startswith("."):
                continue
            seen.add(called)
            kept = True
            yield Font(name, index, *called, chinese)
        if not kept:
            path.unlink()


def _faces(content: bytes) -> int:
    return min(16, int.from_bytes(content[8:12], "big")) if content[:4] == b"ttcf" else 1


def legibility(path: str, index: int = 0) -> float:
    """The share of letters that are most like the same letter of one of four plain faces.

    A face in which small letters are small capitals has half of them wrong.
    """
    shapes = _shapes(path, index)
    own = np.arange(len(shapes))
    cased = np.array([letter.lower() not in SAME for letter in LETTERS + LETTERS.upper()])
    plain = [_shapes(str(_plain_folder() / name), 0) for name in PLAIN]
    like = [np.einsum("aij,bij->ab", shapes, wanted).argmax(1) for wanted in plain]
    right = [(f == own) | ~cased & (f % len(LETTERS) == own % len(LETTERS)) for f in like]
    return float(max(found.mean() for found in right))


@lru_cache(maxsize=16)
def _shapes(path: str, index: int) -> np.ndarray:
    """Small and capital letters in boxes of the same size, of norm 1."""
    font, out = face(path, index, 48), []
    for letter in LETTERS + LETTERS.upper():
        image = Image.new("L", (144, 144))
        ImageDraw.Draw(image).text((48, 96), letter, 255, font, "ls")
        box = image.getbbox() or (0, 0, 1, 1)
        shape = np.asarray(image.crop(box).resize((16, 16), Image.Resampling.BOX), np.float32)
        shape = shape - shape.mean()
        out.append(shape / max(1e-6, float(np.linalg.norm(shape))))
    return np.stack(out)


def _has_han(path: str, index: int) -> bool:
    """A glyph of its own for each of some characters."""
    font = face(path, index, 24)
    drawn = set()
    for sign in (*_HAN, "\uffff"):
        image = Image.new("L", (48, 48))
        ImageDraw.Draw(image).text((8, 8), sign, 255, font)
        drawn.add(image.tobytes())
    return len(drawn) == len(_HAN) + 1


def _icons(folder: Path, files: Iterator[tuple[Package, str, bytes]]) -> Iterator[Icon]:
    """Of the sets of Iconify, whose icons are all called alike, what several of them draw."""
    sets: dict[str, dict] = {}
    for package, name, content in files:
        if name == "icons.json":
            sets[package.name.split("/")[-1]] = json.loads(content)
    styles = Counter(
        name
        for style, found in sets.items()
        if style != held_out.STYLE
        for name in map(spoken_name, found["icons"])
        if name
    )
    with zipfile.ZipFile(folder / "icons.partial", "w") as store:
        for style, found in sorted(sets.items()):
            for key, icon in sorted(found["icons"].items()):
                name = spoken_name(key)
                if name is None or styles[name] < STYLES_LEAST:
                    continue
                made = Icon(f"{style}/{key}.png", style, name, MONOCHROME in icon["body"])
                store.writestr(zipfile.ZipInfo(made.file), _drawn(found, icon))
                yield made
    (folder / "icons.partial").replace(folder / "icons.zip")


def spoken_name(key: str) -> str | None:
    """`red-apple` in words; None for what is no picture of a thing that one could name."""
    words = key.split("-")
    if len(words) > WORDS_MOST or not re.fullmatch(r"[a-z]{3,}(-[a-z]+)*", key):
        return None
    return None if LEFT_OUT & {*words} else " ".join(words)


def _drawn(found: dict, icon: dict) -> bytes:
    from resvg_py import svg_to_bytes

    width, height = (icon.get(side) or found.get(side) or 16 for side in ("width", "height"))
    left, top = icon.get("left", 0), icon.get("top", 0)
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>'
    )
    wide, high = (ICON, None) if width >= height else (None, ICON)
    return svg_to_bytes(svg_string=svg, skip_system_fonts=True, width=wide, height=high)


def _photos(folder: Path, files: Iterator[tuple[Package, str, bytes]]) -> Iterator[str]:
    with zipfile.ZipFile(folder / "photos.partial", "w") as store:
        for package, name, content in files:
            image = Image.open(io.BytesIO(content))
            if not isinstance(image, JpegImagePlugin.JpegImageFile):  # those are decoded small
                image = image.convert("RGB")
            image.thumbnail((PHOTO, PHOTO), Image.Resampling.BICUBIC, reducing_gap=3.0)
            beside = io.BytesIO()
            image.convert("RGB").save(beside, "PNG")
            stored = f"{package.name}/{Path(name).stem}.png"
            store.writestr(zipfile.ZipInfo(stored), beside.getvalue())
            yield stored
    (folder / "photos.partial").replace(folder / "photos.zip")


def pixels(image: Image.Image) -> UInt8[np.ndarray, "H W 3"]:
    return np.array(image.convert("RGB"))
