# SPDX-License-Identifier: Apache-2.0
"""Sound: chunked as whole, sought as read, in little memory, and every way it can be damaged."""

import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollux.errors import InputError
from pollux.media.audio import samples, sounds
from pollux.media.container import describe
from pollux.media.content import Content
from pollux.media.inputs import open_parts
from pollux.media.limits import Limits, Unreadable
from pollux.media.mel import BINS, RATE, log_mel, mel_blocks
from pollux.media.part import MEDIA, Part
from pollux.media.stream import pieces
from pollux.media.view import View

CODECS = [
    ("a.wav", "pcm_s16le"),
    ("a.flac", "flac"),
    ("a.mp3", "libmp3lame"),
    ("a.m4a", "aac"),
    ("a.opus", "libopus"),
    ("a.mkv", "libopus"),
]


def whole(path, start=0.0, end=None, **options):
    return np.concatenate([*samples(Content(path=path), start, end, **options)])


def mel_of(path, start=0.0, end=None):
    return np.concatenate([sound.mel for sound in sounds(Content(path=path), start, end)])


def part_of(path):
    return Part(name=path.name, kind="audio", content=Content(path=path))


@settings(max_examples=10)
@given(st.lists(st.integers(0, 20_000), max_size=6), st.randoms(use_true_random=False))
def test_chunks_give_the_mel_of_the_whole(sizes, random):
    wave = np.array([random.uniform(-1, 1) for _ in range(1 + sum(sizes) // 50)], np.float32)
    wave = np.tile(wave, 50)[: sum(sizes)]
    cuts = np.cumsum(sizes)[:-1] if sizes else []
    blocks = [*mel_blocks(np.split(wave, cuts))]
    chunked = np.concatenate(blocks) if blocks else np.zeros((0, BINS), np.float32)
    assert np.array_equal(chunked, log_mel(wave))
    assert len(chunked) == -(-len(wave) // 640) * 4 and all(len(block) <= 100 for block in blocks)


def test_mel_tells_pitch_and_loudness():
    at = np.arange(RATE, dtype=np.float32) / RATE
    tones = [log_mel(np.sin(2 * np.pi * hertz * at))[50] for hertz in (200, 1000, 4000)]
    peaks = [int(tone.argmax()) for tone in tones]
    assert peaks == sorted(peaks) and peaks[0] < 10 and 20 < peaks[1] < 30 and peaks[2] > 45
    quiet = log_mel(np.float32(0.1) * np.sin(2 * np.pi * 1000 * at))[50]
    assert tones[1].max() - quiet.max() == pytest.approx(np.log(100), abs=0.01)
    assert log_mel(np.zeros(RATE, np.float32)).max() == pytest.approx(np.log(1e-5))


@pytest.mark.parametrize(("name", "codec"), CODECS)
def test_any_container_gives_what_was_recorded(recording, chirp, name, codec):
    path = recording(name, codec)
    found, wave = whole(path), chirp(3.0)
    assert abs(len(found) - len(wave)) < 0.1 * RATE and found.dtype == np.float32
    loud = slice(RATE // 2, RATE * 5 // 2)
    assert np.corrcoef(found[loud], wave[loud])[0, 1] > 0.98
    (part,) = open_parts([path], kinds=MEDIA)
    assert part.kind == "audio"


@pytest.mark.parametrize(("rate", "layout"), [(44_100, "stereo"), (8_000, "mono"), (48_000, "5.1")])
def test_any_rate_becomes_sixteen_kilohertz_mono(recording, chirp, rate, layout):
    found = whole(recording("a.wav", "pcm_s16le", rate=rate, layout=layout))
    assert abs(len(found) - 3 * RATE) <= 2
    assert np.corrcoef(found[:RATE], chirp(3.0)[:RATE])[0, 1] > 0.99


@pytest.mark.parametrize(("name", "codec"), CODECS)
def test_from_a_start_to_an_end_is_a_piece_of_the_whole(recording, name, codec):
    rate = 48_000 if "opus" in codec else 44_100
    path = recording(name, codec, seconds=6.0, rate=rate, samples=None)
    every, some = mel_of(path), mel_of(path, 3.0, 4.5)
    assert some.shape == (152, BINS)  # whole tokens: 1.5 s and the silence after it
    assert np.abs(some[:145] - every[300:445]).mean() < 0.05  # opus carries on a little of before
    assert [sound.seconds for sound in sounds(Content(path=path), 3.0, 4.5)] == [3.0, 4.0]


def test_pieces_of_a_lossless_file_are_exact(recording):
    path = recording("a.wav", "pcm_s16le", seconds=4.0)
    every = whole(path)
    assert np.array_equal(whole(path, 1.5, 2.25), every[24_000:36_000])
    assert np.array_equal(whole(path, 3.9, 100.0), every[62_400:])


def test_hours_take_the_memory_of_seconds(recording):
    path = recording("a.wav", "pcm_s16le", seconds=80.0)
    size = path.stat().st_size
    tracemalloc.start()
    try:
        heard = [len(sound.mel) for sound in sounds(Content(path=path))]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert heard == [100] * 80 and size > 2_500_000
    assert peak < 2_000_000  # the samples alone would be 5,120,000 bytes


def test_a_pause_in_the_packets_is_silence(tmp_path, chirp):
    path, wave = tmp_path / "a.mkv", chirp(1.0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for seconds in (0, 3):
            pcm = (wave[None] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(pcm, "s16", "mono")
            frame.sample_rate, frame.pts = RATE, seconds * RATE
            frame.time_base = Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    found = whole(path)
    assert abs(len(found) - 4 * RATE) < 20
    assert np.abs(found[RATE + 100 : 3 * RATE - 100]).max() == 0
    assert np.corrcoef(found[3 * RATE : 4 * RATE - 100], wave[:-100])[0, 1] > 0.99
    assert np.array_equal(whole(path, 1.5, 2.5), np.zeros(RATE, np.float32))


def test_cover_of_a_record_is_no_film(tmp_path, recording):
    path = tmp_path / "song.mp3"
    with (
        av.open(str(recording("a.mp3", "libmp3lame"))) as source,
        av.open(str(path), "w") as target,
    ):
        stream = target.add_stream_from_template(source.streams.audio[0])
        cover = target.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        image = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")
        target.mux([*cover.encode(image), *cover.encode(None)])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert describe(Content(path=path)).kind == "audio"


def test_suffixes_are_not_believed(recording, tmp_path):
    path = recording("a.mp3", "libmp3lame").rename(tmp_path / "photo.png")
    (part,) = open_parts([path], kinds=MEDIA)
    assert (part.name, part.kind) == ("photo.png", "audio") and [*pieces(part)]


@pytest.mark.parametrize(("name", "codec"), CODECS)
def test_cut_files_are_refused_or_read_as_far_as_they_go(recording, name, codec):
    path = recording(name, codec, seconds=20.0)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    told = []
    try:
        (part,) = open_parts([path], kinds=MEDIA)
        seconds = len([*pieces(part, skip_unreadable=True, report=told.append)])
    except InputError as error:
        assert str(error) == f"{path} is cut short or damaged; fetch it again"
    else:
        assert 5 <= seconds <= 15
        if name.endswith((".flac", ".mkv")):  # these say how long they are
            assert len(told) == 1 and told[0].startswith(f"{name} is cut short: it ends at 00:")
            with pytest.raises(InputError, match=f"^{name} is cut short: .*; fetch it again$"):
                list(pieces(part))


def test_much_damage_is_refused_and_a_little_left_out(recording):
    path = recording("a.mp3", "libmp3lame", seconds=30.0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    path.write_bytes(data)
    assert abs(len(whole(path)) - 30 * RATE) < RATE // 2
    noise = np.random.default_rng(0).integers(0, 256, len(data) - 2000, np.uint8).tobytes()
    path.write_bytes(data[:2000] + noise)
    with pytest.raises(InputError, match="a.mp3 (is damaged at|has neither|is cut short)"):
        (part,) = open_parts([path], kinds=MEDIA)
        list(pieces(part))


@pytest.mark.parametrize(
    "data",
    [
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"OggS\0\x02" + bytes(22) + b"OpusHead\x01",
        b"fLaC\0\0\0\x22" + bytes(40),
        b"ID3\x04\0\0\0\0\0\0",
        b"\xff\xfb\x90\0",
    ],
)
def test_beginnings_alone_are_refused(tmp_path, data):
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a.bin (is cut short or damaged|has neither).*; \w"):
        list(open_parts([path], kinds=MEDIA))


def test_no_sound_at_all(tmp_path, recording, film):
    path = recording("empty.wav", "pcm_s16le", seconds=0.1)
    path.write_bytes(path.read_bytes().partition(b"data")[0] + b"data\0\0\0\0")
    with pytest.raises(InputError, match="empty.wav has neither pictures nor sound"):
        list(open_parts([path], kinds=MEDIA))
    with pytest.raises(Unreadable, match="has no sound that can be decoded"):
        list(samples(Content(path=film("silent.mp4", seconds=1.0))))
    with pytest.raises(InputError, match="a.wav ends before 00:05; begin earlier"):
        list(pieces(part_of(recording("a.wav", "pcm_s16le")), View(start=5.0)))


def test_rates_that_are_no_sound_are_refused(recording):
    path = recording("a.wav", "pcm_s16le")
    data = bytearray(path.read_bytes())
    data[24:28] = (1).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(Unreadable, match="has 1 samples a second, which is no sound"):
        whole(path)


def test_longer_than_allowed_is_refused(recording):
    path = recording("a.wav", "pcm_s16le", seconds=3.0)
    with pytest.raises(Unreadable, match="is longer than 0 hours; split it"):
        whole(path, limits=Limits(max_seconds=2))


def test_playlists_open_nothing_else(tmp_path, recording):
    secret = recording("secret.wav", "pcm_s16le")
    text = f"#EXTM3U\n#EXTINF:3,\n{secret}\n#EXT-X-ENDLIST\n"
    (part,) = open_parts([write(tmp_path / "list.mp3", text)], kinds={*MEDIA, "text"})
    assert part.kind == "text"
    for lines in (text, f"ffconcat version 1.0\nfile {secret}\n"):
        with pytest.raises(Unreadable, match="is cut short or damaged"):
            describe(Content(path=write(tmp_path / "list.wav", lines)))


def write(path, text):
    path.write_text(text)
    return path
