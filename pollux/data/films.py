# SPDX-License-Identifier: Apache-2.0
"""Sound tracks, and films drawn frame by frame: what is said and shown is known to the second.

A film has for each second its time, the frame then on the screen and its sound, as `media.video`
decodes one; nothing is encoded on the way. Icons move over a background that pans; now and then
there are subtitles, title cards, and on one frame a fact is written: The secret word is "garden".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from pollux.data import pictures
from pollux.data.art import Font, Icon, face, font_path
from pollux.data.facts import ADJECTIVES, NOUNS
from pollux.data.material import FILM_ENDS, SOUND_ENDS, Material
from pollux.data.pictures import SCALE
from pollux.data.scene import Event, Mark, Place, Scene, heard
from pollux.data.speech import (
    Clip,
    Samples,
    noisy,
    seconds_of_sound,
    silence,
    spliced,
    trimmed,
    varied,
)
from pollux.media.mel import RATE
from pollux.media.piece import Picture, Piece, Words, clock
from pollux.media.resolution import PATCH, Resolution, fitted

ASPECTS = ((1920, 1080), (1920, 1080), (1440, 1080), (1080, 1080), (1920, 800), (1080, 1920))
STATEMENTS = ('The {f} is "{v}"', "The {f} is {v}.", "The {f} is: {v}", "The {f} was {v}.")
UNSEEN_STATEMENTS = ('Your {f} will be "{v}"', "Note: the {f} is now {v}")
SMALLEST = 9  # pixels: letters on a frame of at most
USUAL = 160  # pixels across; on a larger one they are larger
LATEST = 3_000  # seconds at which a film may begin that is a piece of a longer one
FRAME_RATE = 24


@dataclass(frozen=True, eq=False)
class Track:
    """`said`: clips, and the seconds of each of their characters."""

    samples: Samples
    said: tuple[tuple[Clip, np.ndarray], ...]


def track(material: Material, rng: np.random.Generator, seconds: int | float) -> Track:
    """So many seconds of speech and pauses; no fact is stated twice."""
    runs: list[Samples] = []
    said: list[tuple[Clip, np.ndarray]] = []
    at, stated = 0.0, set()
    pause = rng.uniform(0.2, 1.5)
    while at < seconds:
        runs.append(silence(rng.exponential(pause) + 0.08))
        at += len(runs[-1]) / RATE
        clip = _clip(material, rng)
        samples, spans = varied(rng, trimmed(clip))
        if at + len(samples) / RATE > seconds:
            break
        if clip.fact:
            if clip.fact in stated:
                continue
            stated.add(clip.fact)
        said.append((clip, spans + at))
        runs.append(samples)
        at += len(samples) / RATE
    whole = spliced([*runs, silence(seconds)])[: round(seconds * RATE)]
    return Track(noisy(rng, whole), tuple(said))


def _clip(material: Material, rng: np.random.Generator) -> Clip:
    kinds = {
        "words": (material.words, 0.3),
        "sentences": (material.sentences, 0.3),
        "facts": (material.facts, 0.2),
        "digits": (material.digits, 0.2),
    }
    there = [(clips, share) for clips, share in kinds.values() if clips]
    shares = np.array([share for _, share in there])
    clips = there[int(rng.choice(len(there), p=shares / shares.sum()))][0]
    return clips[int(rng.integers(len(clips)))]


def recording(material: Material, rng: np.random.Generator, seconds: int | float) -> Scene:
    """One part of sound."""
    name = material.name(rng, SOUND_ENDS)
    made = track(material, rng, seconds)
    return _recorded(material, name, spliced([made.samples]), made.said)


def utterance(material: Material, rng: np.random.Generator, most: int | float) -> Scene | None:
    """One clip alone, or a few digits in a row, to be transcribed; None if longer than `most`."""
    name = material.name(rng, SOUND_ENDS)
    several = rng.random() < 0.3 and material.digits
    clips = (
        [
            material.digits[int(n)]
            for n in rng.integers(len(material.digits), size=rng.integers(2, 7))
        ]
        if several
        else [_clip(material, rng)]
    )
    runs = [silence(rng.uniform(0, 0.5))]
    spans: list[np.ndarray] = []
    for clip in clips:
        samples, own = varied(rng, trimmed(clip))
        at = sum(map(len, runs)) / RATE
        # The space between two words is where the second begins.
        spans += [own[:1] + at] * bool(spans) + [own + at]
        runs += [samples, silence(rng.uniform(0.05, 0.4))]
    samples = noisy(rng, spliced(runs))
    if len(samples) > most * RATE:
        return None
    whole = replace(clips[0], text=" ".join(clip.text for clip in clips)) if several else clips[0]
    return _recorded(material, name, samples, ((whole, np.concatenate(spans)),))


def _recorded(
    material: Material, name: str, samples: Samples, said: Sequence[tuple[Clip, np.ndarray]]
) -> Scene:
    pieces: list[Piece | np.ndarray] = [material.header(name), *seconds_of_sound(samples)]
    where = list(range(1, len(pieces)))
    events = [said_event(clip, spans, where, name) for clip, spans in said]
    return Scene("recording", pieces, events, samples)


def said_event(clip: Clip, spans: np.ndarray, where: Sequence[int], name: str) -> Event:
    """`where[n]`: the piece that holds second n of the sound."""
    return Event(
        kind="said",
        text=clip.text,
        places=heard(spans, where),
        name=name,
        seconds=float(spans[0, 0]),
        fact=clip.fact,
        value=clip.value,
    )


@dataclass(frozen=True)
class Sprite:
    """An icon from second `start` to before `end`; centres and their shift, as shares of a side."""

    icon: Icon
    start: int
    end: int
    at: tuple[float, float]
    shift: tuple[float, float]
    side: float
    seed: int  # of its colour, if it is an outline


@dataclass(frozen=True)
class Caption:
    """Lines on the frames from second `start` to before `end`."""

    text: str
    start: int
    end: int
    height: float  # of their middle, as a share of the frame's
    seed: int  # of their size and colours, the same on every frame
    card: bool = False  # nothing else is on the frame
    fact: str = ""
    value: str = ""


def film(material: Material, rng: np.random.Generator, seconds: int, sound: bool = True) -> Scene:
    """So many seconds of a film, which need not be its first."""
    resolution: Resolution = "low" if rng.random() < 0.15 else "medium"
    width, height = fitted(*ASPECTS[int(rng.integers(len(ASPECTS)))], resolution)
    begin = int(rng.integers(LATEST)) if rng.random() < 0.5 else 0
    made = track(material, rng, seconds) if sound and material.has_speech else None
    name = material.name(rng, FILM_ENDS)
    pieces: list[Piece | np.ndarray] = [material.header(name)]
    heard_in, seen_in = [], []
    sounds = seconds_of_sound(made.samples) if made else []
    frames, marks = drawn_frames(material, rng, seconds, width, height)
    for second in range(seconds):
        at = float(begin + second)
        pieces.append(Words(text=clock(at), seconds=at))
        seen_in.append(len(pieces))
        number = (begin + second) * FRAME_RATE
        pieces.append(Picture(pixels=frames[second], seconds=at, frame=number))
        if sounds:
            heard_in.append(len(pieces))
            pieces.append(replace(sounds[second], seconds=at))
    events = _seen(marks, seen_in, name, begin)
    for clip, spans in made.said if made else ():
        event = said_event(clip, spans, heard_in, name)
        events.append(replace(event, seconds=(event.seconds or 0.0) + begin))
    return Scene("film", pieces, events, made.samples if made else None)


def _seen(
    marks: list[tuple[int, int, Mark]], seen_in: list[int], name: str, begin: int
) -> list[Event]:
    """One event of all marks of a thing; `marks` have its number, the second and the mark."""
    found: dict[int, Event] = {}
    for number, second, mark in marks:
        event = mark.event(seen_in[second], name, float(begin + second))
        if number in found:
            last = Place(seen_in[second], *mark.spans[-1])
            found[number] = replace(found[number], to=last)
        else:
            found[number] = event
    return list(found.values())


def drawn_frames(
    material: Material, rng: np.random.Generator, seconds: int, width: int, height: int
) -> tuple[list[np.ndarray], list[tuple[int, int, Mark]]]:
    """Frames, and what is on them: number of the thing, second, mark."""
    sprites = _sprites(material, rng, seconds)
    captions = _captions(material, rng, seconds, small=width * height < 100 * PATCH**2 // 4)
    columns, rows = width // PATCH, height // PATCH
    wide = pictures.background(material.art, rng, columns * 2, rows * 2)
    pan = rng.uniform(0, 1, (2, 2))  # from where to where
    fonts = [pictures.any_font(material.art, rng) for _ in range(2)]
    frames, marks = [], []
    for second in range(seconds):
        along = pan[0] + (pan[1] - pan[0]) * second / max(1, seconds - 1)
        left, top = (int(a * side * SCALE) for a, side in zip(along, (width, height), strict=True))
        box = left, top, left + width * SCALE, top + height * SCALE
        canvas = wide.crop(box)
        shown = [(n, c) for n, c in enumerate(captions) if c.start <= second < c.end]
        is_card = any(caption.card for _, caption in shown)
        for n, sprite in enumerate(() if is_card else sprites):
            if sprite.start <= second < sprite.end:
                mark = _place(material, canvas, sprite, second)
                marks.append((len(captions) + n, second, mark))
        for n, caption in shown:
            own = np.random.default_rng(caption.seed)
            if is_card:
                canvas.paste(tuple(int(c) for c in own.integers(0, 50, 3)), (0, 0, *canvas.size))
            mark = overlaid(material, canvas, own, fonts[caption.card], caption)
            if mark is not None:
                marks.append((n, second, mark))
        frames.append(pictures.finished(canvas, rng, worn=0.2))
    return frames, marks


def _sprites(material: Material, rng: np.random.Generator, seconds: int) -> list[Sprite]:
    """Each icon once, for some seconds."""
    if not material.art.icons:
        return []
    found: dict[str, Sprite] = {}
    for _ in range(max(1, round(seconds * rng.uniform(0.2, 0.6)))):
        icon = material.art.icons[int(rng.integers(len(material.art.icons)))]
        start = int(rng.integers(seconds))
        end = start + int(rng.integers(1, max(2, seconds // 2)))
        x, y = rng.uniform(0.2, 0.8, 2)
        shift = rng.normal(0, 0.08, 2)
        seed = int(rng.integers(1 << 31))
        side = float(rng.uniform(0.3, 0.75))
        moved = float(shift[0]), float(shift[1])
        found[icon.name] = Sprite(icon, start, end, (float(x), float(y)), moved, side, seed)
    return list(found.values())


def _place(material: Material, canvas: Image.Image, sprite: Sprite, second: int) -> Mark:
    width, height = (side / SCALE for side in canvas.size)
    passed = second - sprite.start
    x = float(np.clip(sprite.at[0] + sprite.shift[0] * passed, 0.15, 0.85))
    y = float(np.clip(sprite.at[1] + sprite.shift[1] * passed, 0.15, 0.85))
    side = sprite.side * min(width, height)
    centre = x * width, y * height
    rng = np.random.default_rng(sprite.seed)
    return pictures.place_icon(canvas, material.art, sprite.icon, rng, centre, side)


def _captions(
    material: Material, rng: np.random.Generator, seconds: int, small: bool
) -> list[Caption]:
    """Subtitles and title cards, none at the same time as another; a fact on one frame."""
    vocabulary, found = material.kit.vocabulary, []
    second = int(rng.integers(0, 3))
    while second < seconds:
        lasts = int(rng.integers(1, 4))
        kind = rng.random()
        several = 1 if small else int(rng.integers(1, 4))
        text = " ".join(
            pictures.words_to_draw(vocabulary, rng, material.evaluation) for _ in range(several)
        )
        seed = int(rng.integers(1 << 31))
        if kind < 0.3 and not small:
            found.append(_stated(material, rng, second, seed))
            lasts = 1
        elif kind < 0.5:
            found.append(Caption(text, second, second + lasts, 0.5, seed, card=True))
        else:
            height = float(rng.uniform(0.75, 0.88))
            found.append(Caption(text, second, second + lasts, height, seed))
        second += lasts + int(rng.integers(0, 3))
    unique = {caption.fact or caption.text.lower(): caption for caption in found}
    return list(unique.values())


def _stated(material: Material, rng: np.random.Generator, second: int, seed: int) -> Caption:
    vocabulary = material.kit.vocabulary
    noun = vocabulary.pick(rng, ("word", "keyword", *NOUNS))
    fact = f"{vocabulary.pick(rng, ADJECTIVES)} {noun}"
    value = pictures.words_to_draw(vocabulary, rng, material.evaluation)
    wordings = UNSEEN_STATEMENTS if material.evaluation else STATEMENTS
    text = vocabulary.pick(rng, wordings).format(f=fact, v=value)
    height = float(rng.uniform(0.3, 0.7))
    return Caption(text, second, second + 1, height, seed, fact=f"the {fact}", value=value)


def overlaid(
    material: Material, canvas: Image.Image, rng: np.random.Generator, font: Font, caption: Caption
) -> Mark | None:
    """Writes a caption on a frame SCALE times its size, in lines; None where there is no room."""
    width, height = (side / SCALE for side in canvas.size)
    larger = max(1, round(width / USUAL))
    size = int(rng.integers(SMALLEST + 2, 20)) * larger
    while (lines := _lines(material, font, caption.text, size, width - 6)) is None or (
        len(lines) * size * 1.25 > height - 4
    ):
        size -= 1
        if size < SMALLEST * larger:
            return None
    leading = size * 1.25
    middle = min(caption.height * height, height - leading * len(lines) / 2 - 2)
    first = max(leading / 2 + 1, middle - leading * (len(lines) - 1) / 2)
    spans: list[tuple[int, int]] = []
    for n, line in enumerate(lines):
        at = first + n * leading
        mark = pictures.centred(canvas, material.art, rng, font, line, size, at, shift=0.1)
        spans += [mark.spans[0]] * bool(spans) + [*mark.spans]  # a space is where the line begins
    text = " ".join(lines)
    return Mark("written", text, tuple(spans), fact=caption.fact, value=caption.value)


def _lines(
    material: Material, font: Font, text: str, size: int, room: int | float
) -> list[str] | None:
    """`text` in lines no longer than `room`; None if a word is."""
    loaded = face(font_path(material.art, font), font.index, size * SCALE)
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if loaded.getlength(longer) / SCALE <= room:
            lines[-1:] = [longer]
        elif loaded.getlength(word) / SCALE <= room:
            lines.append(word)
        else:
            return None
    return lines
