# SPDX-License-Identifier: Apache-2.0
"""Pollux: read once, answer for ever.

import pollux
model = pollux.load()                              # "spark", the weights in the package
reading = model.read("war-and-peace.txt", "src/")  # once; reading.save("tolstoy.reading")
answer = model.ask(reading, "What is the secret word?")
print(answer.text, *answer.sources)
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from pollux.engine import model as engine
from pollux.engine import reader
from pollux.engine.answer import Answer, Respondent
from pollux.engine.batch import ask_many
from pollux.engine.drawing import Drawing
from pollux.engine.edit import replace, replace_lines
from pollux.engine.reader import Progress, Report
from pollux.engine.sampling import GREEDY, Sampling
from pollux.engine.scheduler import Handle, Scheduler
from pollux.engine.source import Source
from pollux.errors import (
    BusyError,
    InputError,
    PolluxError,
    ReadingError,
    RecipeError,
    SpaceError,
    WeightsError,
)
from pollux.media.inputs import open_parts
from pollux.media.part import KINDS, Part
from pollux.media.view import VIEW, View
from pollux.memory.place import Place
from pollux.memory.reading import Reading

__version__ = "0.1.0"
__all__ = [
    "Answer",
    "BusyError",
    "Drawing",
    "Handle",
    "InputError",
    "Model",
    "Part",
    "Place",
    "PolluxError",
    "Progress",
    "Reading",
    "ReadingError",
    "RecipeError",
    "Sampling",
    "Scheduler",
    "Source",
    "SpaceError",
    "View",
    "WeightsError",
    "load",
]


class Model:
    """A model that reads and answers. Made by `load`."""

    def __init__(self, loaded: engine.Loaded):
        self.loaded = loaded
        self._respondent: Respondent | None = None

    def read(
        self,
        *inputs: str | Path | Part,
        save: str | Path | None = None,
        report: Report = lambda progress: None,
        update: bool = False,
        view: View = VIEW,
    ) -> Reading:
        """Reads files, directories and `Part`s, in order, into memory or the reading `save`.

        `update`: parts that `save` holds already, unchanged, are taken from there.
        `view`: how closely and how often pictures, sound and film are looked at.
        """
        path = Path(save) if save else None
        parts = parts_of(inputs)
        return reader.read(self.loaded, parts, path, report, update, view=view)

    def replace(self, reading: Reading, span: tuple[int, int], text: str) -> Reading:
        """`reading` with `text` at positions from span[0] to before span[1], as if read anew.

        The positions are those of a `Source`. An empty span inserts, an empty text deletes.
        """
        return replace(self.loaded, reading, span, text)

    def replace_lines(
        self, reading: Reading, part: str, lines: tuple[int, int], text: str
    ) -> Reading:
        """`reading` with `text` as lines lines[0] to lines[1], from 1, of a part.

        (5, 4) inserts before line 5, an empty text deletes.
        """
        return replace_lines(self.loaded, reading, part, lines, text)

    def open(self, *paths: str | Path) -> Reading:
        """Opens saved readings, several side by side; ReadingError when not of these weights."""
        mine = self.loaded.fingerprint, self.loaded.tokenizer.fingerprint
        readings = [Reading.open(path, *mine) for path in paths]
        return readings[0] if len(readings) == 1 else Reading.combine(readings)

    def ask(self, reading: Reading, question: str, sampling: Sampling = GREEDY) -> Answer:
        """Answers from `reading`. The same question to the same reading gives the same answer."""
        return self.respondent(reading).ask(question, sampling)

    def ask_many(
        self,
        reading: Reading | Sequence[Reading],
        questions: Sequence[str],
        sampling: Sampling = GREEDY,
    ) -> list[Answer]:
        """The same for several questions at once, which is quicker than one after another.

        `reading`: one for all, or one for each question. The first error ends all.
        """
        if isinstance(reading, Reading):
            opened = [self.respondent(reading)] * len(questions)
        else:
            if len(reading) != len(questions):
                raise InputError(f"{len(reading)} readings for {len(questions)} questions")
            made = {id(one): one for one in reading}
            respondents = {key: Respondent(self.loaded, one) for key, one in made.items()}
            opened = [respondents[id(one)] for one in reading]
        return ask_many(list(zip(opened, questions, strict=True)), sampling)

    def scheduler(self) -> Scheduler:
        """Takes questions from many threads and answers them together. To be closed."""
        return Scheduler(self.loaded)

    def stream(
        self, reading: Reading, question: str, sampling: Sampling = GREEDY
    ) -> Iterator[str | Answer]:
        """Pieces of text as they come; last, the Answer."""
        return self.respondent(reading).stream(question, sampling)

    def respondent(self, reading: Reading) -> Respondent:
        """What answers from `reading`; the last one is kept open."""
        if self._respondent is None or self._respondent.reading is not reading:
            self._respondent = Respondent(self.loaded, reading)
        return self._respondent


def parts_of(inputs: Sequence[str | Path | Part]) -> Iterator[Part]:
    """`Part`s as they are, files and directories opened; InputError when there is nothing."""
    if not inputs:
        raise InputError("nothing to read; name a file, a directory or a Part")
    for _, group in itertools.groupby(inputs, lambda one: isinstance(one, Part)):
        together = list(group)
        parts = [one for one in together if isinstance(one, Part)]
        named = [one for one in together if not isinstance(one, Part)]
        yield from parts or open_parts(named, kinds=KINDS)


def load(weights: str | Path | None = None) -> Model:
    """The model with these weights; by default spark, which comes with the package."""
    return Model(engine.load(weights))
