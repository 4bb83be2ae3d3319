# SPDX-License-Identifier: Apache-2.0
"""Skills of eyes and ears as training examples: scenes to be asked about, questions and answers.

As in `skills`, an answer restates what was asked and goes on from there; where text would be
copied, the model says in its own words what the patches or the sound it recalls hold. `looks` say
which those are (docs/decisions/0013-senses.md).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pollux import interleaved
from pollux.data import films, pictures, skills
from pollux.data.facts import NOUNS
from pollux.data.material import PICTURE_ENDS, Material
from pollux.data.scene import Event, Place, Scene, at, starts, tokens_of
from pollux.data.skills import NOWHERE, Answer, Document, asked
from pollux.data.speech import DIGITS
from pollux.errors import RecipeError
from pollux.interleaved import Interleaved
from pollux.media.piece import Picture, Words, clock

NEEDS = {"pictures": ("patches",), "recording": ("sounds",), "film": ("patches", "sounds")}
GENRES = tuple(NEEDS)
MARKS = 4  # tokens around a piece, and some to spare
LATE = 3  # tokens of sound: where in a sentence a word ends is known about so well
LONGEST = 7  # words of a sentence that is read aloud
ALONE, HEARD_ALONE = 0.1, 0.15  # of albums and of clips: only one of it
LEAST = 120  # tokens of the smallest scene

READ = ("What is written on {n}?", "What does {n} say?", "Read {n}.", "Read the text on {n}.")
READ_ONLY = ("What is written on the picture?", "What does it say?", "Read it.", "写着什么？")
NAME = (
    "What is on {n}?",
    "What does {n} show?",
    "Name the icon on {n}.",
    "What do you see on {n}?",
)
NAME_ONLY = (
    "What is it?",
    "What does the picture show?",
    "Which icon is this?",
    "What do you see?",
)
HEAR = ("What is said in {n}?", "Transcribe {n}.", "What do they say in {n}?", "Write {n} down.")
HEAR_ONLY = ("What is said?", "Transcribe this.", "What do you hear?", "Write down what is said.")
WHEN_SAID = (
    'When is "{t}" said?',
    'When do they say "{t}"?',
    'At which second do we hear "{t}"?',
    'When was "{t}" said?',
)
WHEN_WRITTEN = (
    'When is "{t}" shown?',
    'When does "{t}" appear?',
    'When can "{t}" be read?',
    'At what time is "{t}" on the screen?',
)
WHEN_SHOWN = (
    "When is the {t} shown?",
    "When do we see the {t}?",
    "At which second does the {t} appear?",
    "When can the {t} be seen?",
)
WHERE = {
    "said": ('Where is "{t}" said?', 'Which recording has "{t}"?', 'In which file is "{t}" said?'),
    "written": ('Where is "{t}" written?', 'Which picture says "{t}"?', 'Which file has "{t}"?'),
    "shown": ("Which picture shows the {t}?", "Where is the {t}?", "On which picture is the {t}?"),
}
AT = {
    "said": ("What is said at {t}?", "What do they say at {t}?", "Which words are heard at {t}?"),
    "written": ("What is written at {t}?", "What does it say at {t}?", "Read the text at {t}."),
    "shown": ("What is shown at {t}?", "What is to be seen at {t}?", "Which icon is there at {t}?"),
}


@dataclass
class Sensed(Document):
    """A scene in tokens: `tokens` are the ids, `media` what stands at those of patches and sound.

    `aloud`: at which position which token has just been seen or heard to its end. To be trained
    like running text: it is what makes patches and sound mean words.
    """

    media: Interleaved = field(default_factory=lambda: interleaved.text([]))
    scene: Scene = field(default_factory=lambda: Scene("pictures"))
    begins: list[int] = field(default_factory=list)  # of each piece, as scene.starts has them
    aloud: list[tuple[int, int]] = field(default_factory=list)
    elsewhere: list[Scene] = field(default_factory=list)  # other scenes in the same memory

    @property
    def others(self) -> list[Event]:
        """Events of the other scenes: what is asked must not be about those as well."""
        return [event for scene in self.elsewhere for event in scene.events]


def document(material: Material, rng: np.random.Generator, genre: str, size: int) -> Sensed:
    """At most `size` tokens of pictures, of recordings or of a film, headers and marks included.

    RecipeError for too few tokens, and where the material has nothing of that kind.
    """
    if size < LEAST:
        raise RecipeError(f"{size} tokens are too few for {genre}: give {LEAST} or more")
    makers: dict[str, Callable[[Material, np.random.Generator, int], Scene]] = {
        "pictures": album,
        "recording": recordings,
        "film": film,
    }
    scene = makers[genre](material, rng, size)
    tokenizer = material.kit.tokenizer
    media = interleaved.interleaved(tokenizer, scene.pieces)
    begins = starts(media.ids, media.spans, tokenizer.control[interleaved.MEDIA])
    made = Sensed(genre, media.ids, media=media, scene=scene, begins=begins)
    silent = made.tokens != tokenizer.control[interleaved.MEDIA]
    for event in scene.events:
        if (late := _lateness(event)) is not None:
            for token, look in _told(material, made, event):
                at = look[1] - 1
                ends = np.flatnonzero(silent[at : at + late + 1])  # of the sound
                made.aloud.append((at + (int(ends[0]) - 1 if len(ends) else late), token))
    return made


def _lateness(event: Event) -> int | None:
    """Tokens after its end at which a word is read aloud; None for what is not."""
    if event.kind != "said":
        return 0
    words = event.text.split()
    if len(words) <= 2 or all(word in DIGITS for word in words):
        return 0
    return LATE if len(words) <= LONGEST else None


def album(material: Material, rng: np.random.Generator, size: int) -> Scene:
    """Pictures, each a part of its own; one alone now and then."""
    scene, left = Scene("pictures"), size
    most = 1 if rng.random() < ALONE else 100
    names: set[str] = set()
    for _ in range(most):
        name = material.name(rng, PICTURE_ENDS)
        drawn = _picture(material, rng)
        patches = drawn.pixels.shape[0] * drawn.pixels.shape[1] // 256
        header = material.header(name)
        left -= patches + len(header) + MARKS
        if left < 0 and scene.pieces:
            break
        if name in names:
            continue
        names.add(name)
        scene.pieces += [header, Picture(pixels=drawn.pixels)]
        number = len(scene.pieces) - 1
        scene.events += [mark.event(number, name) for mark in drawn.marks]
    return scene


def _picture(material: Material, rng: np.random.Generator) -> pictures.Pixels:
    made = [pictures.word_picture, pictures.sign, pictures.title_card]
    if material.art.icons and rng.random() < 0.45:
        return pictures.icon_picture(
            material.art, material.kit.vocabulary, rng, material.evaluation
        )
    maker = made[int(rng.choice(3, p=[0.5, 0.25, 0.25]))]
    return maker(material.art, material.kit.vocabulary, rng, material.evaluation)


def recordings(material: Material, rng: np.random.Generator, size: int) -> Scene:
    """Clips that are parts of their own, or one long one of many."""
    if not material.has_speech:
        raise RecipeError("there is no speech: set POLLUX_DATA or pollux data prepare")
    seconds = (size - 24) / 25
    if rng.random() < 0.5:
        return films.recording(material, rng, min(seconds, float(rng.integers(8, 120))))
    scene, left, misses = Scene("recording"), size, 0
    names: set[str] = set()
    most = 1 if rng.random() < HEARD_ALONE else 100
    while misses < 8 and len(names) < most:
        one = films.utterance(material, rng, (left - 24) / 25)
        if one is None or one.events[0].name in names:
            misses += 1
            continue
        names.add(one.events[0].name)
        shift = len(scene.pieces)
        assert one.samples is not None
        heard = one.samples if scene.samples is None else np.append(scene.samples, one.samples)
        scene.samples = heard
        scene.pieces += one.pieces
        scene.events += [_moved(event, shift) for event in one.events]
        left -= sum(map(tokens_of, one.pieces)) + MARKS
        if left < 40:
            break
    return scene if scene.events else films.recording(material, rng, min(seconds, 20.0))


def _moved(event: Event, by: int) -> Event:
    return replace(event, places=tuple(p._replace(piece=p.piece + by) for p in event.places))


def film(material: Material, rng: np.random.Generator, size: int) -> Scene:
    """One, as long as there is room for; one in three is silent."""
    silent = rng.random() < 0.33
    frame = 64 + 10 + (0 if silent else 27)
    seconds = max(1, (size - 16) // frame)
    return films.film(material, rng, min(seconds, int(rng.integers(3, 60))), sound=not silent)


def question(material: Material, rng: np.random.Generator, doc: Sensed):
    """Tokens of a question and its Answer, or None where the scene does not lend itself."""
    events = doc.scene.events
    if not events:
        return None
    event = events[int(rng.integers(len(events)))]
    if event.fact and rng.random() < 0.7:
        return _find(material, rng, doc, event)
    if rng.random() < 0.12:
        return _absent(material, rng, doc, event)
    timed = doc.genre == "film" or (doc.genre == "recording" and len(events) > 1)
    choice = rng.random()
    if doc.genre == "film" and choice < 0.5:
        return _at_a_time(material, rng, doc, event)
    one_part = len({other.name for other in events}) == 1
    if timed and one_part:
        return _pointed(material, rng, doc, event, "<time>")
    if choice < 0.25 and len(events) > 1:
        return _pointed(material, rng, doc, event, "<place>")
    return _told_of_a_part(material, rng, doc, event)


def _find(material: Material, rng: np.random.Generator, doc: Sensed, event: Event):
    """What it states: the phrase again, then what is written or said behind it."""
    if _count(doc, "fact")[event.fact] != 1:
        return None
    kit = material.kit
    text = skills.fact_question(kit, rng, event.fact, False)
    answer = Answer(passage=_range(doc, event)).add(kit.tokenizer.encode(" " + event.fact))
    stem = event.fact.removeprefix("the ")
    start = event.text.lower().index(stem) + len(stem)
    for token, look in _told(material, doc, event, start):
        answer.add([token], _reach(material, doc, event, look))
    return asked(kit, text, answer.add([kit.control("<end>")]))


def _at_a_time(material: Material, rng: np.random.Generator, doc: Sensed, event: Event):
    """The time again, then what begins to be there then."""
    second = int(event.seconds or 0)
    if any(second == int(w.seconds or 0) for w in _times(doc.elsewhere)):
        return None
    same = [
        other
        for other in doc.scene.events
        if other.kind == event.kind and int(other.seconds or 0) == second
    ]
    still = [
        other
        for other in doc.scene.events
        if other.kind == event.kind != "said"
        and other is not event
        and other.first.piece <= event.first.piece <= other.last.piece
    ]
    if len(same) != 1 or still:
        return None
    time = clock(float(second))
    text = material.kit.vocabulary.pick(rng, AT[event.kind]).format(t=time)
    return _restated_and_told(material, doc, event, text, time)


def _times(scenes: Sequence[Scene]) -> list[Words]:
    """The words of films that are times."""
    pieces = [piece for scene in scenes if scene.genre == "film" for piece in scene.pieces]
    return [piece for piece in pieces if isinstance(piece, Words)]


def _told_of_a_part(material: Material, rng: np.random.Generator, doc: Sensed, event: Event):
    """All that is written on a picture or said in a recording, or what the icon is."""
    own = [e for e in doc.scene.events if e.name == event.name and e.kind == event.kind]
    if any(other.name == event.name for other in doc.others):
        return None
    alone = len({other.name for other in doc.scene.events}) == 1
    alone = alone and not any(other.kind == event.kind for other in doc.others)
    several = {
        "written": (READ, READ_ONLY),
        "shown": (NAME, NAME_ONLY),
        "said": (HEAR, HEAR_ONLY),
    }[event.kind]
    if alone and rng.random() < 0.5:
        text = material.kit.vocabulary.pick(rng, several[1])
        return _restated_and_told(material, doc, own, text, "")
    text = material.kit.vocabulary.pick(rng, several[0]).format(n=event.name)
    return _restated_and_told(material, doc, own, text, event.name)


def _restated_and_told(
    material: Material, doc: Sensed, events: Event | list[Event], text: str, restated: str
):
    kit = material.kit
    several = [events] if isinstance(events, Event) else events
    answer = Answer(passage=(_range(doc, several[0])[0], _range(doc, several[-1])[1]))
    if restated:
        answer.add(kit.tokenizer.encode(restated)).add(kit.tokenizer.encode(":"))
    for event in several:
        for token, look in _told(material, doc, event):
            answer.add([token], _reach(material, doc, event, look))
    return asked(kit, text, answer.add([kit.control("<end>")]))


def _pointed(material: Material, rng: np.random.Generator, doc: Sensed, event: Event, pointer: str):
    """When or where it is: itself again, then a pointer to it."""
    if _count(doc, "text")[event.text.lower()] != 1 or len(event.text) > 60:
        return None
    options = {"said": WHEN_SAID, "written": WHEN_WRITTEN, "shown": WHEN_SHOWN}[event.kind]
    if pointer == "<place>":
        options = WHERE[event.kind]
    kit = material.kit
    answer = Answer(passage=_range(doc, event)).add(_words(material, event))
    answer.add([kit.control(pointer)], _range(doc, event)).add([kit.control("<end>")])
    return asked(kit, kit.vocabulary.pick(rng, options).format(t=event.text), answer)


def _absent(material: Material, rng: np.random.Generator, doc: Sensed, event: Event):
    """A question like one about the event, of what is not there."""
    kit, vocabulary = material.kit, material.kit.vocabulary
    if event.fact and rng.random() < 0.7:
        first = event.fact.rsplit(" ", 1)[0]
        fact = f"{first} {vocabulary.pick(rng, NOUNS)}"
        if _count(doc, "fact")[fact]:
            return None
        text, said = skills.fact_question(kit, rng, fact, False), kit.tokenizer.encode(" " + fact)
    else:
        other = (
            vocabulary.pick(rng, material.art.names)
            if event.kind == "shown"
            else vocabulary.pick(rng, vocabulary.lower)
        )
        if any(other.lower() in e.text.lower() for e in (*doc.scene.events, *doc.others)):
            return None
        timed = {"said": WHEN_SAID, "written": WHEN_WRITTEN, "shown": WHEN_SHOWN}[event.kind]
        options = timed if doc.genre == "film" or rng.random() < 0.5 else WHERE[event.kind]
        text = vocabulary.pick(rng, options).format(t=other)
        said = kit.tokenizer.encode(" " + other)
    answer = Answer().add(said).add([kit.control("<absent>")], NOWHERE)
    return asked(kit, text, answer.add([kit.control("<end>")]))


def _count(doc: Sensed, what: str) -> Counter[str]:
    return Counter(getattr(event, what).lower() for event in (*doc.scene.events, *doc.others))


def _range(doc: Sensed, event: Event) -> tuple[int, int]:
    """From its first patch or sound to just behind its last, where it is complete."""
    return at([event.first], doc.begins)[0], at([event.last], doc.begins)[1] + 1


def _reach(material: Material, doc: Sensed, event: Event, look: tuple[int, int]) -> tuple[int, int]:
    """With what comes right behind, a mark at most: a key knows what came before only."""
    start, end = look
    behind = doc.tokens[end : end + (LATE if event.kind == "said" else 1)]
    marks = np.flatnonzero(behind != material.kit.control(interleaved.MEDIA))
    return start, end + (int(marks[0]) + 1 if len(marks) else len(behind))


def _words(material: Material, event: Event) -> np.ndarray:
    """As they stand in a question, with a space in front."""
    return material.kit.tokenizer.encode(event.text if event.chinese else " " + event.text)


def _told(
    material: Material, doc: Sensed, event: Event, start: int = 0
) -> list[tuple[int, tuple[int, int]]]:
    """Tokens of the event's text from a character on, and where each is seen or heard."""
    lead = 0 if event.chinese or start else 1
    text = " " * lead + event.text[start:]
    tokens = material.kit.tokenizer.encode(text)
    if event.kind == "shown":
        return [(int(token), at(event.places, doc.begins)) for token in tokens]
    places = [None] * lead + [*event.places[start:]]
    owner = [n for n, sign in enumerate(text) for _ in sign.encode()]  # of each byte
    found, ends = [], np.cumsum(material.kit.tokenizer.byte_lengths[tokens])
    for token, end, size in zip(
        tokens, ends, material.kit.tokenizer.byte_lengths[tokens], strict=True
    ):
        signs = sorted({*owner[end - size : end]})
        if all(text[n] == " " for n in signs) and signs[-1] + 1 < len(text):
            signs = [signs[-1] + 1]  # a space stands where the next word does
        on: list[Place] = [p for n in signs if (p := places[n]) and text[n] != " "]
        found.append((int(token), at(on or event.places[:1], doc.begins)))
    return found


def sample(
    material: Material, rng: np.random.Generator, genre: str, size: int, count: int
) -> tuple[Sensed, list[tuple[np.ndarray, Answer]]]:
    """A document and up to `count` questions about it, for evaluation and for looking at."""
    doc = document(material, rng, genre, size)
    found: Sequence = [question(material, rng, doc) for _ in range(4 * count)]
    return doc, [pair for pair in found if pair is not None][:count]
