# SPDX-License-Identifier: Apache-2.0
"""What eyes and ears make of held-out material: transcripts, writing, icons, and when things are.

A row is one kind of question. Every picture and every recording is a reading of its own, and is
asked about in a wording of training; what is said, who says it, what is drawn and in which font is
held out (data/held_out.py).
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import pollux
from pollux.data import art, films, held_out, pictures, senses, speech, voices
from pollux.data.art import Icon
from pollux.data.material import Material, material
from pollux.data.scene import SOUND_TOKENS, Event, Scene
from pollux.data.skills import Kit
from pollux.data.speech import DIGITS, Clip
from pollux.engine import media, naming, reader
from pollux.engine.answer import Answer, Respondent
from pollux.engine.model import Loaded
from pollux.errors import InputError
from pollux.evals import media_sources as sources
from pollux.evals import needle_results
from pollux.evals.score import edits, resampled, wilson
from pollux.media.content import Content
from pollux.media.part import Kind, Part
from pollux.media.piece import Picture, Piece, Sound

ANSWER = pollux.Sampling(max_tokens=64)
AT_ONCE = 16  # readings made together
STEP = 2_048  # tokens read at a time
NEAR = 1.0  # seconds that a time may be off
BEST = 5  # names of an icon
TRACK, FILM, OF_ONE = 40, 24, 4  # seconds of what is asked for times, questions about each
SEEN = ("when-shown",)
SHOWS = "What does the picture {n} show?"  # asked about what was written down
TRANSCRIPTS = ("digits", "prompts", "sentences", "voices")
HEARD = (*TRANSCRIPTS, "when-said")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """`between`: seconds within which it is; `names`: the answer is one of the known ones."""

    question: str
    expected: str
    between: tuple[float, float] | None = None
    names: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A picture, recording or film, and what is asked about it."""

    kind: Kind
    pieces: Sequence[Piece]
    asked: Sequence[Asked]


@dataclass(frozen=True, kw_only=True, eq=False)
class Bench:
    """What cases are made of, and who is asked."""

    model: Loaded
    kit: Kit
    given: Material  # held out
    known: frozenset[str]  # names of icons that training has

    @cached_property
    def names(self) -> "Trie":
        """Of everything that is drawn, for training or not."""
        control, tokenizer = self.model.tokenizer.control, self.model.tokenizer
        every = sorted(self.known | set(self.given.art.names))
        return Trie({tuple(tokenizer.encode(f" {n}").tolist()): n for n in every}, control["<end>"])


@dataclass(frozen=True, eq=False)
class Trie:
    """Names by their tokens."""

    names: dict[tuple[int, ...], str]
    end: int

    @cached_property
    def follows(self) -> dict[tuple[int, ...], Counter[int]]:
        """After which tokens which may come, and of how many names."""
        found: dict[tuple[int, ...], Counter[int]] = {}
        for tokens in self.names:
            for n, token in enumerate((*tokens, self.end)):
                found.setdefault(tokens[:n], Counter())[token] += 1
        return found

    def guide(self, without: Sequence[tuple[int, ...]] = ()) -> Callable[..., np.ndarray]:
        """Lets nothing through but names, those told already excepted."""

        def chosen(said: Sequence[int], logits: np.ndarray) -> np.ndarray:
            before, masked = tuple(said), np.full_like(logits, -np.inf)
            left = self.follows.get(before, Counter()).copy()
            left.subtract(
                (*one, self.end)[len(before)] for one in without if one[: len(before)] == before
            )
            allowed = [token for token, count in left.items() if count > 0]
            masked[allowed] = logits[allowed]
            return masked

        return chosen


def bench(model: Loaded, folder: Path | None = None) -> Bench:
    """RecipeError where `pollux data prepare` was not run; speech is only looked for when asked."""
    kit = Kit(model.tokenizer, {}, sources.vocabulary(model.tokenizer), [])
    given = Material(kit=kit, art=art.art(folder, evaluation=True), evaluation=True)
    return Bench(model=model, kit=kit, given=given, known=frozenset(art.art(folder).names))


def heard(clips: Sequence[Clip], rng: np.random.Generator) -> Iterator[Case]:
    """Each clip alone, to be written down; in a random order, without end."""
    while clips:
        for number in rng.permutation(len(clips)).tolist():
            samples = speech.spliced([sources.spaced(rng, clips[number], 0.2)])
            asked = Asked(question=senses.HEAR_ONLY[0], expected=clips[number].text)
            yield Case(kind="audio", pieces=speech.seconds_of_sound(samples), asked=[asked])


def digits(bench: Bench, rng: np.random.Generator) -> Iterator[Case]:
    """The official test part of the Free Spoken Digit Dataset."""
    return heard(speech.clips("fsdd-test", evaluation=True), rng)


def prompts(bench: Bench, rng: np.random.Generator) -> Iterator[Case]:
    """Asterisk's English prompts, by a speaker of training, with texts that training has not."""
    return heard(speech.clips("asterisk-en", evaluation=True), rng)


def sentences(bench: Bench, rng: np.random.Generator) -> Iterator[Case]:
    """Kathleen's held-out sentences."""
    return heard(speech.clips("kathleen-dev", evaluation=True), rng)


def by_voices(bench: Bench, rng: np.random.Generator) -> Iterator[Case]:
    """Single words by the voices of programs that training has not."""
    clips = [c for c in voices.spoken(evaluation=True) if " " not in c.text]
    return heard([clip for clip in clips if clip.text not in DIGITS], rng)


def written(bench: Bench, rng: np.random.Generator) -> Iterator[Case]:
    """Words of 3 to 12 letters in fonts that training has not, half of them made up."""
    known, drawn = sources.to_say(bench.kit.vocabulary), bench.given.art
    while True:
        word = pictures.made_up(rng, True) if rng.random() < 0.5 else str(rng.choice(known))
        word = (word, word.capitalize(), word.upper())[int(rng.choice(3, p=[0.7, 0.2, 0.1]))]
        font = pictures.any_font(drawn, rng)
        made = pictures.lettered(drawn, rng, font, [word], kind="plain")
        if made.marks[0].text != word:  # there was no room for all of it
            continue
        asked = Asked(question=senses.READ[0], expected=word)
        yield Case(kind="image", pieces=[Picture(pixels=made.pixels)], asked=[asked])


def icons(bench: Bench, rng: np.random.Generator, seen: bool) -> Iterator[Case]:
    """Icons in the held-out style: of concepts that training has in others, or of other ones."""
    drawn = bench.given.art
    found = [
        icon
        for icon in drawn.icons
        if (icon.style == held_out.STYLE and icon.name in bench.known if seen else _is_new(icon))
    ]
    if not found:
        raise InputError("there are no icons to be named: pollux data prepare")
    while True:
        icon = found[int(rng.integers(len(found)))]
        columns, rows = (int(rng.integers(4, 9)) for _ in range(2))
        canvas = pictures.background(drawn, rng, columns, rows)
        side = rng.uniform(0.7, 1.0) * 16 * min(columns, rows)
        pictures.place_icon(canvas, drawn, icon, rng, (8 * columns, 8 * rows), side)
        pixels = pictures.finished(canvas, rng)
        asked = Asked(question=senses.NAME_ONLY[1], expected=icon.name, names=True)
        yield Case(kind="image", pieces=[Picture(pixels=pixels)], asked=[asked])


def _is_new(icon: Icon) -> bool:
    return held_out.concept(icon.name)


def when_said(bench: Bench, rng: np.random.Generator) -> Iterator[Case]:
    """When a word or sentence is said in a recording of many; all of it held out."""
    given = material(bench.kit, bench.given.art.folder, True, ("kathleen-dev", "fsdd-test"))
    while True:
        scene = films.recording(given, rng, TRACK)
        yield from _timed(scene, rng, "audio", {"said": senses.WHEN_SAID[0]})


def when_shown(bench: Bench, rng: np.random.Generator) -> Iterator[Case]:
    """When a text or an icon is on the screen of a silent film."""
    options = {"written": senses.WHEN_WRITTEN[0], "shown": senses.WHEN_SHOWN[0]}
    while True:
        scene = films.film(bench.given, rng, FILM, sound=False)
        yield from _timed(scene, rng, "video", options)


def _timed(
    scene: Scene, rng: np.random.Generator, kind: Kind, options: dict[str, str]
) -> Iterator[Case]:
    """Of what is there once; nothing where there is no such thing."""
    times = Counter(event.text.lower() for event in scene.events)
    once = [e for e in scene.events if times[e.text.lower()] == 1 and len(e.text) <= 60]
    chosen = [once[i] for i in rng.permutation(len(once))[:OF_ONE]]
    asked = [
        Asked(
            question=options[event.kind].format(t=event.text),
            expected=event.text,
            between=_between(scene, event),
        )
        for event in chosen
    ]
    if asked:
        pieces = [piece for piece in scene.pieces if not isinstance(piece, np.ndarray)]
        yield Case(kind=kind, pieces=pieces, asked=asked)


def _between(scene: Scene, event: Event) -> tuple[float, float]:
    begins, last = float(event.seconds or 0.0), scene.pieces[event.last.piece]
    assert isinstance(last, Picture | Sound)
    shown = event.last.end / SOUND_TOKENS if isinstance(last, Sound) else 1.0
    return begins, float(last.seconds or 0.0) + shown


ROWS: dict[str, Callable[[Bench, np.random.Generator], Iterator[Case]]] = {
    "digits": digits,
    "prompts": prompts,
    "sentences": sentences,
    "voices": by_voices,
    "written": written,
    "icons-style": lambda bench, rng: icons(bench, rng, seen=True),
    "icons-concepts": lambda bench, rng: icons(bench, rng, seen=False),
    "when-said": when_said,
    "when-shown": when_shown,
}


def run(bench: Bench, row: str, trials: int, seed: int) -> Iterator[tuple[Case, dict]]:
    """Trials of a row as they are judged; InputError where the weights lack the sense for it."""
    cfg = bench.model.config
    if row in SEEN and cfg.vision is None:
        raise InputError(f"these weights have no eyes for {row!r}: name others with --weights")
    rng = np.random.default_rng([seed, *map(ord, row)])
    cases, done = ROWS[row](bench, rng), 0
    while done < trials:
        together = list(islice(cases, min(AT_ONCE, trials - done)))
        if not together:
            raise InputError(f"there is nothing held out to ask {row!r} about")
        for case, reading in zip(together, readings(bench.model, together), strict=True):
            if row in TRANSCRIPTS and cfg.audio is None:
                yield case, transcribed(case.asked[0], heard_in(bench.model, reading))
                done += 1
                continue
            respondent, name = Respondent(bench.model, reading), reading.parts[0].name
            for asked in case.asked[: trials - done]:
                if asked.names and cfg.vision is None:
                    yield case, named(asked, respondent.ask(SHOWS.format(n=name), ANSWER), case)
                else:
                    asked = replace(asked, question=asked.question.format(n=name))
                    yield case, judged(asked, *answers(bench, respondent, asked))
                done += 1


def heard_in(model: Loaded, reading: pollux.Reading) -> str:
    """What was written down of a recording, without its times."""
    part = reading.parts[0]
    text = model.tokenizer.decode(reading.tokens[part.text_start : part.end].tolist())
    return " ".join(line.partition(" ")[2] for line in text.splitlines())


def transcribed(asked: Asked, said: str) -> dict[str, Any]:
    """A trial of what was written down, which nobody has to ask for."""
    return {
        "question": "",
        "expected": asked.expected,
        "text": said,
        "kind": "answer" if said else "absent",
        **errors(said, asked.expected),
    }


def errors(said: str, expected: str) -> dict[str, Any]:
    """By letters and by words."""
    return {
        "right": said == expected,
        "letters": [edits(said, expected), len(expected)],
        "words": [edits(said.split(), expected.split()), len(expected.split())],
    }


def readings(model: Loaded, cases: Sequence[Case]) -> list[pollux.Reading]:
    """Each its own; they are read together."""
    endings = {"image": "png", "audio": "wav", "video": "mp4"}
    names = [f"{number}.{endings[case.kind]}" for number, case in enumerate(cases)]
    parts = [
        Part(name=name, kind=case.kind, content=Content(data=name.encode()))
        for name, case in zip(names, cases, strict=True)
    ]
    by_name = dict(zip(names, cases, strict=True))
    way = media.Way(pieces=lambda part: iter(by_name[part.name].pieces))
    together = reader._read(model, parts, reader.Kept(model), lambda done: None, way, size=STEP)
    return [together.alone(part) for part in together.parts]


def answers(bench: Bench, respondent: Respondent, asked: Asked) -> tuple[Answer, list[str]]:
    """The answer, and the names that come first, each without those before it."""
    answer = respondent.ask(asked.question, ANSWER)
    best: list[tuple[int, ...]] = []
    for _ in range(min(BEST, len(bench.names.names)) if asked.names else 0):
        *_, held = respondent.stream(asked.question, ANSWER, bench.names.guide(best))
        assert isinstance(held, Answer)
        tokens = [chosen.token for chosen in held.chosen]
        best.append(tuple(tokens[: tokens.index(bench.names.end)]))
    return answer, [bench.names.names[tokens] for tokens in best]


def judged(asked: Asked, answer: Answer, best: Sequence[str]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "question": asked.question,
        "expected": asked.expected,
        "text": answer.text,
        "kind": answer.kind,
        "probability": round(answer.probability, 6),
        "seconds": round(answer.seconds, 4),
    }
    if asked.between:
        at = answer.places[0].milliseconds if answer.places else None
        begins, ends = asked.between
        near = at is not None and begins - NEAR <= at / 1000 <= ends + NEAR
        return made | {"at": at, "between": [begins, ends], "right": near}
    if asked.names:
        return made | {
            "best": list(best),
            "right": best[0] == asked.expected,
            "among": asked.expected in best,
        }
    said = answer.text.partition(": ")[2] if ": " in answer.text else answer.text
    said = said if answer.kind in ("answer", "unsure") else ""
    if asked.question == senses.HEAR_ONLY[0]:
        said = speech.plain(said)
    return made | errors(said, asked.expected)


def named(asked: Asked, answer: Answer, case: Case) -> dict[str, Any]:
    """A trial of a namer: what it would call the picture, and what the model answers."""
    [picture] = (piece for piece in case.pieces if isinstance(piece, Picture))
    return judged(replace(asked, question=SHOWS), answer, naming.best(picture.pixels, BEST))


def scored(row: str, trials: Sequence[dict]) -> dict[str, Any]:
    """Share right with its interval (Wilson); error rates with theirs (bootstrap)."""
    right = sum(one["right"] for one in trials)
    made: dict[str, Any] = {
        "row": row,
        "count": len(trials),
        "right": right,
        "interval": [round(edge, 6) for edge in wilson(right, len(trials))],
    }
    if trials and "among" in trials[0]:
        among = sum(one["among"] for one in trials)
        made |= {"among": among, "among_interval": [*wilson(among, len(trials))]}
    for rate, what in (("cer", "letters"), ("wer", "words")):
        if trials and what in trials[0]:
            counts = np.array([one[what] for one in trials])
            made |= {rate: float(counts[:, 0].sum() / counts[:, 1].sum())}
            made |= {f"{rate}_interval": [*resampled(counts[:, 0], counts[:, 1])]}
    return made


def save(directory: Path, rows: dict[str, list[dict]], about: dict[str, Any]) -> None:
    """media.json: every row with its trials."""
    made = [scored(row, trials) | {"trials": trials} for row, trials in rows.items()]
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**about, "rows": made}, ensure_ascii=False, indent=1)
    needle_results.replace(directory / "media.json", text.encode("utf-8", "replace"))


def told(trial: dict[str, Any], most: int = 100) -> str:
    """What was expected and what came, `most` characters of it, for a picture's caption."""
    came = trial["best"][0] if "best" in trial else trial["text"][:most] or trial["kind"]
    if "between" in trial:
        at = trial["at"]
        came = "no time" if at is None else f"{at / 1000:.1f} s"
        begins, ends = trial["between"]
        return f"{trial['expected']} ({begins:.1f} to {ends:.1f} s): {came}"
    return f"{trial['expected']}: {came}"
