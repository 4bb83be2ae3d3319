# SPDX-License-Identifier: Apache-2.0
"""Letters by the million: what eyes are trained on alone, before a model reads with them.

`pictures` draws some hundreds of letters a second, as people would see them. Here the letters of a
face are drawn once, in a few sizes; lines are put together of them and bent to any size by one call
each. Which patch a letter ends in is decided as in `pictures`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int, Int32, UInt8
from PIL import Image, ImageDraw, ImageFilter

from pollux.data import held_out
from pollux.data.art import Art, face, font_path, icon_image, photo_image
from pollux.errors import RecipeError
from pollux.interleaved import patches_of
from pollux.media.resolution import PATCH

SMALL, CAPITAL, DIGITS, SIGNS = (
    "abcdefghijklmnopqrstuvwxyz",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "0123456789",
    ".,:;!?'\"()-&/@#+%$",
)
LETTERS = SMALL + CAPITAL + DIGITS + SIGNS
NONE, UNSEEN = len(LETTERS), -1  # where no letter ends; where nobody could tell which
CLASSES = len(LETTERS) + 1
FOLDED = np.array([LETTERS.index(sign.lower()) for sign in LETTERS] + [NONE])  # case aside
EACH = 2  # letters that may end in one patch and are asked for, the last one first
DRAWN = 12, 16, 22, 30, 40, 54  # sizes that faces are drawn in; any other is bent from the next
SIZES = 9.0, 48.0
CAPITALISED, SIGNED = 0.75, 0.15  # words from that draw on; share of words
LINES, COLUMNS = 4, 16  # of a picture, at most
APART = 20  # pixels between lines, at least: two of them do not end in one row of patches
GOOD_PART = 0.3  # of a word's height or of a patch's: less of it in a row does not count
AROUND = PATCH // 2  # pixels around a patch that are seen with it
ENOUGH = 0.5  # of a letter's width and of its height, seen from the patch where it ends
EMPTY = 0.25  # of a batch, at most: patches that no letter ends in
SPARE = PATCH - 1  # pixels that a picture is larger than its cuts
CUTS = 3  # of each picture: its letters fall on patches otherwise in each
CONTRAST = 90.0  # of 255, between letters and what is behind them
BUSY = 30.0  # of 255: behind letters more spread asks for an outline
GREY = np.array([0.299, 0.587, 0.114], np.float32)


class Seen(NamedTuple):
    """Patches with what is around them, and the letters that end in each, the last one first."""

    patches: UInt8[np.ndarray, "P 32 32 3"]
    place: Int32[np.ndarray, "P 2"]
    letters: Int32[np.ndarray, "P 2"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Glyphs:
    """A face in one size: a mask a letter, empty where it has none. Pixels from the pen's place."""

    masks: tuple[UInt8[np.ndarray, "_ _"], ...]
    box: Int[np.ndarray, "letters 4"]  # left, top, right, bottom; up is negative
    wide: Float[np.ndarray, " letters"]  # to the next letter's place
    space: float


class Line(NamedTuple):
    """A mask and, in its pixels, where its letters stand: from `base` up, of which word."""

    mask: UInt8[np.ndarray, "h w"]
    base: int
    letters: Int[np.ndarray, " n"]
    word: Int[np.ndarray, " n"]
    ends: Float[np.ndarray, "n 2"]
    ink: Int[np.ndarray, "n 2"]  # top and bottom, from `base`


class Bent(NamedTuple):
    """How a line lies in a picture: `matrix` of pixels, `at` its middle on what it stands on."""

    matrix: Float[np.ndarray, "2 2"]
    at: Float[np.ndarray, " 2"]
    origin: Float[np.ndarray, " 2"]

    def of(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        return (points - self.origin) @ self.matrix.T + self.at


@lru_cache(maxsize=4096)
def glyphs(path: str, index: int, size: int) -> Glyphs:
    font = face(path, index, size)
    masks, boxes = [], []
    for letter in (*LETTERS, "\uffff"):  # the last: what a face draws for what it has not
        canvas = Image.new("L", (3 * size, 3 * size))
        ImageDraw.Draw(canvas).text((size, 2 * size), letter, 255, font, "ls")
        boxes.append(canvas.getbbox() or (size, 2 * size, size, 2 * size))
        masks.append(np.array(canvas.crop(boxes[-1])))
    missing = masks.pop()
    nothing = np.zeros((0, 0), np.uint8)
    return Glyphs(
        masks=tuple(nothing if np.array_equal(mask, missing) else mask for mask in masks),
        box=np.array(boxes[:-1]) - [size, 2 * size, size, 2 * size],
        wide=np.array([font.getlength(letter) for letter in LETTERS]),
        space=font.getlength(" "),
    )


_KINDS: tuple[tuple[float, str], ...] = (  # of words, up to which share
    (0.12, DIGITS),
    (0.22, LETTERS),
    (0.42, CAPITAL),
    (1.0, SMALL),
)
_POOLS = tuple((share, np.array([LETTERS.index(sign) for sign in pool])) for share, pool in _KINDS)


def word(rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """Classes of 1 to 13 letters that nobody can guess."""
    kind = rng.random()
    pool = next(pool for share, pool in _POOLS if kind < share)
    own = pool[rng.integers(0, len(pool), int(rng.integers(1, 13)))]
    if kind > CAPITALISED:
        own[0] += len(SMALL)
    if rng.random() < SIGNED:
        own = np.append(own, NONE - 1 - int(rng.integers(len(SIGNS))))
    return own


def is_of(own: Int[np.ndarray, " n"], evaluation: bool) -> bool:
    """Whether it is a word of that side, signs aside; signs alone are of both."""
    text = "".join(LETTERS[n] for n in own if LETTERS[n] not in SIGNS)
    return not text or held_out.word(text) == evaluation


def line(rng: np.random.Generator, drawn: Glyphs, room: float, evaluation: bool) -> Line | None:
    """As many words as `room` pixels hold, the last one cut; None where not even a letter is."""
    has = np.array([mask.size > 0 for mask in drawn.masks])
    space = (drawn.space or 4.0) * rng.uniform(0.8, 1.8)
    tight = space * max(0.0, rng.uniform(-0.3, 0.3))
    letters, number, pen = [], [], 0.0
    pens: list[np.ndarray] = []
    while pen < room:
        own = word(rng)
        own = own[has[own]]
        if not len(own):  # of what the face has not
            pen += space
            continue
        if not is_of(own, evaluation):
            continue
        ends = pen + np.cumsum(drawn.wide[own] + tight)
        starts = np.concatenate([[pen], ends[:-1]])
        fit = ends - tight <= room
        pen = float(ends[-1]) + space
        if fit.any() and is_of(own[fit], evaluation):
            letters.append(own[fit])
            pens.append(starts[fit])
            number.append(np.full(int(fit.sum()), len(number)))
    if not letters:
        return None
    own = np.concatenate(letters)
    return _set(drawn, own, np.concatenate(number), np.concatenate(pens))


def _set(drawn: Glyphs, own: np.ndarray, number: np.ndarray, pens: np.ndarray) -> Line:
    """The letters at their places, a pixel of room on all sides."""
    begin = np.rint(pens).astype(int)
    box = drawn.box[own] + np.stack([begin, np.zeros_like(begin)] * 2, 1)
    (left, top), (right, bottom) = box[:, :2].min(0) - 1, box[:, 2:].max(0) + 1
    mask = np.zeros((bottom - top, right - left), np.uint8)
    for n, (x, y, x_end, y_end) in zip(own.tolist(), (box - [left, top] * 2).tolist(), strict=True):
        here = mask[y:y_end, x:x_end]
        np.maximum(here, drawn.masks[n], out=here)
    ends = np.stack([pens, pens + drawn.wide[own]], 1) - left
    return Line(mask, -int(top), own, number, ends, drawn.box[own][:, 1::2])


class Drawn(NamedTuple):
    """A picture of so many patches with SPARE pixels each way, and the lines in it."""

    pixels: UInt8[np.ndarray, "H W 3"]
    rows: int
    columns: int
    lines: list[tuple[Line, Bent]]


def picture(art: Art, rng: np.random.Generator, evaluation: bool = False) -> Drawn:
    """Lines in one face on anything."""
    font = art.fonts[int(rng.integers(len(art.fonts)))]
    size = float(np.exp(rng.uniform(*np.log(SIZES))))
    drawn_in = next(drawn for drawn in DRAWN if drawn >= size)
    drawn = glyphs(font_path(art, font), font.index, drawn_in)
    columns = int(rng.integers(2 + int(size) // 8, COLUMNS + 1))
    leading = max(APART, size * rng.uniform(1.15, 1.6))
    many = int(rng.integers(1, 1 + min(LINES, max(1, int(128 / leading)))))
    rows = int(np.ceil((leading * many + rng.uniform(0, 10) + SPARE / 2) / PATCH))
    canvas = background(art, rng, rows * PATCH + SPARE, columns * PATCH + SPARE)
    stretch, slant = np.exp(rng.normal(0, 0.08)), rng.normal(0, 0.12) * (rng.random() < 0.4)
    angle = np.deg2rad(rng.normal(0, 1.2)) * (rng.random() < 0.4)
    scale = size / drawn_in
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ (scale * np.array([[stretch, -slant], [0.0, 1.0]]))
    height, width, _ = canvas.shape
    room = width - 2 * SPARE - 3  # in whatever cut
    lines, shift = [], rng.uniform(-1, 1)
    for n in range(many):
        made = line(rng, drawn, room / (scale * stretch), evaluation)
        if made is None:
            continue
        middle = height / 2 + leading * (n - (many - 1) / 2)
        high, wide = made.mask.shape
        spare = max(0.0, room - wide * scale * stretch) / 2
        at = np.array([width / 2 + shift * spare, middle + scale * (made.base - high / 2)])
        bent = Bent(matrix, at, np.array([wide / 2, float(made.base)]))
        write(canvas, rng, made.mask, bent)
        lines.append((made, bent))
    return Drawn(worn(canvas, rng), rows, columns, lines)


def cut(
    drawn: Drawn, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "H W 3"], Int32[np.ndarray, "P 2"]]:
    """A picture of whole patches, from anywhere within it, and what ends in each, as in `Seen`.

    Half of the time its negative.
    """
    left, top = rng.integers(0, SPARE + 1, 2).tolist()
    rows, columns = drawn.rows, drawn.columns
    pixels = drawn.pixels[top : top + rows * PATCH, left : left + columns * PATCH]
    found = [
        _ending(line, bent._replace(at=bent.at - (left, top)), rows, columns)
        for line, bent in drawn.lines
    ]
    return 255 - pixels if rng.random() < 0.5 else pixels, _letters(found, rows * columns)


def background(
    art: Art, rng: np.random.Generator, height: int, width: int
) -> Float32[np.ndarray, "H W 3"]:
    """Plain, a gradient, or part of a photograph; now and then with an icon on it."""
    kind = rng.random()
    if kind < 0.5 or (kind >= 0.75 and not art.photos):
        tone = rng.integers(0, 256, 3) if rng.random() < 0.6 else rng.choice([0, 255, 128, 240], 1)
        canvas = np.empty((height, width, 3), np.float32)
        canvas[:] = tone
    elif kind < 0.75:
        ends = rng.integers(0, 256, (2, 3)).astype(np.float32)
        across = rng.normal(0, 1, 2) / (width, height)
        ramp = np.arange(width)[None] * across[0] + np.arange(height)[:, None] * across[1]
        ramp = ((ramp - ramp.min()) / max(1e-6, float(np.ptp(ramp)))).astype(np.float32)
        canvas = ends[0] + (ends[1] - ends[0]) * ramp[..., None] * np.float32(rng.uniform(0.3, 1))
    else:
        photo = photo_image(art, art.photos[int(rng.integers(len(art.photos)))])
        high = rng.uniform(0.3, 1.0) * min(photo.height, photo.width * height / width)
        wide = high * width / height
        left, top = rng.uniform(0, photo.width - wide), rng.uniform(0, photo.height - high)
        box = left, top, left + wide, top + high
        part = photo.resize((width, height), Image.Resampling.BILINEAR, box)
        canvas = np.array(part, np.float32)
    if art.icons and rng.random() < 0.1:
        _with_icon(canvas, art, rng)
    return canvas


def _with_icon(canvas: Float32[np.ndarray, "H W 3"], art: Art, rng: np.random.Generator) -> None:
    height, width, _ = canvas.shape
    side = int(rng.integers(12, 1 + max(12, min(height, width))))
    icon = icon_image(art, art.icons[int(rng.integers(len(art.icons)))]).resize((side, side))
    top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
    drawn = np.asarray(icon, np.float32)
    here = canvas[top : top + side, left : left + side]
    here += (drawn[..., :3] - here) * (drawn[..., 3:] / 255)


def write(
    canvas: Float32[np.ndarray, "H W 3"],
    rng: np.random.Generator,
    mask: UInt8[np.ndarray, "h w"],
    bent: Bent,
) -> None:
    """Puts a line on the canvas in a colour that stands out, now and then on a board."""
    height, width, _ = canvas.shape
    high, wide = mask.shape
    corners = bent.of(np.array([[0.0, 0], [wide, 0], [0, high], [wide, high]]))
    low, most = corners.min(0), corners.max(0)
    top, bottom = max(0, int(low[1]) - 1), min(height, int(most[1]) + 2)
    left, right = max(0, int(low[0]) - 1), min(width, int(most[0]) + 2)
    if bottom <= top or right <= left:
        return
    back = np.linalg.inv(bent.matrix)
    offset = bent.origin - back @ (bent.at - (left, top))
    affine = (*back[0], offset[0], *back[1], offset[1])
    size = right - left, bottom - top
    laid = Image.fromarray(mask).transform(
        size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
    )
    here = canvas[top:bottom, left:right]
    if rng.random() < 0.15:
        here[:] = rng.integers(0, 256, 3)
    grey = here @ GREY
    mean, spread = float(grey.mean()), float(grey.std())
    colour = standing_out(rng, mean)
    if spread > BUSY or rng.random() < 0.05:
        edge = 0.0 if colour @ GREY > mean else 255.0
        around = np.asarray(laid.filter(ImageFilter.MaxFilter(3)), np.float32)[..., None] / 255
        here += (edge - here) * around
    here += (colour - here) * (np.asarray(laid, np.float32)[..., None] / 255)


def standing_out(rng: np.random.Generator, mean: float) -> Float32[np.ndarray, " 3"]:
    """A colour, CONTRAST lighter or darker than that grey."""
    options = rng.integers(0, 256, (12, 3)).astype(np.float32)
    if rng.random() < 0.3:
        options[:] = options[:, :1]
    far = np.flatnonzero(np.abs(options @ GREY - mean) >= CONTRAST)
    return options[far[0]] if len(far) else np.full(3, 255 * (mean < 128), np.float32)


def worn(
    canvas: Float32[np.ndarray, "H W 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "H W 3"]:
    """Half of the time blurred, noisy or saved as a bad JPEG."""
    kind = int(rng.integers(6))
    if kind == 0:
        canvas = canvas + rng.uniform(2, 14) * rng.standard_normal(canvas.shape, np.float32)
    pixels = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
    if kind == 1:
        blur = ImageFilter.GaussianBlur(float(rng.uniform(0.2, 0.8)))
        return np.array(Image.fromarray(pixels).filter(blur))
    if kind == 2:
        held = BytesIO()
        Image.fromarray(pixels).save(held, "JPEG", quality=int(rng.integers(35, 90)))
        return np.array(Image.open(held))
    return pixels


def _ending(made: Line, bent: Bent, rows: int, columns: int) -> list[tuple[int, int]]:
    """Of each letter the patch that it ends in, and its class or UNSEEN."""
    base = np.full(len(made.letters), float(made.base))
    start, end = (bent.of(np.stack([x, base], 1)) for x in made.ends.T)
    tall = bent.matrix[1, 1]
    starts = np.flatnonzero(np.diff(made.word, prepend=-1))
    count = np.diff([*starts, len(made.word)])
    lift = np.add.reduceat((start[:, 1] + end[:, 1]) / 2, starts) / count
    top = np.repeat(lift + tall * np.minimum.reduceat(made.ink[:, 0], starts), count)
    bottom = np.repeat(lift + tall * np.maximum.reduceat(made.ink[:, 1], starts), count)
    edges = np.arange(rows)[:, None] * PATCH
    shared = np.minimum(bottom, edges + PATCH) - np.maximum(top, edges)
    good = shared >= GOOD_PART * np.minimum(bottom - top, PATCH)
    row = np.where(good, np.arange(rows)[:, None], 0).max(0)
    column = np.clip((end[:, 0] - 0.5) // PATCH, 0, columns - 1).astype(int)

    def seen(low: np.ndarray, high: np.ndarray, patch: np.ndarray) -> np.ndarray:
        near, far = patch * PATCH - AROUND, (patch + 1) * PATCH + AROUND
        part = np.minimum(high, far) - np.maximum(low, near)
        return part >= ENOUGH * (high - low)

    ink = (start[:, 1:] + end[:, 1:]) / 2 + tall * made.ink
    clear = seen(start[:, 0], end[:, 0], column) & seen(ink[:, 0], ink[:, 1], row)
    kind = np.where(clear, made.letters, UNSEEN)
    return [*zip((row * columns + column).tolist(), kind.tolist(), strict=True)]


def _letters(lines: Sequence[list[tuple[int, int]]], patches: int) -> Int32[np.ndarray, "P 2"]:
    """The last two that end in each patch; UNSEEN where two lines meet, whose order is unclear."""
    found = np.full((patches, EACH), NONE, np.int32)
    owner = [-1] * patches
    for number, one in enumerate(lines):
        for patch, kind in one:
            if owner[patch] not in (-1, number):
                found[patch] = UNSEEN
                continue
            owner[patch] = number
            found[patch] = kind, found[patch, 0]
    return found


def batch(art: Art, rng: np.random.Generator, many: int, evaluation: bool = False) -> Seen:
    """`many` patches, in no order, at most EMPTY of them without a letter that ends there.

    RecipeError without fonts.
    """
    if not art.fonts:
        raise RecipeError("there are no fonts to draw with: pollux data prepare")
    kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    left, empty = many, int(EMPTY * many)
    drawn: list[Drawn] = []
    while left > 0:
        if not drawn:
            drawn = [picture(art, rng, evaluation)] * CUTS
        pixels, letters = cut(drawn.pop(), rng)
        ends = np.flatnonzero((letters[:, 0] != NONE) & (letters[:, 0] != UNSEEN))
        nothing = np.flatnonzero(letters[:, 0] == NONE)
        share = min(empty, int(len(ends) * EMPTY / (1 - EMPTY)) + 1, len(nothing))
        chosen = np.append(ends, rng.permutation(nothing)[:share])[:left]
        patches, place = patches_of(pixels)
        kept.append((patches[chosen], place[chosen], letters[chosen]))
        left, empty = left - len(chosen), empty - share
    shuffled = rng.permutation(many)
    whole = (np.concatenate(arrays)[shuffled] for arrays in zip(*kept, strict=True))
    return Seen(*whole)
