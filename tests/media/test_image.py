# SPDX-License-Identifier: Apache-2.0
"""Pictures of every mode, turned, moving, enormous and damaged."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pollux.errors import InputError
from pollux.media import image as image_module
from pollux.media.content import Content
from pollux.media.image import pictures
from pollux.media.inputs import open_parts
from pollux.media.limits import Limits
from pollux.media.part import MEDIA
from pollux.media.resolution import PATCH, PATCHES, fitted
from pollux.media.stream import pieces
from pollux.media.view import View

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def quarters(size=(64, 64)):
    """Red, green, blue and white: top left, top right, bottom left, bottom right."""
    drawn = Image.new("RGB", size, "white")
    half = size[0] // 2, size[1] // 2
    for colour, at in [(RED, (0, 0)), (GREEN, (half[0], 0)), (BLUE, (0, half[1]))]:
        drawn.paste(colour, (*at, at[0] + half[0], at[1] + half[1]))
    return drawn


def saved(path, drawn, *rest, **options):
    drawn.save(path, *rest, **options)
    return path


def looked_at(path, **options):
    (part,) = open_parts([path], kinds=MEDIA)
    assert part.kind == "image"
    return [*pieces(part, View(**options))]


def colours(pixels):
    """Of the middle of each quarter, coarsely."""
    height, width, _ = pixels.shape
    rows, columns = (height // 4, 3 * height // 4), (width // 4, 3 * width // 4)
    at = np.array([pixels[row, column] for row in rows for column in columns], int)
    return [tuple(int(value) * 255 for value in one) for one in at > 127]


UPRIGHT = [RED, GREEN, BLUE, (255, 255, 255)]


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from([*PATCHES]))
def test_any_shape_fits_the_budget(width, height, resolution):
    columns, rows = (side / PATCH for side in fitted(width, height, resolution))
    assert columns == int(columns) >= 1 and rows == int(rows) >= 1
    assert columns * rows <= PATCHES[resolution]
    assert fitted(height, width, resolution) == fitted(width, height, resolution)[::-1]
    assert columns <= -(-width // PATCH) and rows <= -(-height // PATCH)  # nothing is enlarged
    long, short = max(columns, rows), min(columns, rows)
    aspect = max(width, height) / min(width, height)
    if aspect < PATCHES[resolution] / 2 and min(width, height) >= 256:
        assert abs(long - short * aspect) < 1


@pytest.mark.parametrize(
    ("resolution", "shape"), [("low", (48, 80)), ("medium", (96, 160)), ("high", (192, 336))]
)
def test_resolutions(tmp_path, resolution, shape):
    path = saved(tmp_path / "a.png", quarters((1920, 1080)))
    (found,) = looked_at(path, resolution=resolution)
    assert found.pixels.shape == (*shape, 3) and found.pixels.dtype == np.uint8
    assert colours(found.pixels) == UPRIGHT
    assert (found.seconds, found.frame, found.page) == (None, None, None)


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        *[("png", mode) for mode in ("RGB", "RGBA", "P", "L", "LA", "1", "I;16")],
        *[("tiff", mode) for mode in ("CMYK", "RGB", "L", "F", "I;16", "YCbCr")],
        *[("jpg", mode) for mode in ("RGB", "L", "CMYK")],
        *[("gif", mode) for mode in ("P", "L", "RGBA")],
        *[("webp", "RGBA"), ("bmp", "RGB"), ("jp2", "RGB"), ("avif", "RGB"), ("ico", "RGBA")],
        *[("ppm", "RGB"), ("qoi", "RGB"), ("dds", "RGB"), ("icns", "RGB")],
    ],
)
def test_every_mode_becomes_rgb(tmp_path, suffix, mode):
    drawn = quarters((128, 128)).convert("L" if mode in ("I;16", "F") else mode)
    if mode == "I;16":
        drawn = Image.fromarray(np.asarray(drawn).astype(np.uint16) * 257)
    elif mode == "F":
        drawn = drawn.convert("F")
    (found,) = looked_at(saved(tmp_path / f"a.{suffix}", drawn))
    assert found.pixels.shape == (128, 128, 3)
    if mode == "F":  # of no known range
        assert found.pixels.min() == 0 and found.pixels.max() == 255
    elif mode in ("RGB", "RGBA", "P", "CMYK", "YCbCr"):
        assert colours(found.pixels) == UPRIGHT
    else:  # grey: as bright as the colours were
        grey = np.asarray(quarters().convert("1" if mode == "1" else "L"), int)
        # A picture in black and white is all grain, until it is scaled down.
        error = found.pixels.mean() - grey.mean() * (255 if mode == "1" else 1)
        assert abs(error) < 3


def test_what_shines_through_is_white(tmp_path):
    drawn = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    drawn.paste((255, 0, 0, 128), (16, 0, 32, 32))
    (found,) = looked_at(saved(tmp_path / "a.png", drawn))
    assert found.pixels[16, 8].tolist() == [255, 255, 255]
    assert found.pixels[16, 24] == pytest.approx([255, 127, 127], abs=3)
    palette = quarters((32, 32)).convert("P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    (found,) = looked_at(saved(tmp_path / "b.png", palette, transparency=palette.getpixel((0, 0))))
    assert colours(found.pixels) == [(255, 255, 255), *UPRIGHT[1:]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_cameras_turn_their_pictures(tmp_path, orientation):
    undone = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    drawn = quarters((128, 64))
    stored = drawn if undone is None else drawn.transpose(Image.Transpose(undone))
    exif = Image.Exif()
    exif[0x0112] = orientation
    (found,) = looked_at(saved(tmp_path / "a.jpg", stored, exif=exif, quality=95))
    assert found.pixels.shape == (64, 128, 3) and colours(found.pixels) == UPRIGHT


def test_moving_pictures_are_looked_at_every_second(tmp_path):
    frames = [Image.new("RGB", (32, 32), (10 * number, 0, 0)) for number in range(8)]
    for name in ("a.gif", "a.png", "a.webp"):
        options = {"lossless": True} if name.endswith("webp") else {}
        path = saved(
            tmp_path / name, frames[0], save_all=True, append_images=frames[1:], duration=400,
            **options,
        )  # fmt: skip
        found = looked_at(path)
        assert [(one.seconds, one.frame) for one in found] == [(0, 0), (1, 2), (2, 5), (3, 7)]
        assert [int(one.pixels[0, 0, 0]) for one in found] == [0, 20, 50, 70]
        assert len(looked_at(path, fps=2.5)) == 8


def test_pages_of_a_tiff(tmp_path):
    pages = [Image.new("L", (20 + 20 * number, 30), 80 * number) for number in range(3)]
    path = saved(tmp_path / "a.tif", pages[0], save_all=True, append_images=pages[1:])
    found = looked_at(path)
    assert [one.page for one in found] == [1, 2, 3]
    assert [one.pixels.shape[1] for one in found] == [32, 48, 64]


def png_of(width, height, data=b""):
    """The beginning of a PNG that claims a size."""

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def test_bombs_are_refused_before_they_unpack(tmp_path, monkeypatch):
    path = tmp_path / "bomb.png"
    for side in (16_384, 60_000):
        path.write_bytes(png_of(side, side, zlib.compress(bytes(1000))))
        with pytest.raises(InputError) as caught:
            list(open_parts([path], kinds=MEDIA))
        assert str(caught.value) == (
            f"{path} has {side:,} x {side:,} pixels, and at most 67 million are decoded; "
            "make it smaller"
        )
    frames = [Image.new("L", (100, 100), number) for number in range(5)]
    path = saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    (part,) = open_parts([path], kinds=MEDIA)
    monkeypatch.setattr(image_module, "_MOST_DECODED", 4)
    with pytest.raises(InputError, match="a.gif has 5 frames of 100 x 100 pixels; make it a film"):
        list(pieces(part, limits=Limits(max_pixels=10_000)))


def test_large_jpeg_is_decoded_at_a_fraction(tmp_path):
    path = saved(tmp_path / "a.jpg", quarters((4096, 4096)))
    few = Limits(max_pixels=5_000_000)
    (part,) = open_parts([path], kinds=MEDIA, limits=few)
    (found,) = pieces(part, limits=few)
    assert colours(found.pixels) == UPRIGHT
    saved(path, quarters((4096, 4096)), progressive=True)
    with pytest.raises(InputError, match="a.jpg has 4,096 x 4,096 pixels"):
        list(open_parts([path], kinds=MEDIA, limits=few))


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "tiff", "bmp", "jp2", "avif"])
def test_cut_and_damaged_pictures_are_told(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(noise))
    data = path.read_bytes()
    good = saved(tmp_path / "good.png", quarters())
    for broken in (data[: len(data) // 2], data[:40], data[:20] + bytes(len(data) - 20)):
        path.write_bytes(broken)
        told, found = [], []
        opened = open_parts([path, good], kinds=MEDIA, skip_unreadable=True)
        for part in opened:
            found += pieces(part, skip_unreadable=True, report=told.append)
        assert colours(found[-1].pixels) == UPRIGHT  # the other one is read
        for line in [*told, *(skipped.reason for skipped in opened.skipped)]:
            assert "is cut short or damaged" in line or "cannot be decoded" in line


def test_suffixes_are_not_believed(tmp_path):
    data = io.BytesIO()
    quarters().save(data, "PNG")
    (tmp_path / "a.mp4").write_bytes(data.getvalue())
    assert len(looked_at(tmp_path / "a.mp4")) == 1
    (tmp_path / "b.png").write_text("only text\n")
    (part,) = open_parts([tmp_path / "b.png"], kinds={*MEDIA, "text"})
    assert part.kind == "text"


def test_kinds_that_cannot_be_decoded_are_named(tmp_path):
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    with pytest.raises(InputError, match="a.heic is a picture of a kind that cannot be decoded"):
        list(open_parts([path], kinds=MEDIA))


def test_postscript_is_never_run(tmp_path):
    path = saved(tmp_path / "a.eps", quarters())
    (part,) = open_parts([path], kinds={*MEDIA, "text"})
    assert part.kind == "text"  # what it is, and nothing runs Ghostscript
    assert not {"EPS", "WMF"} & {*image_module._FORMATS}


def test_pictures_of_content_alone(tmp_path):
    data = saved(tmp_path / "a.png", quarters()).read_bytes()
    (found,) = pictures(Content(data=data), View())
    assert colours(found.pixels) == UPRIGHT
