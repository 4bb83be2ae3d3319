# SPDX-License-Identifier: Apache-2.0
"""Sound and film files through PyAV (FFmpeg): opened with care, and decoded past small damage.

The file is handed over open and never by name, and only demuxers that read nothing but it are let
in: a playlist cannot make FFmpeg open other files or addresses.
"""

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pollux.media.content import Content
from pollux.media.limits import LIMITS, Limits, Unreadable
from pollux.media.piece import clock

MICROSECONDS = 1_000_000  # av.time_base: of durations and seeks
_BUFFER = 1 << 20  # bytes read at a time
_DEMUXERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,ivf,matroska,webm,mov,mp4,mp3,mpc,mpc8,"
    "mpeg,mpegts,mpegvideo,mxf,nut,ogg,rm,tta,w64,wav,wv,yuv4mpegpipe"
)
# Whose duration is written down, not guessed from the size.
_MEASURED = frozenset("mov matroska wav w64 flac aiff avi asf caf".split())
_LEAD = 0.2  # seconds
_STEPS_BACK = (0.0, 10.0, 60.0, math.inf)  # seconds
MAX_BAD = 0.01  # of all packets

Frame = TypeVar("Frame", AudioFrame, VideoFrame)


@dataclass(frozen=True, kw_only=True)
class Description:
    """`seconds`: as is written in the file; None where that would be a guess from its size."""

    kind: Literal["audio", "video"]
    seconds: float | None
    has_sound: bool


@contextmanager
def opened(content: Content, limits: Limits = LIMITS) -> Generator[InputContainer, None, None]:
    """The container. Raises Unreadable for what FFmpeg cannot open, and for errors inside."""
    with content.open() as file, damage_told():
        container = av.open(
            file,
            "r",
            metadata_errors="ignore",
            buffer_size=_BUFFER,
            container_options={"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"},
        )
        with container:
            seconds = (container.duration or 0) / MICROSECONDS
            if seconds > limits.max_seconds:
                raise too_long(limits)
            yield container


@contextmanager
def damage_told() -> Generator[None, None, None]:
    """What FFmpeg reports, as Unreadable."""
    try:
        yield
    except av.FFmpegError:
        raise Unreadable("is cut short or damaged", "fetch it again") from None


def describe(content: Content, limits: Limits = LIMITS) -> Description:
    """What is in the file, of which something must be decodable. Raises Unreadable."""
    with opened(content, limits) as container:
        film = film_of(container, limits)
        has_film = film is not None and _any(decoded(container, film, VideoFrame))
        known = container.duration and _MEASURED.intersection(container.format.name.split(","))
        seconds = container.duration / MICROSECONDS if known else None
    with opened(content, limits) as container:  # anew, since not every format can go back
        sound = sound_of(container)
        has_sound = sound is not None and _any(decoded(container, sound, AudioFrame))
    if not has_film and not has_sound:
        raise Unreadable("has neither pictures nor sound that can be decoded", "convert it")
    return Description(kind="video" if has_film else "audio", seconds=seconds, has_sound=has_sound)


def film_of(container: InputContainer, limits: Limits = LIMITS) -> VideoStream | None:
    """The main video stream; the cover of a record is none. Raises Unreadable if too large."""
    films = [
        one for one in container.streams.video if not one.disposition & Disposition.attached_pic
    ]
    best = container.streams.best("video")
    film = best if best in films else next(iter(films), None)
    if not isinstance(film, VideoStream) or film.codec_context is None:
        return None
    context = film.codec_context
    if context.width * context.height > limits.max_pixels:
        raise Unreadable(
            f"has frames of {context.width:,} x {context.height:,} pixels", "make it smaller"
        )
    # Frames may grow later on, which FFmpeg itself then refuses.
    context.options = {**context.options, "max_pixels": str(limits.max_pixels)}
    context.thread_type = "AUTO"
    return film


def sound_of(container: InputContainer) -> AudioStream | None:
    stream = container.streams.best("audio")
    return stream if isinstance(stream, AudioStream) and stream.codec_context else None


def origin_of(container: InputContainer) -> float:
    """The time at which its clock starts, in seconds: broadcasts begin at any hour."""
    seconds = (container.start_time or 0) / MICROSECONDS
    # Matroska begins at 0; what FFmpeg says there is what a codec needs to get going.
    is_lead = abs(seconds) < _LEAD and "matroska" in container.format.name
    return 0.0 if is_lead else seconds


def seek(container: InputContainer, seconds: float) -> None:
    """To the last key frame at or before `seconds` from the beginning."""
    container.seek(int((seconds + origin_of(container)) * MICROSECONDS))


def decoded_from(
    container: InputContainer,
    stream: AudioStream | VideoStream,
    kind: type[Frame],
    start: float,
    before: Callable[[Packet], None] = lambda packet: None,
) -> Iterator[Frame]:
    """As `decoded`, from the last key frame at or before `start`.

    Where there is no index, decoding begins at the first key frame after where a search by bytes
    ended, so it may have to go back further.
    """
    if start <= 0:
        yield from decoded(container, stream, kind, before)
        return
    for back in _STEPS_BACK:
        seek(container, max(-1.0, start - back))  # before its beginning, to be sure of that
        frames = decoded(container, stream, kind, before)
        first = next(frames, None)
        found = first is not None and first.time is not None
        if found and first.time - origin_of(container) <= start + 0.001 or back >= start:
            break
    if first is not None:
        yield first
        yield from frames


def decoded(
    container: InputContainer,
    stream: AudioStream | VideoStream,
    kind: type[Frame],
    before: Callable[[Packet], None] = lambda packet: None,
) -> Iterator[Frame]:
    """The frames of a stream, in order; `before` sees each packet before it is decoded.

    A few packets that cannot be decoded are left out, as players do. Raises Unreadable when there
    are more than a hundredth, or when the container itself is damaged.
    """
    packets = bad = 0
    at = 0.0
    demuxed = container.demux(stream)
    while True:
        try:
            packet = next(demuxed, None)
        except av.FFmpegError:
            raise damaged(at) from None
        if packet is None:
            break
        packets += 1
        before(packet)
        try:
            frames = packet.decode()
        except av.FFmpegError:
            bad += 1
            if bad > 10 and bad > MAX_BAD * packets:
                raise damaged(at) from None
            continue
        for frame in frames:
            if isinstance(frame, kind):
                at = at if frame.time is None else frame.time - origin_of(container)
                yield frame
    if bad > max(1, MAX_BAD * packets):
        raise damaged(at)


def damaged(seconds: float) -> Unreadable:
    return Unreadable(f"is damaged at {clock(seconds)}", "fetch it again")


def too_long(limits: Limits) -> Unreadable:
    return Unreadable(f"is longer than {limits.max_seconds // 3600} hours", "split it")


def _any(frames: Iterator[AudioFrame] | Iterator[VideoFrame]) -> bool:
    """Whether a first frame can be decoded."""
    try:
        return next(frames, None) is not None
    except Unreadable:
        return False
