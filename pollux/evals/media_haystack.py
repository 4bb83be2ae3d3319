# SPDX-License-Identifier: Apache-2.0
"""A long haystack of sound or film in RAM, some seconds of which are exchanged and put back.

What is exchanged has as many tokens, so nothing moves: seconds of speech for as many with a needle
in them, a frame for the same frame with writing on it. Only what the exchange reaches is read
again, as in a haystack of text (evals/grid.py).

For a model without eyes or ears all of it is read again, as what is written and said in it: every
frame is looked at and every scene listened to only once, a scene by itself. Read in full, as an
audit does, sound is listened to from its beginning.
"""

import hashlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from pollux import interleaved, prompt
from pollux.config import BLOCK
from pollux.engine import edit, listening, media, reader, watching
from pollux.engine.answer import Respondent
from pollux.engine.model import Loaded
from pollux.errors import InputError
from pollux.evals import grid
from pollux.media.content import Content
from pollux.media.part import Kind, Part
from pollux.media.piece import Picture, Piece, Sound, Words, clock
from pollux.memory.reading import Reading

NAMES: dict[Kind, str] = {"audio": "haystack.wav", "video": "haystack.mp4"}
FRAME_RATE = 24
Shown = np.ndarray  # a second: float32 [frames, bins] of log-mel, or uint8 [H, W, 3]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """Seconds that stay together: a clip of speech between pauses, or some of a film.

    `free`: where a needle may begin.
    """

    seconds: tuple[Shown, ...]
    free: tuple[bool, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """Scenes that haystacks are put together from, every one in a new order once all were used."""

    kind: Kind  # "audio" or "video"
    names: tuple[str, ...]
    scenes: tuple[Scene, ...]
    said: frozenset[str] = frozenset()  # facts that are stated in it, which are never asked for

    @property
    def seconds(self) -> int:
        return sum(len(scene.seconds) for scene in self.scenes)

    @property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for scene in self.scenes:
            for second in scene.seconds:
                digest.update(np.ascontiguousarray(second).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class Haystack:
    """Second i is second `second[i]` of scene `scene[i]`; its tokens begin at `starts[i]`."""

    model: Loaded
    source: Source
    scene: np.ndarray  # int32 [seconds]
    second: np.ndarray  # int32 [seconds]
    starts: np.ndarray  # int64 [seconds + 1]
    reading: Reading
    respondent: Respondent
    look: "Once"
    hear: "OnceHeard"

    def __len__(self) -> int:
        return len(self.scene)

    @property
    def tokens(self) -> np.ndarray:
        return self.reading.tokens[: self.reading.parts[0].end]

    @property
    def about(self) -> dict[str, float | int]:
        repeats = len(self) / self.source.seconds
        return {
            "tokens": self.reading.num_valid,
            "played": len(self),
            "repeats": round(repeats, 3) if repeats > 1 else 0.0,
        }

    def shown(self, at: int) -> Shown:
        return self.source.scenes[self.scene[at]].seconds[self.second[at]]

    @property
    def is_written_down(self) -> bool:
        return is_written_down(self.model, self.source.kind)

    @cached_property
    def is_free(self) -> np.ndarray:
        """Of every second, whether a needle may begin there."""
        firsts = np.cumsum([0, *(len(scene.free) for scene in self.source.scenes)])
        free = np.concatenate([np.array(scene.free, bool) for scene in self.source.scenes])
        return free[firsts[self.scene] + self.second]


@dataclass(frozen=True, kw_only=True, eq=False)
class Planted:
    """`seconds` become others; the needle is there from `begins` to `ends`, in seconds."""

    seconds: Mapping[int, Shown]
    begins: float
    ends: float
    depth: float


class Once:
    """What is seen on frames; on each of a source once, though it is shown again and again."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[np.ndarray, watching.Sight]] = {}

    def __call__(self, frame: np.ndarray) -> watching.Sight:
        if id(frame) not in self.known:
            self.known[id(frame)] = frame, watching.sight(frame)
        return self.known[id(frame)][1]


class OnceHeard:
    """What is said in scenes; in each once, though it is played again and again."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, int], list[Words]] = {}

    def __call__(
        self,
        source: Source,
        scene: np.ndarray,
        second: np.ndarray,
        planted: Mapping[int, Shown] | None = None,
    ) -> Iterator[Words]:
        """Of a whole haystack, whole scenes of which may be exchanged."""
        exchanged, at = planted or {}, 0
        while at < len(scene):
            begin = at
            if at in exchanged:
                while at in exchanged:
                    at += 1
                said = _said([exchanged[n] for n in range(begin, at)])
            else:
                at += 1
                while at < len(scene) and second[at] and at not in exchanged:
                    at += 1
                key = int(scene[begin]), at - begin
                if key not in self.known:
                    self.known[key] = _said(source.scenes[key[0]].seconds[: key[1]])
                said = self.known[key]
            for one in said:
                yield _later(one, begin)


def _said(seconds: Sequence[Shown]) -> list[Words]:
    sounds = (Sound(mel=mel, seconds=float(at)) for at, mel in enumerate(seconds))
    return [piece for piece in listening.written_down(sounds) if isinstance(piece, Words)]


def _later(words: Words, by: int) -> Words:
    begins, ends = float(words.seconds or 0) + by, float(words.ends or 0) + by
    text = f"{clock(begins)} {words.text.partition(' ')[2]}"
    return replace(words, text=text, seconds=begins, ends=ends)


def is_written_down(model: Loaded, kind: Kind) -> bool:
    """Whether what is in sound or film is read as text."""
    return (model.config.audio if kind == "audio" else model.config.vision) is None


def order(source: Source, seconds: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scene and second of each second of a haystack; the last scene may be cut."""
    scenes: list[np.ndarray] = []
    inside: list[np.ndarray] = []
    total = 0
    while total < seconds:
        for number in rng.permutation(len(source.scenes)).tolist():
            size = len(source.scenes[number].seconds)
            scenes.append(np.full(size, number, np.int32))
            inside.append(np.arange(size, dtype=np.int32))
            total += size
    return np.concatenate(scenes)[:seconds], np.concatenate(inside)[:seconds]


def pieces_of(kind: Kind, at: int, shown: Shown) -> list[Piece]:
    """Second `at`, as `media.audio` and `media.video` give one."""
    if kind == "audio":
        return [Sound(mel=shown, seconds=float(at))]
    label = Words(text=clock(float(at)), seconds=float(at))
    return [label, Picture(pixels=shown, seconds=float(at), frame=at * FRAME_RATE)]


def read(
    model: Loaded,
    source: Source,
    seconds: int,
    rng: np.random.Generator,
    report: reader.Report = lambda progress: None,
) -> Haystack:
    scene, second = order(source, seconds, rng)
    scenes = source.scenes
    shown = (scenes[i].seconds[j] for i, j in zip(scene, second, strict=True))
    look, hear = Once(), OnceHeard()
    written = is_written_down(model, source.kind)
    if source.kind == "audio" and written:
        reading = read_words(model, hear(source, scene, second), report)
    else:
        reading = read_seconds(model, source.kind, shown, report, look)
    part = reading.parts[0]
    if written:
        starts = np.zeros(seconds + 1)  # of what is written down nothing is exchanged
    elif source.kind == "audio":  # one mark: the time of a token of sound follows from it
        first = part.start + part.marks[0].at
        starts = first + np.arange(seconds + 1) * (1000 // media.STEP)
    else:
        starts = np.array([*(part.start + mark.at for mark in part.marks), part.end])
    return Haystack(
        model=model,
        source=source,
        scene=scene,
        second=second,
        starts=starts.astype(np.int64),
        reading=reading,
        respondent=Respondent(model, reading),
        look=look,
        hear=hear,
    )


def read_words(
    model: Loaded, words: Iterator[Words], report: reader.Report = lambda progress: None
) -> Reading:
    """What is said in a recording, as if it had been listened to."""
    part = Part(name=NAMES["audio"], kind="audio", content=Content(data=b"put together"))
    return reader._read(
        model, [part], reader.Kept(model), report, media.Way(pieces=lambda _: words)
    )


def read_seconds(
    model: Loaded,
    kind: Kind,
    shown: Iterator[Shown],
    report: reader.Report = lambda progress: None,
    look: watching.Looked | None = None,
) -> Reading:
    """A part of that kind, into RAM; nothing is encoded and decoded on the way."""
    part = Part(name=NAMES[kind], kind=kind, content=Content(data=b"put together"))

    def played(_: Part) -> Iterator[Piece]:
        for at, one in enumerate(shown):
            yield from pieces_of(kind, at, one)

    way = media.Way(pieces=played, look=look)
    return reader._read(model, [part], reader.Kept(model), report, way)


def read_anew(
    haystack: Haystack, planted: Planted, report: reader.Report = lambda progress: None
) -> Reading:
    """All of it with the needle in it, from the beginning."""
    shown = (planted.seconds.get(at, haystack.shown(at)) for at in range(len(haystack)))
    return read_seconds(haystack.model, haystack.source.kind, shown, report, haystack.look)


def place(haystack: Haystack, depth: float, size: int, turn: int = 0) -> tuple[int, int]:
    """Where `size` seconds or more may be exchanged, nearest `depth`, 0 to 1: from, to before.

    Of sound whole scenes are, so that no word is cut. With a `turn` the next nearest, as far as
    they are near. InputError without room.
    """
    free = np.flatnonzero(haystack.is_free)
    away = np.abs(free - depth * max(0, len(haystack) - size))
    ordered = free[np.argsort(away, kind="stable")]
    turn %= max(1, int((away <= grid.NEAR * len(haystack)).sum()))
    for first in (*ordered[turn:], *ordered[:turn]):
        if end := _end(haystack, int(first), size):
            return int(first), end
    raise InputError("the haystack has no room for the needle; take a longer one")


def _end(haystack: Haystack, first: int, size: int) -> int:
    """One past the last second exchanged; 0 where the haystack ends before."""
    end = first + size
    if haystack.source.kind == "audio":
        while end < len(haystack) and not haystack.is_free[end]:
            end += 1
    return end if end <= len(haystack) else 0


def stretch(
    haystack: Haystack, planted: Planted, context: int, end: int
) -> interleaved.Interleaved:
    """Tokens `context` to before `end` of the haystack with the needle in it."""
    starts, kind = haystack.starts, haystack.source.kind
    first = max(0, int(np.searchsorted(starts, context, side="right")) - 1)
    last = min(len(haystack), int(np.searchsorted(starts, end)))
    # A second more at either end: else sound would begin and end here.
    before, after = max(0, first - 1), min(len(haystack), last + 1)
    tokenizer = haystack.model.tokenizer
    given: list[Piece | np.ndarray] = []
    if before == 0:
        given.append(prompt.part_header(tokenizer, NAMES[kind]))
    for at in range(before, after):
        given += pieces_of(kind, at, planted.seconds.get(at, haystack.shown(at)))
    made = interleaved.interleaved(tokenizer, given)
    # Where the first second is not the haystack's, a marker of sound stands before it.
    offset = 0 if before == 0 else int(starts[before + 1]) - _tokens_of_one(made, kind)
    return made.cut(context - offset, end - offset)


def _tokens_of_one(made: interleaved.Interleaved, kind: Kind) -> int:
    """Tokens of the first second of a stretch."""
    return int(made.spans[0 if kind == "audio" else 1][1])


@contextmanager
def overwritten(haystack: Haystack, planted: Planted) -> Generator[Respondent, None, None]:
    """Answers as if the needle were in the haystack; afterwards that is as it was, bit by bit.

    What is written or said in it, where that is written down, is all read again: it is little.
    """
    if haystack.is_written_down:
        if haystack.source.kind == "audio":
            of_all = haystack.source, haystack.scene, haystack.second, planted.seconds
            reading = read_words(haystack.model, haystack.hear(*of_all))
        else:
            reading = read_anew(haystack, planted)
        yield Respondent(haystack.model, reading)
        return
    model, starts, tokens = haystack.model, haystack.starts, haystack.tokens
    first, last = min(planted.seconds), max(planted.seconds) + 1
    start, end = int(starts[first]), int(starts[last])
    change = edit.Rewritten(start=start, end=end, ids=tokens[start:end])
    [one] = edit._rereads([change], model.config.receptive_field, len(tokens))
    made = stretch(haystack, planted, one.context, one.end)
    spans, stretches = [slice(one.start, one.end)], haystack.respondent.stretches
    with grid.put_back(haystack.reading, stretches, spans):
        memory = _memory(model, made, slice(one.start - one.context, one.end - one.context))
        columns = [(*memory, tokens[one.start : one.end])]
        grid.put(haystack.reading, stretches, spans, columns)
        yield haystack.respondent


def _memory(model: Loaded, made: interleaved.Interleaved, rows: slice) -> Sequence[np.ndarray]:
    """Keys, values and their scales of some rows of a stretch that is read by itself."""
    size = len(made.ids)
    whole = interleaved.fitted(made, size + -size % BLOCK)
    run = reader.Run(0, whole.ids, 0, BLOCK - -size % BLOCK, whole)
    step = min(reader.CHUNK, max(edit.LEAST_CHUNK, 1 << (len(whole.ids) - 1).bit_length()))
    got = [memory for _, memory in reader.memories(model, [run], step)]
    columns = [np.concatenate([np.asarray(one[i]) for one in got]) for i in range(4)]
    return [column[rows] for column in columns]
