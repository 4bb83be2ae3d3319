# SPDX-License-Identifier: Apache-2.0
"""Examples drawn so that a person can look at them: contact sheets, film strips, spectrograms."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageDraw

from pollux.data.art import face, plain_face
from pollux.data.pictures import Pixels
from pollux.data.scene import Event, Mark, Scene
from pollux.media.mel import BINS, FLOOR
from pollux.media.piece import Picture, Sound, clock
from pollux.media.resolution import PATCH

ENLARGED = 2
COLUMNS = 4  # of a contact sheet
FRAMES = 6  # of a film, side by side
LINE = 900  # frames of sound in a line, 10 ms each
TEXT = 13  # pixels
GREY, RED = (90, 90, 90), (220, 40, 40)


def contact_sheet(
    pictures: Sequence[Pixels], grid: bool = False, label: str | None = None
) -> Image.Image:
    """Pictures with what is on them below; with `grid` the patches of every letter are framed.

    `label`: the font for what is below.
    """
    cards = [_card(picture, grid, label or plain_face()) for picture in pictures]
    width = max(card.width for card in cards) + 8
    rows = [cards[n : n + COLUMNS] for n in range(0, len(cards), COLUMNS)]
    heights = [max(card.height for card in row) + 8 for row in rows]
    sheet = Image.new("RGB", (width * min(COLUMNS, len(cards)), sum(heights)), "white")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for n, card in enumerate(row):
            sheet.paste(card, (n * width + 4, top + 4))
        top += height
    return sheet


def _card(picture: Pixels, grid: bool, label: str) -> Image.Image:
    image = _enlarged(picture.pixels)
    if grid:
        columns = picture.pixels.shape[1] // PATCH
        for mark in picture.marks:
            for start, end in {*mark.spans}:
                _frame(ImageDraw.Draw(image), start, end, columns)
    lines = [f"{mark.kind}: {mark.text}" for mark in picture.marks]
    font = face(label, 0, TEXT)
    wide = max([image.width, *(int(font.getlength(line)) + 4 for line in lines)])
    card = Image.new("RGB", (wide, image.height + len(lines) * (TEXT + 4)), "white")
    card.paste(image)
    for n, line in enumerate(lines):
        at = 2, image.height + n * (TEXT + 4)
        ImageDraw.Draw(card).text(at, line, GREY, font)
    return card


def _frame(draw: ImageDraw.ImageDraw, start: int, end: int, columns: int) -> None:
    step = PATCH * ENLARGED
    (row, left), (last, right) = divmod(start, columns), divmod(end - 1, columns)
    box = left * step, row * step, (right + 1) * step - 1, (last + 1) * step - 1
    draw.rectangle((min(box[0], box[2]), box[1], max(box[0], box[2]), box[3]), outline=RED)


def strip(scene: Scene, label: str) -> Image.Image:
    """A film's frames above their seconds' sound, or a line for each recording; what is in it."""
    columns: list[list[Image.Image]] = []
    for piece in scene.pieces:
        if isinstance(piece, Picture):
            columns.append([_enlarged(piece.pixels)])
        elif isinstance(piece, Sound) and scene.genre == "film":
            columns[-1].append(spectrogram(piece.mel))
    rows = [columns[n : n + FRAMES] for n in range(0, len(columns), FRAMES)]
    if scene.genre != "film":
        rows = [[[spectrogram(mel)]] for mel in _sounds(scene)]
    lines = [_told(event) for event in scene.events]
    width = max(*(sum(_width(c) for c in row) for row in rows), 640)
    heights = [max(sum(i.height for i in c) for c in row) + 6 for row in rows]
    sheet = Image.new("RGB", (width, sum(heights) + len(lines) * (TEXT + 4)), "white")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for column in row:
            at = top
            for image in column:
                sheet.paste(image, (left, at))
                at += image.height
            left += _width(column)
        top += height
    for n, line in enumerate(lines):
        ImageDraw.Draw(sheet).text((4, top + n * (TEXT + 4)), line, GREY, face(label, 0, TEXT))
    return sheet


def _sounds(scene: Scene) -> list[np.ndarray]:
    """The frames of each part, at most LINE of them in one."""
    found: list[list[np.ndarray]] = []
    for piece in scene.pieces:
        if isinstance(piece, Sound):
            found[-1].append(piece.mel)
        else:
            found.append([])
    parts = [np.concatenate(mels) for mels in found if mels]
    return [part[n : n + LINE] for part in parts for n in range(0, len(part), LINE)]


def _told(event: Event) -> str:
    when = "" if event.seconds is None else f"{clock(event.seconds)}  "
    return f"{when}{event.kind}: {event.text}  [{event.name}]"


def _width(column: Sequence[Image.Image]) -> int:
    return max(image.width for image in column) + 4


def spectrogram(mel: Float32[np.ndarray, f"T {BINS}"]) -> Image.Image:
    """Time to the right, a pixel a frame; low tones below; loud is bright."""
    low = np.log(FLOOR)
    grey = np.clip((mel.T[::-1] - low) / (2 - low) * 255, 0, 255).astype(np.uint8)
    return Image.fromarray(grey).resize((len(mel) * ENLARGED, BINS * ENLARGED))


def of_scene(scene: Scene, label: str | None = None) -> Image.Image:
    """A contact sheet of its pictures, or a strip of film and sound."""
    if scene.genre != "pictures":
        return strip(scene, label or plain_face())
    found: list[Pixels] = []
    for n, piece in enumerate(scene.pieces):
        if isinstance(piece, Picture):
            own = [event for event in scene.events if event.first.piece == n]
            marks = tuple(_mark(event) for event in own)
            found.append(Pixels(piece.pixels, marks))
    return contact_sheet(found, grid=True, label=label)


def _mark(event: Event) -> Mark:
    spans = tuple((place.start, place.end) for place in event.places)
    return Mark(event.kind, event.text, spans)


def _enlarged(pixels: UInt8[np.ndarray, "H W 3"]) -> Image.Image:
    image = Image.fromarray(pixels)
    return image.resize((image.width * ENLARGED, image.height * ENLARGED), Image.Resampling.NEAREST)
