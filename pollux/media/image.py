# SPDX-License-Identifier: Apache-2.0
"""Still and animated pictures through Pillow: upright, in RGB on white, at most so many pixels.

Pillow's plugins are called one by one and not through `Image.open`: that one also lets in formats
that run other programs, and its check for decompression bombs, the same for the whole process,
comes before a JPEG could be decoded at a fraction of its size.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile, JpegImagePlugin

from pollux.media.content import Content
from pollux.media.document import too_large
from pollux.media.limits import LIMITS, Limits, Unreadable
from pollux.media.piece import LONGEST_STILL, Picture
from pollux.media.view import View

_FORMATS = "PNG JPEG GIF WEBP BMP TIFF AVIF ICO ICNS PPM JPEG2000 PSD QOI DDS".split()
_MOVING = frozenset(("GIF", "PNG", "WEBP", "AVIF"))  # what has several frames; TIFF has pages
_PAUSE = 0.1  # seconds of a frame that says 0, as browsers have it
_MOST_DECODED = 32  # times the pixels of one picture, of all frames together
_REDUCIBLE = 4  # times the pixels of one picture that a JPEG may have, decoded at a fraction
_UPRIGHT = {  # by the orientation that a camera notes
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112


def pictures(content: Content, view: View, limits: Limits = LIMITS) -> Iterator[Picture]:
    """One; of what moves, what is to be seen at 0 s, 1 / fps, ...; of a TIFF, every page.

    Raises Unreadable.
    """
    with opened(content, limits) as image:
        count = getattr(image, "n_frames", 1)
        if image.format == "TIFF" and count > 1:
            for number in range(min(count, limits.max_pages)):
                image.seek(number)
                check_size(image, limits)
                yield Picture(pixels=pixels_of(image, view), page=number + 1)
        elif image.format in _MOVING and count > 1:
            yield from _moving(image, count, view, limits)
        else:
            yield Picture(pixels=pixels_of(image, view))


def check(content: Content, limits: Limits = LIMITS) -> None:
    """Raises Unreadable for what is no picture or has too many pixels; decodes nothing."""
    with opened(content, limits):
        pass


@contextmanager
def opened(content: Content, limits: Limits = LIMITS) -> Generator[ImageFile.ImageFile, None, None]:
    """The picture, not yet decoded. Raises Unreadable, also for errors inside."""
    with content.open() as file:
        if file.seek(0, os.SEEK_END) > limits.max_held_bytes:  # WebP and AVIF are read whole
            raise too_large(limits.max_held_bytes)
        file.seek(0)
        prefix = file.read(16)
        Image.init()
        for factory, accept in (Image.OPEN[name] for name in _FORMATS if name in Image.OPEN):
            if accept is None or accept(prefix) is not True:
                continue
            file.seek(0)
            with damage_told(), factory(file, "") as image:
                check_size(image, limits)
                yield image
                return
    raise Unreadable("is a picture of a kind that cannot be decoded", "save it as PNG or JPEG")


@contextmanager
def damage_told() -> Generator[None, None, None]:
    """What Pillow's plugins raise on damaged files, which may be anything, as Unreadable."""
    try:
        yield
    except Unreadable:
        raise
    except Image.DecompressionBombError:
        raise Unreadable("unpacks to too many pixels", "make it smaller") from None
    except Exception:
        raise Unreadable("is cut short or damaged", "fetch it again") from None


def check_size(image: ImageFile.ImageFile, limits: Limits) -> None:
    """Raises Unreadable for more pixels than are decoded at once."""
    width, height = image.size
    most = limits.max_pixels
    # Of a progressive one libjpeg holds every coefficient, at whatever fraction it is decoded.
    if isinstance(image, JpegImagePlugin.JpegImageFile) and not image.info.get("progressive"):
        most *= _REDUCIBLE
    if width * height > most:
        raise Unreadable(
            f"has {width:,} x {height:,} pixels, and at most {most / 1e6:,.0f} million are decoded",
            "make it smaller",
        )


def pixels_of(image: Image.Image, view: View) -> UInt8[np.ndarray, "H W 3"]:
    """Decoded, scaled, upright, on white."""
    orientation = _orientation(image)
    size = image.size[::-1] if orientation >= 5 else image.size
    width, height = view.fitted(*size)
    target = (height, width) if orientation >= 5 else (width, height)
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        image.draft(image.mode, (2 * target[0], 2 * target[1]))
    scaled = _in_eight_bits(image).resize(target, Image.Resampling.BICUBIC, reducing_gap=3.0)
    if scaled.mode == "RGBA":
        scaled = Image.alpha_composite(Image.new("RGBA", target, "white"), scaled)
    if orientation in _UPRIGHT:
        scaled = scaled.transpose(_UPRIGHT[orientation])
    return np.array(scaled.convert("RGB"))


def resized(pixels: UInt8[np.ndarray, "H W 3"], high: int, wide: int) -> UInt8[np.ndarray, "h w 3"]:
    image = Image.fromarray(pixels).resize((wide, high), Image.Resampling.BILINEAR)
    return np.array(image)


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """In RGB or, where something shines through, RGBA."""
    image.load()
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):  # of no known range: from its darkest to its brightest
        values = np.nan_to_num(np.asarray(image, np.float32))
        low, high = float(values.min()), float(values.max())
        scaled = np.rint((values - low) * (255 / max(high - low, 1e-9)))
        return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged notes of a camera do not make the picture unreadable
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _moving(
    image: ImageFile.ImageFile, count: int, view: View, limits: Limits
) -> Iterator[Picture]:
    width, height = image.size
    if count * width * height > _MOST_DECODED * limits.max_pixels:
        raise Unreadable(f"has {count:,} frames of {width:,} x {height:,} pixels", "make it a film")
    number, begins = 0, 0.0
    for frame in range(count):
        image.seek(frame)
        image.load()  # a frame is drawn upon the one before
        pause = float(image.info.get("duration") or 0) / 1000 or _PAUSE
        if pause > LONGEST_STILL:
            raise Unreadable("stands still for more than an hour", "save it as a picture")
        begins += pause
        picture = None
        while number / view.fps < begins - 1e-6:
            picture = picture or Picture(pixels=pixels_of(image, view), frame=frame)
            yield replace(picture, seconds=number / view.fps)
            number += 1
