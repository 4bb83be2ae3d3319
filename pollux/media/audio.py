# SPDX-License-Identifier: Apache-2.0
"""Sound as 16 kHz mono, and as log-mel frames: hours of it in the memory of a second."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from jaxtyping import Float32

from pollux.media.container import decoded_from, opened, origin_of, sound_of, too_long
from pollux.media.content import Content
from pollux.media.limits import LIMITS, Limits, Unreadable
from pollux.media.mel import RATE, SECOND, mel_blocks
from pollux.media.piece import LONGEST_STILL, Sound, clock

Samples = Float32[np.ndarray, "_"]

_WARM_UP = 1.0  # seconds decoded before a start: codecs carry on what came before
_RATES = range(2_000, 1_000_001)  # samples a second that sound is recorded with
_GAP = 0.1  # seconds without packets that are silence, not rounding


def sounds(
    content: Content, start: float = 0.0, end: float | None = None, limits: Limits = LIMITS
) -> Iterator[Sound]:
    """A second of log-mel frames at a time. Raises Unreadable."""
    at = 0
    for mel in mel_blocks(samples(content, start, end, limits)):
        yield Sound(mel=mel, seconds=start + at / SECOND)
        at += len(mel)


def samples(
    content: Content, start: float = 0.0, end: float | None = None, limits: Limits = LIMITS
) -> Iterator[Samples]:
    """16 kHz mono from `start` to before `end` seconds, as it is decoded; gaps are silence.

    Raises Unreadable where there is nothing.
    """
    first, last = round(start * RATE), None if end is None else round(end * RATE)
    position = given = 0
    with opened(content, limits) as container:
        stream = sound_of(container)
        if stream is None:
            raise Unreadable("has no sound that can be decoded", "convert it")
        frames = decoded_from(container, stream, AudioFrame, start - _WARM_UP)
        for begin, run in _placed(frames, origin_of(container)):
            position = begin + len(run)
            if position > limits.max_seconds * RATE:
                raise too_long(limits)
            missing = begin - first - given
            gap = missing if last is None else min(missing, last - first - given)
            yield from _silence(gap)
            given += max(0, gap)
            run = run[max(0, -missing) : None if last is None else max(0, last - begin)]
            given += len(run)
            if len(run):
                yield run
            if last is not None and position >= last:
                return
    if not position:
        raise Unreadable("has no sound in it", "name a recording that has")
    if not given:
        raise Unreadable(f"ends before {clock(start)}", "begin earlier")


def _placed(frames: Iterator[AudioFrame], origin: float) -> Iterator[tuple[int, Samples]]:
    """Resampled, with the position of the first sample at 16 kHz.

    What is resampled begins where a sample at one rate falls together with one at the other, so
    that the same samples come out wherever decoding began.
    """
    resampler, position, expected, shape = None, 0, 0.0, ()
    for frame in frames:
        rate = frame.sample_rate
        if rate not in _RATES:
            raise Unreadable(f"has {rate:,} samples a second, which is no sound", "fetch it again")
        at = expected if frame.time is None else frame.time - origin
        before, shape = shape, (rate, frame.format.name, frame.layout.name)
        if resampler is None or shape != before or _GAP < at - expected < LONGEST_STILL:
            if resampler is not None:
                yield from _runs(position, resampler, None)
            step = rate // math.gcd(rate, RATE)
            index = round(at * rate)
            frame = _cut(frame, -index % step)
            if frame is None:
                continue
            index += -index % step
            position, expected = index // step * (RATE // math.gcd(rate, RATE)), index / rate
            resampler = AudioResampler(format="flt", layout="mono", rate=RATE)
        expected += frame.samples / rate
        for begin, run in _runs(position, resampler, frame):
            yield begin, run
            position = begin + len(run)
    if resampler is not None:
        yield from _runs(position, resampler, None)


def _runs(
    position: int, resampler: AudioResampler, frame: AudioFrame | None
) -> Iterator[tuple[int, Samples]]:
    for resampled in resampler.resample(frame):
        run = resampled.to_ndarray()[0]
        yield position, run
        position += len(run)


def _cut(frame: AudioFrame, number: int) -> AudioFrame | None:
    """Without its first samples; None if that is all of it."""
    if not number:
        return frame
    data = frame.to_ndarray()
    width = 1 if frame.format.is_planar else frame.layout.nb_channels  # values a sample
    if number >= frame.samples:
        return None
    rest: Any = np.ascontiguousarray(data[:, number * width :])
    shorter = AudioFrame.from_ndarray(rest, frame.format.name, frame.layout.name)
    shorter.sample_rate = frame.sample_rate
    return shorter


def _silence(number: int) -> Iterator[Samples]:
    while number > 0:
        yield np.zeros(min(number, RATE), np.float32)
        number -= RATE
