# SPDX-License-Identifier: Apache-2.0
"""Film: for each second its time, the frame then on the screen, and what is heard in it.

Pictures and sound are decoded from the file opened twice, in threads of their own: however they
are interleaved, little of either has to be held.
"""

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from pollux.media.audio import sounds
from pollux.media.container import damaged, decoded_from, film_of, opened, origin_of, seek, too_long
from pollux.media.content import Content
from pollux.media.limits import LIMITS, Limits, Unreadable
from pollux.media.piece import LONGEST_STILL, Picture, Piece, Words, clock
from pollux.media.prefetch import ahead
from pollux.media.view import View

_EPSILON = 1e-4  # seconds: times of frames are rounded, to a millisecond in Matroska
_FAR = 10.0  # seconds to the next frame wanted, from which on it is sought, not waited for


def film(
    content: Content, view: View, *, has_sound: bool, limits: Limits = LIMITS
) -> Iterator[Piece]:
    """A second (or 1 / fps, if longer) at a time: its label, its frames, its sound."""
    step = max(1.0, 1 / view.fps)
    listened = sounds(content, view.start, view.end, limits) if has_sound else ()
    with (
        closing(ahead(pictures(content, view, limits))) as seen,
        closing(ahead(listened)) as heard,
    ):
        picture, sound = next(seen, None), next(heard, None)
        number = 0
        while picture or sound:
            begin = view.start + number * step
            until = begin + step - _EPSILON
            yield Words(text=clock(begin), seconds=begin)
            while picture and picture.seconds is not None and picture.seconds < until:
                yield picture
                picture = next(seen, None)
            while sound and sound.seconds < until:
                yield sound
                sound = next(heard, None)
            number += 1


def pictures(content: Content, view: View, limits: Limits = LIMITS) -> Iterator[Picture]:
    """What is on the screen at `start`, `start` + 1 / fps, ... Raises Unreadable."""
    with opened(content, limits) as container:
        stream = film_of(container, limits)
        if stream is None:
            raise Unreadable("has no pictures that can be decoded", "name a film that has")
        look = _Look(stream, origin_of(container), view)
        frames = decoded_from(container, stream, VideoFrame, view.start, look.spare)
        number = sought = 0
        for frame, until in look.shown(frames):
            picture = None
            while (at := view.start + number / view.fps) < until - _EPSILON:
                if at > limits.max_seconds:
                    raise too_long(limits)
                if view.end is not None and at > view.end - _EPSILON:
                    return
                picture = picture or look.picture(frame)
                yield replace(picture, seconds=at)
                number += 1
            if at - until > _FAR and sought < number:
                sought = number
                seek(container, at)
        if not number and view.start:
            raise Unreadable(f"ends before {clock(view.start)}", "begin earlier")
        if not number:
            raise Unreadable("has no pictures that can be decoded", "name a film that has")


class _Look:
    """How the frames of one stream are chosen, turned and scaled."""

    def __init__(self, stream: VideoStream, origin: float, view: View) -> None:
        self.stream = stream
        self.origin = origin
        self.view = view
        self.rate = float(stream.average_rate or stream.guessed_rate or 25)
        # Only then is the time of a frame until the next one known in advance.
        self.is_steady = stream.average_rate == stream.base_rate
        self.reformatter = VideoReformatter()

    def time(self, stamp: int) -> float:
        return float(stamp * (self.stream.time_base or 0)) - self.origin

    def spare(self, packet: Packet) -> None:
        """Lets the decoder leave out frames that nobody wants and no other frame refers to."""
        needed = True
        if self.is_steady and packet.pts is not None:
            at = self.time(packet.pts)
            steps = math.ceil((at - _EPSILON - self.view.start) * self.view.fps)
            needed = self.view.start + max(0, steps) / self.view.fps < at + 2 / self.rate
        self.stream.codec_context.skip_frame = "DEFAULT" if needed else "NONREF"

    def shown(self, frames: Iterator[VideoFrame]) -> Iterator[tuple[VideoFrame, float]]:
        """Each frame, and until when it is on the screen."""
        frame, since = None, 0.0
        for after in frames:
            if after.pts is not None:
                until = self.time(after.pts)
            else:
                until = since + 1 / self.rate if frame else since
            if frame is not None and until > since:
                if until - since > LONGEST_STILL:
                    raise damaged(since)
                yield frame, until
            frame, since = after, until
        if frame is not None:
            lasts = self.time(frame.duration) + self.origin if frame.duration else 0.0
            yield frame, since + min(lasts or 1 / self.rate, LONGEST_STILL)

    def picture(self, frame: VideoFrame) -> Picture:
        """Upright, in square pixels."""
        turns = round(frame.rotation / 90) % 4
        stretch = float(self.stream.sample_aspect_ratio or 1)
        size = (frame.width * stretch, frame.height)
        width, height = self.view.fitted(*(size[::-1] if turns % 2 else size))
        width, height = (height, width) if turns % 2 else (width, height)
        scaled = self.reformatter.reformat(
            frame, width, height, format="rgb24", interpolation=Interpolation.AREA
        )
        pixels = np.ascontiguousarray(np.rot90(scaled.to_ndarray(), turns))
        at = 0.0 if frame.pts is None else self.time(frame.pts)
        return Picture(pixels=pixels, seconds=at, frame=max(0, round(at * self.rate)))
