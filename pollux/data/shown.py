# SPDX-License-Identifier: Apache-2.0
"""Things on anything: what a namer is trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, UInt8
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

from pollux.config import PLACE, SIDED, UNNAMED
from pollux.data import held_out, letters
from pollux.data.art import Art, Icon, icon_image
from pollux.errors import RecipeError

UNKNOWN = -1  # of a place: it may be taken for one thing or the other
OWN = 36.0, 68.0  # pixels, the longer side of things to be named
NEAR = 1.3  # places from a thing's middle, within which the others are UNKNOWN
BARE, LETTERED = 0.15, 0.15  # pages without a thing; with letters
OUTLINES = 0.2  # of the things: outlines in any colour
TURNED, SQUEEZED = 10.0, 0.12  # degrees, of the logarithm of a side: standard deviations
HIDDEN = 0.3  # of the things, a part of which is left out,
PART = 0.2, 0.45  # of each side
TONED = 0.35  # of the logarithm of colour, contrast and light
BETWEEN = 0.35  # of the things: between what two have drawn
FLAT, GREY, EDGED, SHIFTED = 0.3, 0.08, 0.12, 0.3  # fewer tones; no colours; edges; other hues
HUES = 14  # of 256: their standard deviation


class Shown(NamedTuple):
    """Pictures, and of each place what a namer is to say: a class, or UNKNOWN."""

    pixels: Any  # UInt8 [N, H, W, 3], in NumPy or on the device
    places: Any  # Int32 [N, h, w]


@dataclass(frozen=True, eq=False)
class Things:
    """Icons to be named, and what they stand on. `names`: of the classes behind UNNAMED, sorted."""

    art: Art
    names: Sequence[str]

    @cached_property
    def behind(self) -> Art:
        return replace(self.art, icons=())

    @cached_property
    def outlines(self) -> list[Icon]:
        return [icon for icon in self.art.icons if icon.outline]

    @cached_property
    def coloured(self) -> list[Icon]:
        return [icon for icon in self.art.icons if not icon.outline]

    @cached_property
    def alike(self) -> dict[str, list[Icon]]:
        """The coloured ones of a name."""
        found: dict[str, list[Icon]] = {}
        for icon in self.coloured:
            found.setdefault(icon.name, []).append(icon)
        return found

    def any(self, rng: np.random.Generator) -> Icon:
        wanted = self.outlines if rng.random() < OUTLINES else self.coloured
        some = wanted or self.outlines or self.coloured
        return some[int(rng.integers(len(some)))]


def page(
    things: Things, rng: np.random.Generator, side: int
) -> tuple[UInt8[np.ndarray, "H W 3"], Int32[np.ndarray, "h w"]]:
    """A thing or none on anything."""
    canvas = _behind(things.behind, rng, side)
    places = np.full((side // PLACE,) * 2, UNNAMED, np.int32)
    if rng.random() >= BARE:
        icon = things.any(rng)
        row, column = _placed(canvas, _bent(_drawn(things, icon, rng), icon, rng), icon, rng)
        rows, columns = np.indices(places.shape)
        far = np.hypot(rows + 0.5 - row / PLACE, columns + 0.5 - column / PLACE)
        places[far < NEAR] = UNKNOWN
        kind = 1 + int(np.searchsorted(things.names, icon.name))
        places[int(row // PLACE), int(column // PLACE)] = kind
    return letters.worn(canvas, rng), places


def _behind(bare: Art, rng: np.random.Generator, side: int) -> Float32[np.ndarray, "H W 3"]:
    if rng.random() < LETTERED and bare.fonts:
        return letters.page(bare, rng, side, side)[0].astype(np.float32)
    return letters.background(bare, rng, side, side)


def _placed(
    canvas: Float32[np.ndarray, "H W 3"],
    drawn: Image.Image,
    icon: Icon,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Puts it somewhere; returns its middle, down and across."""
    side = len(canvas)
    inside = [0.4 * edge for edge in (drawn.height, drawn.width)]  # a tenth may be beyond
    row, column = (
        float(np.clip(rng.uniform(least, max(least + 1, side - least)), 1, side - 1))
        for least in inside
    )
    top, left = round(row - drawn.height / 2), round(column - drawn.width / 2)
    rows = slice(max(0, top), min(side, top + drawn.height))
    columns = slice(max(0, left), min(side, left + drawn.width))
    pixels = np.asarray(drawn, np.float32)[
        rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]
    here = canvas[rows, columns]
    tone = pixels[..., :3]
    if icon.outline:
        tone = letters.standing_out(rng, float((here @ letters.GREY).mean()))
    here += (tone - here) * (pixels[..., 3:] / 255)
    return row, column


def _drawn(things: Things, icon: Icon, rng: np.random.Generator) -> Image.Image:
    """As its set has it, or between that and another."""
    image = icon_image(things.art, icon)
    others = things.alike.get(icon.name, [])
    if icon.outline or len(others) < 2 or rng.random() > BETWEEN:
        return image
    other = icon_image(things.art, others[int(rng.integers(len(others)))]).resize(image.size)
    return Image.blend(image, other, float(rng.uniform(0.2, 0.8)))


def _bent(image: Image.Image, icon: Icon, rng: np.random.Generator) -> Image.Image:
    """In any size that is to be named, seen from either side, turned, squeezed and toned."""
    if rng.random() < 0.5 and not SIDED & set(icon.name.split()):
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    longer = np.exp(rng.uniform(*np.log(OWN)))
    wide, high = (
        max(4, round(edge * longer / max(image.size) * np.exp(rng.normal(0, SQUEEZED))))
        for edge in image.size
    )
    image = image.resize((wide, high), Image.Resampling.BILINEAR, reducing_gap=2.0)
    if rng.random() < 0.5:
        image = image.rotate(rng.normal(0, TURNED), Image.Resampling.BILINEAR, expand=True)
    if rng.random() < HIDDEN:
        part = [max(1, round(edge * rng.uniform(*PART))) for edge in image.size]
        image.paste((0, 0, 0, 0), _box(image.size, part, rng))
    return image if icon.outline else _toned(image, rng)


def _toned(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """As somebody else might have coloured it."""
    alpha, made = image.getchannel("A"), image.convert("RGB")
    if rng.random() < SHIFTED:
        hue, saturation, value = made.convert("HSV").split()
        shift = round(rng.normal(0, HUES))
        hue = hue.point([(n + shift) % 256 for n in range(256)])
        made = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    if rng.random() < FLAT:
        made = ImageOps.posterize(made.filter(ImageFilter.ModeFilter(3)), int(rng.integers(2, 5)))
    if rng.random() < EDGED:
        edges = ImageOps.invert(made.convert("L").filter(ImageFilter.FIND_EDGES))
        made = ImageChops.multiply(made, Image.merge("RGB", (edges,) * 3))
    if rng.random() < GREY:
        made = ImageOps.grayscale(made).convert("RGB")
    for enhance in (ImageEnhance.Color, ImageEnhance.Contrast, ImageEnhance.Brightness):
        if rng.random() < 0.5:
            made = enhance(made).enhance(float(np.exp(rng.normal(0, TONED))))
    made.putalpha(alpha)
    return made


def _box(
    size: Sequence[int], part: Sequence[int], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Of that part somewhere in it: left, top, right, bottom."""
    left, top = (int(rng.integers(0, room - n + 1)) for room, n in zip(size, part, strict=True))
    return left, top, left + part[0], top + part[1]


def batch(things: Things, rng: np.random.Generator, pages: int, side: int) -> Shown:
    drawn = [page(things, rng, side) for _ in range(pages)]
    return Shown(np.stack([one[0] for one in drawn]), np.stack([one[1] for one in drawn]))


def known(drawn: Art, names: Sequence[str]) -> Art:
    """Of what is held out only the things with these names, in the held-out style."""
    taught = set(names)
    found = (i for i in drawn.icons if i.name in taught and i.style == held_out.STYLE)
    return replace(drawn, icons=tuple(found))


def named(drawn: Art) -> tuple[str, ...]:
    """The names that a namer is taught; RecipeError without icons."""
    if not drawn.icons:
        raise RecipeError("there are no icons to be named: pollux data prepare")
    return tuple(drawn.names)
