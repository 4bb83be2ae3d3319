# SPDX-License-Identifier: Apache-2.0
"""What there is to draw: icons on a plain ground."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import grain
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from pollux.config import DRAWN_SIDE
from pollux.data.art import Art, Icon, icon_image, pixels

LONGER = 60  # pixels, the longer side of an icon that is to be drawn
SMALLEST = 36  # when what draws is trained
WHITE, GREY, BLACK = (255, 255, 255), (200, 200, 200), (0, 0, 0)
Colour = tuple[int, int, int]


def picture(
    art: Art,
    icon: Icon,
    ground: Colour = WHITE,
    ink: Colour = BLACK,
    longer: int = LONGER,
    shift: tuple[float, float] = (0.0, 0.0),
) -> UInt8[np.ndarray, "64 64 3"]:
    """The icon in the middle, or `shift` of the room beside it away; an outline in `ink`."""
    drawn = icon_image(art, icon)
    ratio = longer / max(drawn.size)
    size = max(1, round(drawn.width * ratio)), max(1, round(drawn.height * ratio))
    drawn = drawn.resize(size, Image.Resampling.BICUBIC)
    canvas = Image.new("RGB", (DRAWN_SIDE, DRAWN_SIDE), ground)
    left, top = (
        round((DRAWN_SIDE - side) * (0.5 + by)) for side, by in zip(size, shift, strict=True)
    )
    if icon.outline:
        canvas.paste(ink, (left, top), drawn.getchannel("A"))
    else:
        canvas.paste(drawn.convert("RGB"), (left, top), drawn.getchannel("A"))
    return pixels(canvas)


def steps(art: Art, icon: Icon) -> dict[str, UInt8[np.ndarray, "64 64 3"]]:
    """What comes before it when it is drawn step by step; nothing of an outline."""
    if icon.outline:
        return {}
    shape = picture(art, replace(icon, outline=True), ink=GREY)
    grey = np.array(ImageOps.grayscale(Image.fromarray(picture(art, icon))).convert("RGB"))
    return {f"{icon.name}: shape": shape, f"{icon.name}: grey": grey}


def varied(art: Art, rng: np.random.Generator) -> UInt8[np.ndarray, "64 64 3"]:
    """Any icon, half of the time as it is to be drawn; else of any size, place and colours."""
    icon = art.icons[int(rng.integers(len(art.icons)))]
    if rng.random() < 0.5:
        return picture(art, icon)
    light, dark = rng.integers(150, 256, 3), rng.integers(0, 110, 3)
    ground, ink = (light, dark) if rng.random() < 0.7 else (dark, light)
    longer, shift = int(rng.integers(SMALLEST, DRAWN_SIDE + 1)), rng.uniform(-0.5, 0.5, 2)
    made = picture(art, icon, _colour(ground), _colour(ink), longer, (shift[0], shift[1]))
    return made[:, ::-1] if rng.random() < 0.5 else made


def _colour(values: np.ndarray) -> Colour:
    return int(values[0]), int(values[1]), int(values[2])


@dataclass(frozen=True)
class MakePictures(grain.transforms.RandomMap):
    art: Art
    rows: int

    def random_map(self, element: int, rng: np.random.Generator) -> UInt8[np.ndarray, "B 64 64 3"]:
        return np.stack([varied(self.art, rng) for _ in range(self.rows)])


def batches(
    art: Art, rows: int, steps: int, seed: int, start: int
) -> Iterator[UInt8[np.ndarray, "B 64 64 3"]]:
    """Pictures for training what draws, a function of seed and number; from number `start` on."""
    source = grain.MapDataset.range(steps).seed(seed).random_map(MakePictures(art, rows))
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    return iter(source[start:].to_iter_dataset(options))
