# SPDX-License-Identifier: Apache-2.0
"""How fast media are decoded, in the tokens that they come to: reading must not wait for it.

And how fast they become what spark reads: decoded, looked at, listened to, written down as text.
"""

import dataclasses
import json
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

import pollux
from pollux.bench.machine import machine
from pollux.engine.media import Way, sequence
from pollux.engine.model import Loaded
from pollux.media.inputs import open_parts
from pollux.media.mel import RATE, TOKEN_FRAMES
from pollux.media.part import MEDIA, Part
from pollux.media.piece import Picture, Piece, Sound
from pollux.media.resolution import PATCH
from pollux.media.stream import pieces
from pollux.media.view import View
from pollux.tokenizer import Tokenizer

FILM_SECONDS = 30
SOUND_SECONDS = 600
PHOTO = 4000, 3000  # pixels
PACKAGES = ("pollux", "av", "pillow", "pypdfium2", "numpy")


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """`seconds` and `cpu_seconds` it took; `played`: seconds of sound or film, else 0.

    `written_seconds`: until all that is written and said in it is text, decoding included.
    """

    name: str
    kind: str
    pictures: int
    played: float
    tokens: int
    seconds: float
    cpu_seconds: float
    written_seconds: float

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds

    @property
    def times_real(self) -> float:
        return self.played / self.seconds


def bench_media(paths: Sequence[Path], view: View, repeats: int = 3) -> list[Decoded]:
    """Of each part the fastest of `repeats`; of samples made for it where no path is given."""
    model = pollux.load().loaded
    found = []
    with samples(paths) as files:
        for part in open_parts(files, kinds=MEDIA):
            if part.kind in MEDIA:
                runs = [decode(part, view, model) for _ in range(repeats)]
                written = min(run.written_seconds for run in runs)  # the first one compiles
                best = min(runs, key=lambda run: run.seconds)
                found.append(dataclasses.replace(best, written_seconds=written))
    return found


def decode(part: Part, view: View, model: Loaded) -> Decoded:
    """All of a part, its pieces dropped as they come; then once more, as spark reads it."""
    pictures, played, tokens = 0, 0.0, 0
    began, cpu_began = time.perf_counter(), time.process_time()
    for piece in pieces(part, view):
        pictures += isinstance(piece, Picture)
        tokens += tokens_of(piece, model.tokenizer)
        if part.kind in ("audio", "video"):
            played = (piece.seconds or 0.0) + 1.0 - view.start
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    began = time.perf_counter()
    for _ in sequence(model, part, Way(view=view), 0, []):
        pass
    return Decoded(
        name=part.name,
        kind=part.kind,
        pictures=pictures,
        played=played,
        tokens=tokens,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        written_seconds=time.perf_counter() - began,
    )


def tokens_of(piece: Piece, tokenizer: Tokenizer) -> int:
    """A patch, 40 ms of sound, or a token of text."""
    if isinstance(piece, Picture):
        return piece.pixels.shape[0] * piece.pixels.shape[1] // PATCH**2
    if isinstance(piece, Sound):
        return len(piece.mel) // TOKEN_FRAMES
    return len(tokenizer.encode(piece.text))


def save(found: list[Decoded], view: View, path: Path) -> None:
    record = {
        "view": dataclasses.asdict(view),
        "decoded": [dataclasses.asdict(one) for one in found],
        "machine": str(machine(PACKAGES)),
    }
    path.write_text(json.dumps(record, indent=1) + "\n")


@contextmanager
def samples(paths: Sequence[Path]) -> Generator[list[Path], None, None]:
    """The paths; or a 480p film with sound, a recording and a photo of 12 megapixels."""
    if paths:
        yield list(paths)
        return
    with tempfile.TemporaryDirectory() as made:
        files = [Path(made) / name for name in ("film.mp4", "recording.opus", "photo.jpg")]
        make_film(files[0])
        make_recording(files[1])
        Image.fromarray(scene(0.0, *PHOTO)).save(files[2], quality=90)
        yield files


def scene(seconds: float, width: int, height: int) -> np.ndarray:
    """Waves that travel, uint8 [height, width, 3]: some motion and texture for the codec."""
    x = np.arange(width, dtype=np.float32)[None] / 40
    y = np.arange(height, dtype=np.float32)[:, None] / 30
    waves = [np.sin(x * a + y * b + seconds * c) for a, b, c in ((1, 2, 3), (2, -1, 1), (5, 4, 2))]
    return (127.5 + 127.5 * np.stack(np.broadcast_arrays(*waves), -1)).astype(np.uint8)


def make_film(path: Path) -> None:
    with av.open(str(path), "w") as container:
        film = container.add_stream("libx264", rate=24, options={"preset": "veryfast"})
        film.width, film.height, film.pix_fmt = 854, 480, "yuv420p"
        sound = container.add_stream("aac", rate=RATE, layout="mono")
        frames = (
            av.VideoFrame.from_ndarray(scene(number / 24, 854, 480), "rgb24")
            for number in range(24 * FILM_SECONDS)
        )
        for frame in frames:
            container.mux(film.encode(frame))
        container.mux(film.encode(None))
        for frame in tone(FILM_SECONDS):
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))


def make_recording(path: Path) -> None:
    with av.open(str(path), "w") as container:
        sound = container.add_stream("libopus", rate=48_000, layout="mono")
        resampler = av.AudioResampler(sound.format.name, "mono", 48_000)
        for frame in tone(SOUND_SECONDS):
            for resampled in resampler.resample(frame):
                container.mux(sound.encode(resampled))
        container.mux(sound.encode(None))


def tone(seconds: int) -> Iterator[av.AudioFrame]:
    """A second a frame, a hum with noise."""
    rng = np.random.default_rng(0)
    for number in range(seconds):
        hum = np.sin(np.arange(RATE) * 2 * np.pi * (200 + number % 50) / RATE)
        samples = (0.3 * hum + 0.02 * rng.standard_normal(RATE)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples[None], "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, number * RATE, Fraction(1, RATE)
        yield frame
