# SPDX-License-Identifier: Apache-2.0
"""Films and recordings made on the spot; the colour of a frame tells when it is shown."""

from fractions import Fraction

import av
import numpy as np
import pytest

RATE = 16_000


def chirp(seconds, rate=RATE):
    """A tone that climbs and pulses, float32: no two seconds of it sound alike."""
    at = np.arange(int(seconds * rate)) / rate
    wave = 0.4 * np.sin(2 * np.pi * (200 + 40 * at) * at) * (1 + np.sin(2 * np.pi * 3 * at)) / 2
    return wave.astype(np.float32)


def frame_at(seconds, size=(64, 48)):
    """Red and green say the time in tenths of a second; its lower half is blue."""
    tenths = round(seconds * 10)
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = 20 + 20 * (tenths // 10 % 10), 20 + 20 * (tenths % 10)
    pixels[size[1] // 2 :, :, 2] = 200
    return pixels


def time_of(pixels):
    """The time `frame_at` painted, up to 10 seconds."""
    red, green = pixels[: len(pixels) // 3].reshape(-1, 3).mean(0)[:2]
    return round((red - 20) / 20) + round((green - 20) / 20) / 10


def _encode(container, stream, frames):
    for frame in [*frames, None]:
        for packet in stream.encode(frame):
            container.mux(packet)


def write_sound(container, stream, samples):
    rate, layout = stream.rate, stream.layout.name
    frame = av.AudioFrame.from_ndarray(
        np.tile(samples, (len(stream.layout.channels), 1)), "fltp", layout
    )
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    resampler = av.AudioResampler(stream.format.name, layout, rate, stream.frame_size or 1024)
    _encode(container, stream, [*resampler.resample(frame), *resampler.resample(None)])


def add_film(container, codec="mpeg4", size=(64, 48), options=None, rotation=0, rate=10, tick=None):
    stream = container.add_stream(codec, rate=rate, options=options or {})
    stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
    if codec == "mjpeg":
        stream.pix_fmt = "yuvj420p"
    stream.codec_context.time_base = tick or Fraction(1, rate)
    if rotation:
        stream.set_display_rotation(rotation)
    return stream


def write_film(container, stream, times):
    frames = []
    for seconds in times:
        pixels = frame_at(seconds, (stream.width, stream.height))
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=stream.pix_fmt)
        frame.time_base = stream.codec_context.time_base
        frame.pts = round(seconds / frame.time_base)
        frames.append(frame)
    _encode(container, stream, frames)


@pytest.fixture(name="chirp")
def chirp_fixture():
    return chirp


@pytest.fixture(name="time_of")
def time_of_fixture():
    return time_of


@pytest.fixture
def recording(tmp_path):
    """Writes samples, by default a chirp, to a file; its suffix says in which container."""

    def make(name, codec, seconds=3.0, rate=RATE, samples=None, layout="mono"):
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate, layout=layout)
            write_sound(container, stream, chirp(seconds, rate) if samples is None else samples)
        return path

    return make


@pytest.fixture
def film(tmp_path):
    """Writes a film of 10 frames a second, or with frames at `times`, and its sound."""

    def make(name, seconds=5.0, times=None, sound=None, **options):
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = add_film(container, **options)
            if sound is not None:  # every stream is there before the first packet
                heard = container.add_stream("aac", rate=RATE, layout="mono")
                write_sound(container, heard, chirp(sound))
            write_film(container, stream, np.arange(0, seconds, 0.1) if times is None else times)
        return path

    return make
