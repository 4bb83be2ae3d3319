# SPDX-License-Identifier: Apache-2.0
"""Film: the frame shown at each second, its label, its sound; variable rates, turns and damage."""

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest

from pollux.errors import InputError
from pollux.media.audio import sounds
from pollux.media.container import describe
from pollux.media.content import Content
from pollux.media.inputs import open_parts
from pollux.media.limits import Limits, Unreadable
from pollux.media.part import MEDIA
from pollux.media.piece import Picture, Sound, Words, clock
from pollux.media.stream import pieces
from pollux.media.video import pictures
from pollux.media.view import View


def watched(path, **options):
    (part,) = open_parts([path], kinds=MEDIA)
    assert part.kind == "video"
    return [*pieces(part, View(**options))]


def frames(path, **options):
    return [*pictures(Content(path=path), View(**options))]


def kinds(found):
    return "".join(type(one).__name__[0] for one in found)


CODECS = [
    ("a.mp4", "mpeg4"),
    ("a.mp4", "libx264"),
    ("a.mkv", "libx264"),
    ("a.webm", "libvpx-vp9"),
    ("a.avi", "mjpeg"),
    ("a.ts", "libx264"),
    ("a.mov", "libx265"),
]


@pytest.mark.parametrize(("name", "codec"), CODECS)
def test_every_second_gives_the_frame_then_shown(film, time_of, name, codec):
    quiet = {"libx265": {"x265-params": "log-level=none"}, "libx264": {"bf": "3", "g": "30"}}
    found = watched(film(name, codec=codec, options=quiet.get(codec)))
    assert kinds(found) == "WP" * 5
    assert [one.text for one in found[::2]] == ["00:00", "00:01", "00:02", "00:03", "00:04"]
    seen = found[1::2]
    assert [one.seconds for one in seen] == [0, 1, 2, 3, 4]
    assert [time_of(one.pixels) for one in seen] == [0, 1, 2, 3, 4]
    assert [one.frame for one in seen] == [0, 10, 20, 30, 40]


def test_label_frame_and_sound_of_each_second(film):
    path = film("a.mp4", seconds=3.0, sound=3.0)
    found = watched(path)
    assert kinds(found)[:9] == "WPS" * 3
    heard = [one for one in found if isinstance(one, Sound)]
    alone = [*sounds(Content(path=path))]
    assert [one.seconds for one in heard[:3]] == [0, 1, 2]
    assert all(np.array_equal(a.mel, b.mel) for a, b in zip(heard, alone, strict=True))


def test_sound_may_be_longer_or_shorter(film):
    found = watched(film("a.mp4", seconds=1.0, sound=3.0))
    assert kinds(found)[:7] == "WPSWSWS"
    found = watched(film("b.mp4", seconds=3.0, sound=0.96))
    assert kinds(found)[:3] == "WPS" and kinds(found)[-4:] == "WPWP"


@pytest.mark.parametrize("fps", [0.5, 2.0, 10.0])
def test_other_rates(film, time_of, fps):
    found = watched(film("a.mp4", seconds=4.0), fps=fps)
    seen = [one for one in found if isinstance(one, Picture)]
    expected = np.arange(0, 4, 1 / fps)
    assert [one.seconds for one in seen] == pytest.approx(expected)
    assert [time_of(one.pixels) for one in seen] == pytest.approx(expected)
    labels = [one.text for one in found if isinstance(one, Words)]
    assert labels == [clock(at) for at in np.arange(0.0, 4.0, max(1.0, 1 / fps)).tolist()]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize(("start", "end"), [(2.0, 4.0), (2.5, 5.0), (0.3, 1.0), (4.0, None)])
def test_from_a_start_to_an_end(film, time_of, name, start, end):
    sound = None if name == "a.ts" else 5.0  # there, the clock begins with the sound's lead-in
    path = film(name, codec="libx264", options={"g": "15", "bf": "2"}, sound=sound)
    found = watched(path, start=start, end=end)
    seen = [one for one in found if isinstance(one, Picture)]
    expected = np.arange(start, end or 5.0, 1.0)
    assert [one.seconds for one in seen] == pytest.approx(expected)
    assert [time_of(one.pixels) for one in seen] == pytest.approx(expected, abs=1e-6)
    if sound:
        assert next(one for one in found if isinstance(one, Sound)).seconds == start


def test_frames_far_apart_are_sought(film, time_of, monkeypatch):
    times = [*np.arange(0, 9, 0.5)]
    for key_frames in ("1", "4", "100"):
        path = film("a.mp4", times=times, codec="libx264", options={"g": key_frames}, rate=2)
        monkeypatch.setattr("pollux.media.video._FAR", 1.0)
        seen = frames(path, fps=0.25)
        assert [time_of(one.pixels) for one in seen] == [0, 4, 8]


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_variable_rate(film, time_of, name):
    times = [0.0, 0.1, 0.2, 2.6, 2.7, 3.5, 3.9, 5.1, 5.2, 5.3, 5.4]
    for options in ({"bf": "0"}, {"bf": "3"}):
        path = film(name, times=times, codec="libx264", options=options, tick=Fraction(1, 1000))
        seen = frames(path, end=6.0)
        assert [one.seconds for one in seen] == [0, 1, 2, 3, 4, 5]
        assert [time_of(one.pixels) for one in seen] == [0, 0.2, 0.2, 2.7, 3.9, 3.9]


@pytest.mark.parametrize(("rotation", "side"), [(0, "bottom"), (90, "right"), (-90, "left")])
def test_upright(film, rotation, side):
    (found, *_) = frames(film("a.mp4", seconds=1.0, rotation=rotation, size=(64, 32)))
    height, width, _ = found.pixels.shape
    assert (width, height) == ((64, 32) if side == "bottom" else (32, 64))
    blue = {
        "bottom": found.pixels[-4, width // 2, 2],
        "right": found.pixels[height // 2, -4, 2],
        "left": found.pixels[height // 2, 3, 2],
        "top": found.pixels[3, width // 2, 2],
    }
    assert max(blue, key=lambda name: int(blue[name])) == side


def test_upside_down_and_wide_pixels(film, tmp_path):
    (found, *_) = frames(film("a.mp4", seconds=1.0, rotation=180))
    assert found.pixels[3, 32, 2] > 150 > found.pixels[-4, 32, 2]
    path = tmp_path / "wide.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = 2
        image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
        container.mux([*stream.encode(image.reformat(format="yuv420p")), *stream.encode(None)])
    assert frames(path)[0].pixels.shape == (64, 128, 3)


def test_labels():
    told = [clock(at) for at in (0.0, 59.99, 60.0, 3599.0, 3600.0, 6137.0, 360_000.0)]
    assert told == ["00:00", "00:59", "01:00", "59:59", "01:00:00", "01:42:17", "100:00:00"]


def test_streams_and_stops_when_nobody_asks(film):
    path = film("a.mp4", seconds=9.9, sound=9.9)
    (part,) = open_parts([path], kinds=MEDIA)
    few = [*itertools.islice(pieces(part, View(fps=10.0)), 5)]
    assert kinds(few) == "WPPPP"


def test_a_film_without_frames_is_sound_or_nothing(tmp_path, recording):
    path = tmp_path / "a.mkv"
    with av.open(str(recording("a.flac", "flac"))) as source, av.open(str(path), "w") as target:
        sound = target.add_stream_from_template(source.streams.audio[0])
        film = target.add_stream("libx264", rate=10)  # and never a frame
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = sound
                target.mux(packet)
    assert describe(Content(path=path)).kind == "audio"
    (part,) = open_parts([path], kinds={"audio"})
    assert part.kind == "audio" and kinds(pieces(part))[:3] == "SSS"
    with pytest.raises(InputError, match="a.mkv is a recording; this model reads text, video"):
        list(open_parts([path], kinds={"text", "video"}))
    with pytest.raises(Unreadable, match="has no pictures that can be decoded"):
        frames(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.webm"])
def test_cut_films_are_refused_or_read_as_far_as_they_go(film, name):
    codec = "libvpx-vp9" if name.endswith("webm") else "mpeg4"
    path = film(name, seconds=9.9, codec=codec, size=(128, 96))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    good = film("good.mp4", seconds=1.0)
    told = []
    opened = open_parts([path, good], kinds=MEDIA, skip_unreadable=True)
    found = [[*pieces(part, skip_unreadable=True, report=told.append)] for part in opened]
    assert kinds(found[-1]) == "WP"
    if name == "a.mp4":  # its index is at its end
        assert [one.reason for one in opened.skipped] == ["is cut short or damaged"]
        return
    assert 2 <= len(found[0]) / 2 <= 8
    if name in ("a.mkv", "a.webm"):  # these say how long they are
        assert len(told) == 1 and told[0].startswith(f"{name} is cut short: it ends at 00:0")
        with pytest.raises(InputError, match=f"^{name} is cut short: .* of 00:09; fetch it again$"):
            watched(path)


def test_damage_inside(film):
    path = film("a.mp4", seconds=9.9, size=(128, 96), options={"g": "10"})
    data = bytearray(path.read_bytes())
    noise = np.random.default_rng(0).integers(0, 256, len(data), np.uint8).tobytes()
    data[2000 : len(data) * 2 // 3] = noise[2000 : len(data) * 2 // 3]
    path.write_bytes(data)
    try:
        found = watched(path)
    except InputError as error:
        assert str(error).startswith(("a.mp4 is damaged at", "a.mp4 is cut short")) or (
            "has neither pictures nor sound" in str(error)
        )
    else:
        assert all(one.pixels.shape == (96, 128, 3) for one in found if isinstance(one, Picture))


def test_limits(film):
    path = film("a.mp4", seconds=3.0)
    with pytest.raises(InputError, match="a.mp4 has frames of 64 x 48 pixels; make it smaller"):
        list(open_parts([path], kinds=MEDIA, limits=Limits(max_pixels=3000)))
    with pytest.raises(InputError, match="a.mp4 is longer than 0 hours; split it"):
        list(open_parts([path], kinds=MEDIA, limits=Limits(max_seconds=2)))
    with pytest.raises(InputError, match="a.mp4 ends before 00:07; begin earlier"):
        watched(path, start=7.0)


@pytest.mark.parametrize(
    "options", [{"fps": 0.0}, {"fps": 1e9}, {"start": -1.0}, {"start": 2.0, "end": 2.0}]
)
def test_views_that_cannot_be(options):
    with pytest.raises(InputError, match="cannot be|cannot be taken|is not after"):
        View(**options)


def test_a_clock_that_leaps_is_damage(film):
    path = film("a.mkv", times=[0.0, 1.0, 2.0, 7000.0], tick=Fraction(1, 1000))
    (part,) = open_parts([path], kinds=MEDIA)
    told = []
    found = [*pieces(part, skip_unreadable=True, report=told.append)]
    assert kinds(found) == "WPWP" and told == ["a.mkv is damaged at 00:02"]
