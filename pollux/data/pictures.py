# SPDX-License-Identifier: Apache-2.0
"""Pictures with words on them and icons to be named, and where on them each letter is.

Everything is drawn larger and scaled down, as what people send is. Sides are whole patches, as many
as the middle resolution of `media.resolution` has at most.
"""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from pollux.data import held_out
from pollux.data.art import Art, Font, Icon, face, font_path, icon_image, photo_image
from pollux.data.facts import Vocabulary
from pollux.data.scene import Mark
from pollux.errors import RecipeError
from pollux.media.resolution import PATCH, PATCHES

SCALE = 2  # as large as what is drawn
PATCHES_MOST = PATCHES["medium"]
SIZES = 11, 40  # of letters, in pixels of the finished picture
CONTRAST = 110  # of 255, between letters and what is behind them
SPREAD = 30.0  # of 255: behind letters more of it asks for an outline
Number = int | float
COLOUR = tuple[int, int, int]
CHINESE = 0.15  # of words, where a face has them


class Pixels(NamedTuple):
    """A picture and what is on it."""

    pixels: UInt8[np.ndarray, "H W 3"]
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Box:
    """Of what was drawn, in pixels of the finished picture."""

    left: Number
    top: Number
    right: Number
    bottom: Number


def words_to_draw(
    vocabulary: Vocabulary, rng: np.random.Generator, evaluation: bool, chinese: bool = False
) -> str:
    """One word of 3 to 12 letters, real or made up, sometimes a number; or two to four of Han."""
    if chinese:
        return vocabulary.pick(rng, vocabulary.chinese) + (
            vocabulary.pick(rng, vocabulary.chinese) if rng.random() < 0.4 else ""
        )
    match rng.integers(10):
        case 0 | 1 | 2:
            text = made_up(rng, evaluation)
        case 3:
            return vocabulary.digits(rng, int(rng.integers(2, 7)))
        case 4 | 5:
            text = vocabulary.pick(rng, vocabulary.names)
        case _:
            text = vocabulary.pick(rng, vocabulary.lower)
    match rng.integers(8):
        case 0:
            return text.upper()
        case 1 | 2:
            return text[0].upper() + text[1:]
        case _:
            return text


def made_up(rng: np.random.Generator, evaluation: bool) -> str:
    """3 to 12 letters that nobody can guess, half of the time to be pronounced."""
    while True:
        letters = rng.choice([*"abcdefghijklmnopqrstuvwxyz"], int(rng.integers(3, 13)))
        if rng.random() < 0.5:
            vowels = letters[int(rng.integers(2)) :: 2]
            vowels[:] = rng.choice([*"aeiou"], len(vowels))
        text = "".join(letters)
        if held_out.word(text) == evaluation:
            return text


def word_picture(
    art: Art, vocabulary: Vocabulary, rng: np.random.Generator, evaluation: bool = False
) -> Pixels:
    """A word or two, on anything."""
    font = _font(art, rng)
    lines = [_words(font, vocabulary, rng, evaluation) for _ in range(1 + (rng.random() < 0.25))]
    return lettered(art, rng, font, lines, kind="plain")


def sign(
    art: Art, vocabulary: Vocabulary, rng: np.random.Generator, evaluation: bool = False
) -> Pixels:
    """One to three lines on a board in front of something."""
    font = _font(art, rng)
    lines = [_words(font, vocabulary, rng, evaluation) for _ in range(rng.integers(1, 4))]
    return lettered(art, rng, font, lines, kind="board")


def title_card(
    art: Art, vocabulary: Vocabulary, rng: np.random.Generator, evaluation: bool = False
) -> Pixels:
    """One to three lines of one or two words, light on dark, as between the scenes of a film."""
    font = _font(art, rng)
    lines = [
        " ".join(
            _words(font, vocabulary, rng, evaluation)
            for _ in range(1 if font.chinese else rng.integers(1, 3))
        )
        for _ in range(rng.integers(1, 4))
    ]
    return lettered(art, rng, font, lines, kind="card")


def icon_picture(
    art: Art, vocabulary: Vocabulary, rng: np.random.Generator, evaluation: bool = False
) -> Pixels:
    """An icon, sometimes with its name or another word below it. RecipeError without icons."""
    if not art.icons:
        raise RecipeError("there are no icons: pollux data prepare")
    icon = art.icons[int(rng.integers(len(art.icons)))]
    columns, rows = int(rng.integers(4, 9)), int(rng.integers(4, 9))
    canvas = background(art, rng, columns, rows)
    width, height = columns * PATCH, rows * PATCH
    captioned = rng.random() < 0.3
    room = height - 20 if captioned else height
    side = rng.uniform(0.55, 1.0) * min(width, room)
    centre = (
        width / 2 + rng.uniform(-1, 1) * (width - side) / 2,
        side / 2 + rng.uniform(0, 1) * (room - side),
    )
    marks = [place_icon(canvas, art, icon, rng, centre, side)]
    if captioned:
        font = _font(art, rng)
        text = icon.name if rng.random() < 0.5 else _words(font, vocabulary, rng, evaluation)
        size = fitting(art, font, text, 13, width - 6)
        marks.append(centred(canvas, art, rng, font, text, size, height - 11))
    return Pixels(finished(canvas, rng), tuple(marks))


def lettered(
    art: Art,
    rng: np.random.Generator,
    font: Font,
    lines: Sequence[str],
    kind: Literal["plain", "board", "card"],
) -> Pixels:
    """Lines below one another, as large as there is room for."""
    size = int(rng.integers(*SIZES))
    margin = rng.uniform(6, 40, 2) if kind == "card" else rng.uniform(6, 24, 2)
    while True:
        leading = size * rng.uniform(1.1, 1.5)
        wide = max(_width(art, font, line, size) for line in lines)
        columns = max(2, int(np.ceil((wide + margin[0]) / PATCH)))
        rows = max(1, int(np.ceil((leading * len(lines) + margin[1]) / PATCH)))
        if columns * rows <= PATCHES_MOST:
            break
        if size > 9:
            size -= 1
        else:
            margin, lines = margin / 2, lines[: max(1, len(lines) - 1)]
            if margin.max() < 0.5:
                lines = [lines[0][:8]]
    canvas = background(art, rng, columns, rows, dark=kind == "card", plain=kind == "card")
    middle = rows * PATCH / 2
    if kind == "board":
        tall = min(rows * PATCH - 2, leading * len(lines) + 8)
        _board(canvas, rng, wide + 12, tall, middle)
    angle, shift = (rng.normal(0, 1.5), 0.4) if kind == "plain" else (0.0, 0.04)
    first = middle - leading * (len(lines) - 1) / 2
    marks = tuple(
        centred(canvas, art, rng, font, line, size, first + n * leading, angle, shift)
        for n, line in enumerate(lines)
    )
    return Pixels(finished(canvas, rng), marks)


def background(
    art: Art,
    rng: np.random.Generator,
    columns: int,
    rows: int,
    dark: bool = False,
    plain: bool = False,
) -> Image.Image:
    """Plain, a gradient, or part of a photograph; SCALE times the finished size."""
    size = columns * PATCH * SCALE, rows * PATCH * SCALE
    highest = 70 if dark else 256
    kind = rng.random()
    if plain or kind < 0.4:
        base = rng.integers(0, highest, 3) if rng.random() < 0.6 else [rng.integers(highest)] * 3
        return Image.new("RGB", size, tuple(int(c) for c in base))
    if kind < 0.7 or not art.photos:
        ends = rng.integers(0, highest, (2, 3))
        along = np.linspace(0, 1, 64)[:, None] * rng.uniform(0.4, 1)
        ramp = ends[0] + (ends[1] - ends[0]) * along
        strip = np.broadcast_to(ramp[:, None], (64, 64, 3)).astype(np.uint8)
        image = Image.fromarray(np.ascontiguousarray(strip))
        return image.rotate(90 * int(rng.integers(4))).resize(size, Image.Resampling.BILINEAR)
    photo = photo_image(art, art.photos[int(rng.integers(len(art.photos)))])
    share = rng.uniform(0.3, 1.0)
    aspect = size[0] / size[1]
    high = share * min(photo.height, photo.width / aspect)
    wide = high * aspect
    left, top = rng.uniform(0, photo.width - wide), rng.uniform(0, photo.height - high)
    box = left, top, left + wide, top + high
    return photo.resize(size, Image.Resampling.BICUBIC, box)


def centred(
    canvas: Image.Image,
    art: Art,
    rng: np.random.Generator,
    font: Font,
    text: str,
    size: int,
    middle: Number,
    angle: Number = 0.0,
    shift: Number = 0.4,
) -> Mark:
    """A line with its middle at that height, in a colour that stands out.

    `angle` in degrees; `shift`: how far it may be from the centre, 0.5 being all the way.
    """
    width = canvas.width / SCALE
    wide = _width(art, font, text, size)
    left = (width - wide) / 2 + rng.uniform(-shift, shift) * max(0.0, width - wide - 4)
    loaded = face(font_path(art, font), font.index, size * SCALE)
    top, bottom = _extent(loaded, text)
    box = Box(left, middle - (bottom - top) / 2, left + wide, middle + (bottom - top) / 2)
    colour, outline = _standing_out(canvas, rng, box)
    return written(
        canvas, loaded, text, (left, box.top - top), colour, outline, angle, font.chinese
    )


def written(
    canvas: Image.Image,
    font: ImageFont.FreeTypeFont,
    text: str,
    at: tuple[Number, Number],
    colour: COLOUR,
    outline: COLOUR | None,
    angle: Number,
    chinese: bool,
) -> Mark:
    """Draws a line from `at`, the left end of what it stands on, and says where each letter is."""
    start = at[0] * SCALE, at[1] * SCALE
    mask = Image.new("L", canvas.size)
    ImageDraw.Draw(mask).text(start, text, 255, font, "ls")
    ends = np.array([font.getlength(text[:n]) for n in range(len(text) + 1)])
    top, bottom = _extent(font, text)
    middle = start[0] + ends[-1] / 2, start[1] + (top + bottom) / 2 * SCALE
    if angle:
        mask = mask.rotate(angle, Image.Resampling.BICUBIC, center=middle)
    if outline is not None:
        canvas.paste(outline, mask=mask.filter(ImageFilter.MaxFilter(3)))
    canvas.paste(colour, mask=mask)
    turn = np.deg2rad(-angle)
    along = (start[0] + ends - middle[0]) / SCALE
    x = middle[0] / SCALE + along * np.cos(turn)
    y = middle[1] / SCALE + along * np.sin(turn)
    columns, rows = (side // (PATCH * SCALE) for side in canvas.size)
    spans: list[tuple[int, int]] = []
    for word in _runs(text):
        tall = _extent(font, text[word.start : word.stop])
        lift = float(y[word.start : word.stop + 1].mean()) - (top + bottom) / 2
        row = _row(lift + tall[0], lift + tall[1], rows)
        for n in word:
            low = int(np.clip(x[n] // PATCH, 0, columns - 1))
            high = int(np.clip((x[n + 1] - 0.5) // PATCH, low, columns - 1))
            spans.append((row * columns + low, row * columns + high + 1))
    return Mark("written", text, tuple(spans), chinese)


def _runs(text: str) -> list[range]:
    """Each word with the space behind it."""
    starts = [0, *(n + 1 for n, sign in enumerate(text[:-1]) if sign == " ")]
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]


def _row(top: Number, bottom: Number, rows: int) -> int:
    """The last row of patches with a good part of the letters: there all of them was read."""
    found = 0
    for row in range(rows):
        shared = min(bottom, (row + 1) * PATCH) - max(top, row * PATCH)
        if shared >= 0.3 * min(bottom - top, PATCH):
            found = row
    return found


def _extent(font: ImageFont.FreeTypeFont, text: str) -> tuple[Number, Number]:
    """Top and bottom from the line that letters stand on, in pixels of the finished picture."""
    _, top, _, bottom = font.getbbox(text, anchor="ls")
    return top / SCALE, bottom / SCALE


def _width(art: Art, font: Font, text: str, size: int) -> float:
    return face(font_path(art, font), font.index, size * SCALE).getlength(text) / SCALE


def fitting(art: Art, font: Font, text: str, size: int, room: Number) -> int:
    """`size`, or as much less as the text needs to be no longer than `room`; 7 at least."""
    while size > 7 and _width(art, font, text, size) > room:
        size -= 1
    return size


def _standing_out(
    canvas: Image.Image, rng: np.random.Generator, box: Box
) -> tuple[COLOUR, COLOUR | None]:
    """A colour for letters, and one for their outline where much is going on behind them."""
    right, bottom = max(box.left + 1, box.right), max(box.top + 1, box.bottom)
    corners = box.left * SCALE, box.top * SCALE, right * SCALE, bottom * SCALE
    behind = np.asarray(canvas.crop(corners).convert("L"), np.float32)
    mean, spread = float(behind.mean()), float(behind.std())
    light = mean < 128 if abs(mean - 128) > 128 - CONTRAST else rng.random() < 0.5
    for _ in range(20):
        colour = rng.integers(120, 256, 3) if light else rng.integers(0, 136, 3)
        bright = float(colour @ (0.299, 0.587, 0.114))
        if abs(bright - mean) >= CONTRAST:
            break
    else:
        colour = np.full(3, 255 if mean < 128 else 0)
        light = mean < 128
    busy = spread > SPREAD or rng.random() < 0.05
    edge = (0, 0, 0) if light else (255, 255, 255)
    return (int(colour[0]), int(colour[1]), int(colour[2])), edge if busy else None


def _board(
    canvas: Image.Image, rng: np.random.Generator, wide: Number, tall: Number, middle: Number
):
    width = canvas.width / SCALE
    left = max(1.0, (width - wide) / 2)
    box = [c * SCALE for c in (left, middle - tall / 2, width - left, middle + tall / 2)]
    fill, edge = (tuple(int(c) for c in rng.integers(0, 256, 3)) for _ in range(2))
    radius = int(rng.integers(0, 8)) * SCALE
    ImageDraw.Draw(canvas).rounded_rectangle(
        box, radius, fill, edge, width=int(rng.integers(0, 3)) * SCALE
    )


def place_icon(
    canvas: Image.Image,
    art: Art,
    icon: Icon,
    rng: np.random.Generator,
    centre: tuple[Number, Number],
    side: Number,
) -> Mark:
    """Draws an icon, its longer side so many pixels; an outline in a colour that stands out."""
    drawn = icon_image(art, icon)
    ratio = side * SCALE / max(drawn.size)
    size = max(1, round(drawn.width * ratio)), max(1, round(drawn.height * ratio))
    drawn = drawn.resize(size, Image.Resampling.BICUBIC)
    left, top = (round(c * SCALE - s / 2) for c, s in zip(centre, size, strict=True))
    box = Box(left / SCALE, top / SCALE, (left + size[0]) / SCALE, (top + size[1]) / SCALE)
    alpha = drawn.getchannel("A")
    if icon.outline:
        canvas.paste(_standing_out(canvas, rng, box)[0], (left, top), alpha)
    else:
        canvas.paste(drawn.convert("RGB"), (left, top), alpha)
    columns, rows = (s // (PATCH * SCALE) for s in canvas.size)

    def patch(at: Number, most: int) -> int:
        return int(np.clip(at // PATCH, 0, most - 1))

    first = patch(box.top, rows) * columns + patch(box.left, columns)
    last = patch(box.bottom - 1, rows) * columns + patch(box.right - 1, columns)
    return Mark("shown", icon.name, ((first, last + 1),))


def finished(
    canvas: Image.Image, rng: np.random.Generator, worn: Number = 0.5
) -> UInt8[np.ndarray, "H W 3"]:
    """Scaled down, and as often as `worn` blurred, noisy or saved as a bad JPEG."""
    size = canvas.width // SCALE, canvas.height // SCALE
    image = canvas.resize(size, Image.Resampling.BICUBIC)
    if rng.random() > worn:
        return np.array(image)
    match rng.integers(3):
        case 0:
            image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 0.7))))
        case 1:
            noise = rng.normal(0, rng.uniform(2, 12), (size[1], size[0], 3))
            return np.clip(np.array(image) + noise, 0, 255).astype(np.uint8)
        case _:
            held = io.BytesIO()
            image.save(held, "JPEG", quality=int(rng.integers(35, 90)))
            image = Image.open(held).convert("RGB")
    return np.array(image)


def _font(art: Art, rng: np.random.Generator) -> Font:
    """One with Chinese now and then, else any other."""
    chinese = [font for font in art.fonts if font.chinese]
    if chinese and rng.random() < CHINESE:
        return chinese[int(rng.integers(len(chinese)))]
    return any_font(art, rng)


def any_font(art: Art, rng: np.random.Generator) -> Font:
    """For English. A package with a hundred times the faces comes ten times as often."""
    packages = [font.file.rsplit("-", 1)[0] for font in art.fonts]
    count = Counter(packages)
    likely = np.array([count[package] ** -0.5 for package in packages])
    return art.fonts[int(rng.choice(len(packages), p=likely / likely.sum()))]


def _words(font: Font, vocabulary: Vocabulary, rng: np.random.Generator, evaluation: bool) -> str:
    chinese = font.chinese and rng.random() < 0.8
    return words_to_draw(vocabulary, rng, evaluation, chinese)
