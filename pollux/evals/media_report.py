# SPDX-License-Identifier: Apache-2.0
"""Rows of `pollux eval media` as a table, and sheets of what was seen and heard."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from pollux.data import sheets
from pollux.data.art import face, plain_face
from pollux.evals import media
from pollux.evals.media import Case
from pollux.evals.score import Score
from pollux.media.piece import Picture, Sound

HEADS = ("", "trials", "right", "CER", "WER", f"among {media.BEST}")
SHOWN = 24  # trials of a row on its sheet
NARROW = 30  # characters of an answer below a picture
FRAMES = 400  # of a recording on a sheet, 10 ms each, around what is asked for


def line(row: dict[str, Any]) -> list[str]:
    """A row of the table, as HEADS has it."""
    among = Score(row["among"], row["count"]) if "among" in row else ""
    return [
        row["row"],
        f"{row['count']:,}",
        str(Score(row["right"], row["count"])),
        *(_rate(row, rate) for rate in ("cer", "wer")),
        str(among),
    ]


def _rate(row: dict[str, Any], rate: str) -> str:
    if rate not in row:
        return ""
    low, high = row[f"{rate}_interval"]
    return f"{row[rate]:.1%} [{low:.1%}, {high:.1%}]"


def draw(row: str, shown: Sequence[tuple[Case, dict]], directory: Path) -> Path:
    """The sheet of a row, as a PNG of its name."""
    path = directory / f"{row}.png"
    sheet = heard(shown) if row in media.HEARD else seen(shown)
    beside = path.with_suffix(".partial")
    sheet.save(beside, "PNG")
    return beside.replace(path)


def seen(shown: Sequence[tuple[Case, dict]]) -> Image.Image:
    """Pictures side by side, with what was expected and what came below them."""
    cards = [(Image.fromarray(_picture(case, trial)), trial) for case, trial in shown]
    font, high = face(plain_face(), 0, sheets.TEXT), 2 * sheets.TEXT + 10
    wide = max(330, *(image.width * sheets.ENLARGED + 12 for image, _ in cards))
    rows = [cards[n : n + sheets.COLUMNS] for n in range(0, len(cards), sheets.COLUMNS)]
    tall = [max(image.height for image, _ in row) * sheets.ENLARGED + high for row in rows]
    sheet = Image.new("RGB", (wide * min(sheets.COLUMNS, len(cards)), sum(tall)), "white")
    pen, top = ImageDraw.Draw(sheet), 0
    for row, height in zip(rows, tall, strict=True):
        for n, (image, trial) in enumerate(row):
            size = image.width * sheets.ENLARGED, image.height * sheets.ENLARGED
            sheet.paste(image.resize(size, Image.Resampling.NEAREST), (n * wide + 4, top + 4))
            at = n * wide + 4, top + size[1] + 6
            pen.text(at, media.told(trial, NARROW), "black" if trial["right"] else sheets.RED, font)
        top += height
    return sheet


def _picture(case: Case, trial: dict) -> np.ndarray:
    """The one there is; of a film the frame on which what is asked for comes up."""
    seen = [piece for piece in case.pieces if isinstance(piece, Picture)]
    begins = trial["between"][0] if "between" in trial else 0.0
    return next((p.pixels for p in seen if (p.seconds or 0.0) >= begins), seen[-1].pixels)


def heard(shown: Sequence[tuple[Case, dict]]) -> Image.Image:
    """Spectrograms one below another, with what was expected and what came."""
    rows = [(sheets.spectrogram(_mel(case, trial)), media.told(trial)) for case, trial in shown]
    font, high = face(plain_face(), 0, sheets.TEXT), sheets.TEXT + 6
    width = max(image.width for image, _ in rows)
    width = max(width, *(int(font.getlength(told)) + 60 for _, told in rows))
    sheet = Image.new("RGB", (width, sum(image.height + high for image, _ in rows)), "white")
    pen, top = ImageDraw.Draw(sheet), 0
    for (image, told), (_, trial) in zip(rows, shown, strict=True):
        sheet.paste(image, (0, top))
        at = 4, top + image.height
        pen.text(at, "right" if trial["right"] else "wrong", sheets.GREY, font)
        pen.text((60, at[1]), told, "black" if trial["right"] else sheets.RED, font)
        top += image.height + high
    return sheet


def _mel(case: Case, trial: dict) -> np.ndarray:
    """At most FRAMES frames, from shortly before what is asked for."""
    whole = np.concatenate([piece.mel for piece in case.pieces if isinstance(piece, Sound)])
    begins = trial["between"][0] if "between" in trial else 0.0
    first = max(0, min(round(100 * (begins - 0.5)), len(whole) - FRAMES))
    return whole[first : first + FRAMES]
