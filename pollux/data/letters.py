# SPDX-License-Identifier: Apache-2.0
"""Letters by the million: what a spotter is trained on.

`pictures` draws some hundreds of letters a second, as people would see them. Here the letters of a
face are drawn once, in a few sizes; lines are put together of them and bent to any size by one call
each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int, Int32, UInt8
from PIL import Image, ImageDraw, ImageFilter

from pollux.config import CELL, LETTERS, NOTHING, SPACE
from pollux.data import held_out
from pollux.data.art import Art, Font, face, font_path, icon_image, photo_image
from pollux.errors import RecipeError
from pollux.media.piece import GREY, light_of

SMALL, CAPITAL, DIGITS, SIGNS = LETTERS[:26], LETTERS[26:52], LETTERS[52:62], LETTERS[62:]
UNKNOWN = -1  # of a cell: it may be taken for one thing or the other
FOLDED = np.array([LETTERS.index(sign.lower()) for sign in LETTERS])  # case aside
DRAWN = 12, 16, 22, 30, 40, 54  # sizes that faces are drawn in; any other is bent from the next
OWN = 13.0, 30.0  # pixels, of letters to be spotted;
FITTING = 0.86  # of the lines have those. The others are nothing:
LARGE, SMALL_SIZES = (42.0, 80.0), (5.0, 8.0)
CHANGED = 0.35  # of the lines have another face and size than the one above
FANCY, PLAIN = "aenigma", 0.65  # faces of that package; share of lines in others
ASCENT, MIDDLE = 0.95, 0.33  # of the size: from the top to the base, from there to the middle
CAPITALISED, SIGNED = 0.75, 0.15  # words from that draw on; share of words
REAL, SPOKEN = 0.3, 0.3  # of words of letters: shares of real ones, and of those with vowels
VOWELS = np.array([SMALL.index(letter) for letter in "aeiou"])
ICONS = 0.5  # that there is one, or one more, behind letters
CONTRAST = 90.0  # of 255, between letters and what is behind them
BUSY = 30.0  # of 255: behind letters more spread asks for an outline


class Pages(NamedTuple):
    """Pictures in grey, and of each cell what a spotter is to say, as `page` has it."""

    grey: Any  # UInt8 [N, H, W], in NumPy or on the device
    cells: Any  # Int32 [N, h, w]


@dataclass(frozen=True, kw_only=True, eq=False)
class Glyphs:
    """A face in one size: a mask a letter, empty where it has none. Pixels from the pen's place."""

    masks: tuple[UInt8[np.ndarray, "_ _"], ...]
    box: Int[np.ndarray, "letters 4"]  # left, top, right, bottom; up is negative
    wide: Float[np.ndarray, " letters"]  # to the next letter's place
    space: float


class Line(NamedTuple):
    """A mask and, in its pixels, where its letters stand: on `base`, of which word."""

    mask: UInt8[np.ndarray, "h w"]
    base: int
    letters: Int[np.ndarray, " n"]
    word: Int[np.ndarray, " n"]
    ends: Float[np.ndarray, "n 2"]


class Stood(NamedTuple):
    """A line as it stands on a page, in pixels: its letters and spaces from left to right."""

    size: float  # of the font
    kind: Int[np.ndarray, " n"]
    middle: Float[np.ndarray, "n 2"]
    left: Float[np.ndarray, " n"]  # where each begins,
    right: Float[np.ndarray, " n"]  # and ends

    @property
    def is_own(self) -> bool:
        """Whether its letters are to be spotted."""
        return OWN[0] <= self.size <= OWN[1]


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
UNWORDED = _KINDS[1][0]
_POOLS = tuple((share, np.array([LETTERS.index(sign) for sign in pool])) for share, pool in _KINDS)


def word(rng: np.random.Generator, real: Sequence[str]) -> Int[np.ndarray, " n"]:
    """Classes of 1 to 13 letters that nobody can guess, or of one of the `real` words."""
    kind, sort = rng.random(), rng.random()
    pool = next(pool for share, pool in _POOLS if kind < share)
    own = pool[rng.integers(0, len(pool), int(rng.integers(1, 13)))]
    if kind > UNWORDED and sort < REAL and real:
        text = real[int(rng.integers(len(real)))]
        own = np.array([SMALL.index(letter) for letter in text]) + pool[0]
    elif kind > UNWORDED and sort < REAL + SPOKEN:
        own[1::2] = VOWELS[rng.integers(0, len(VOWELS), len(own) // 2)] + pool[0]
    if kind > CAPITALISED:
        own[0] += len(SMALL)
    if rng.random() < SIGNED:
        own = np.append(own, SPACE - 1 - int(rng.integers(len(SIGNS))))
    return own


def is_of(own: Int[np.ndarray, " n"], evaluation: bool) -> bool:
    """Whether it is a word of that side, signs aside; signs alone are of both."""
    text = "".join(LETTERS[n] for n in own if LETTERS[n] not in SIGNS)
    return not text or held_out.word(text) == evaluation


def line(
    rng: np.random.Generator,
    drawn: Glyphs,
    room: float,
    evaluation: bool,
    real: Sequence[str] = (),
) -> Line | None:
    """As many words as `room` pixels hold, the last one cut; None where not even a letter is."""
    has = np.array([mask.size > 0 for mask in drawn.masks])
    space = (drawn.space or 4.0) * rng.uniform(0.8, 1.8)
    tight = space * max(0.0, rng.uniform(-0.3, 0.3))
    letters, number, pen = [], [], 0.0
    pens: list[np.ndarray] = []
    while pen < room:
        own = word(rng, real)
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
    return Line(mask, -int(top), own, number, ends)


def page(
    art: Art, rng: np.random.Generator, height: int, width: int, evaluation: bool = False
) -> tuple[UInt8[np.ndarray, "H W 3"], Int32[np.ndarray, "h w"]]:
    """Lines in several faces on anything, and what a spotter is to say of each cell.

    That is a letter's class, SPACE, NOTHING, or UNKNOWN above and below a letter's middle. Letters
    far from its own size are nothing.
    """
    pixels, lines = lettered(art, rng, height, width, evaluation)
    cells = np.full((height // CELL[0], width // CELL[1]), NOTHING, np.int32)
    for said in lines:
        if said.is_own:
            _mark(cells, said)
    return pixels, cells


def lettered(
    art: Art, rng: np.random.Generator, height: int, width: int, evaluation: bool = False
) -> tuple[UInt8[np.ndarray, "H W 3"], list[Stood]]:
    """Lines in several faces and sizes on anything. Half of the time it is a negative."""
    canvas = background(art, rng, height, width)
    lines: list[Stood] = []
    top, font, size = rng.uniform(-4, 8), face_of(art, rng), size_of(rng)
    while top < height - 8:
        if rng.random() < CHANGED:
            font, size = face_of(art, rng), size_of(rng)
        left = rng.uniform(0, width * 0.6) if rng.random() < 0.35 else rng.uniform(0, 8)
        room = rng.uniform(0.4, 1.0) * (width - left) - 2
        if room > size and top + size < height + 2:
            said = _written(art, rng, canvas, font, size, (left, top, room), evaluation)
            lines += [said] if said else []
        top += size * rng.uniform(1.05, 1.5)
    pixels = worn(canvas, rng)
    return (255 - pixels if rng.random() < 0.5 else pixels), lines


def face_of(art: Art, rng: np.random.Generator) -> Font:
    """Mostly one as books and signs have it: there are more of the others."""
    plain = [font for font in art.fonts if FANCY not in font.file]
    fonts = plain if plain and rng.random() < PLAIN else art.fonts
    return fonts[int(rng.integers(len(fonts)))]


def size_of(rng: np.random.Generator) -> float:
    """Of letters, in pixels."""
    kind = rng.random()
    if kind < FITTING:
        return float(np.exp(rng.uniform(*np.log(OWN))))
    return float(rng.uniform(*(LARGE if kind < (1 + FITTING) / 2 else SMALL_SIZES)))


def _written(
    art: Art,
    rng: np.random.Generator,
    canvas: Float32[np.ndarray, "H W 3"],
    font: Font,
    size: float,
    where: tuple[float, float, float],
    evaluation: bool,
) -> Stood | None:
    """A line at `where`: left, top and room."""
    left, top, room = where
    drawn_in = next((drawn for drawn in DRAWN if drawn >= size), DRAWN[-1])
    drawn = glyphs(font_path(art, font), font.index, drawn_in)
    stretch, slant = np.exp(rng.normal(0, 0.08)), rng.normal(0, 0.12) * (rng.random() < 0.3)
    angle = np.deg2rad(rng.normal(0, 1.0)) * (rng.random() < 0.3)
    scale = size / drawn_in
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ (scale * np.array([[stretch, -slant], [0.0, 1.0]]))
    made = line(rng, drawn, room / (scale * stretch), evaluation, art.words)
    if made is None:
        return None
    at = np.array([left, top + ASCENT * size])
    bent = Bent(matrix, at, np.array([0.0, float(made.base)]))
    write(canvas, rng, made.mask, bent)
    gaps = np.flatnonzero(np.diff(made.word))
    between = np.stack([made.ends[gaps, 1], made.ends[gaps + 1, 0]], 1)
    ends = np.concatenate([made.ends, between])
    kind = np.append(made.letters, np.full(len(gaps), SPACE))
    order = np.argsort(ends.mean(1))
    high = np.full(len(ends), made.base - MIDDLE * drawn_in)
    left, middle, right = (
        bent.of(np.stack([across[order], high], 1))
        for across in (ends[:, 0], ends.mean(1), ends[:, 1])
    )
    return Stood(size, kind[order], middle, left[:, 0], right[:, 0])


def _mark(cells: Int32[np.ndarray, "h w"], said: Stood) -> None:
    (rows, columns), middle = cells.shape, said.middle
    row, column = (middle[:, 1] // CELL[0]).astype(int), (middle[:, 0] // CELL[1]).astype(int)
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    row, column = row[inside], column[inside]
    for beside in (-1, 1):  # a line's middle may lie on the edge of a cell
        for near in (-1, 0, 1):
            r, c = row + beside, column + near
            there = (r >= 0) & (r < rows) & (c >= 0) & (c < columns)
            r, c = r[there], c[there]
            cells[r, c] = np.where(cells[r, c] == NOTHING, UNKNOWN, cells[r, c])
    cells[row, column] = said.kind[inside]


def background(
    art: Art, rng: np.random.Generator, height: int, width: int
) -> Float32[np.ndarray, "H W 3"]:
    """Plain, a gradient, or part of a photograph; half of the time with icons on it."""
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
    while art.icons and rng.random() < ICONS:
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


def batch(
    art: Art,
    rng: np.random.Generator,
    pages: int,
    height: int,
    width: int,
    evaluation: bool = False,
) -> Pages:
    """RecipeError without fonts."""
    if not art.fonts:
        raise RecipeError("there are no fonts to draw with: pollux data prepare")
    drawn = [page(art, rng, height, width, evaluation) for _ in range(pages)]
    grey = np.stack([light_of(pixels) for pixels, _ in drawn])
    return Pages(grey, np.stack([cells for _, cells in drawn]))
