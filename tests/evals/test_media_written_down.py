# SPDX-License-Identifier: Apache-2.0
"""Needles in sound for a model without ears: what is said is put together clip by clip."""

from pathlib import Path

import numpy as np
import pytest

from pollux.data import speech
from pollux.data.speech import Clip
from pollux.engine.answer import Respondent
from pollux.evals import media, media_sources
from pollux.evals import media_haystack as grid
from pollux.evals.media_haystack import Planted, Source

CLIPS = Path(__file__).parents[1] / "engine" / "clips"
QUESTION, KEYWORD = "What is the secret keyword?", "reporter"
SECONDS = 40


def scene(path):
    clip = Clip(path.stem, "somebody", speech.decoded(path.read_bytes()))
    return media_sources.scene_of_clip(clip)


@pytest.fixture(scope="module")
def haystack(spark):
    scenes = tuple(scene(path) for path in sorted(CLIPS.glob("arctic*.opus")))
    source = Source(kind="audio", names=("clips",), scenes=scenes)
    return grid.read(spark.loaded, source, SECONDS, np.random.default_rng(0))


@pytest.fixture(scope="module")
def planted(haystack):
    said = scene(CLIPS / f"keyword-{KEYWORD}.opus").seconds
    first, last = grid.place(haystack, 0.5, len(said))
    silence = np.full_like(said[0], said[0].min())
    seconds = [*said, *[silence] * (last - first - len(said))]
    exchanged = dict(zip(range(first, last), seconds, strict=True))
    return Planted(seconds=exchanged, begins=float(first), ends=float(last), depth=0.5)


def lines(haystack, reading):
    part = reading.parts[0]
    tokens = reading.tokens[part.text_start : part.end].tolist()
    return haystack.model.tokenizer.decode(tokens).splitlines()


def test_clips_are_said_again_at_their_times(haystack):
    assert haystack.is_written_down and haystack.about["repeats"] > 2
    told = [line.partition(" ")[::2] for line in lines(haystack, haystack.reading)]
    times = [time for time, _ in told]
    assert times == sorted(times) and times[-1] >= "00:35"
    assert len({words for _, words in told}) < len(told) / 2


def test_a_needle_is_there_for_its_trial_alone(haystack, planted):
    before = lines(haystack, haystack.reading)
    assert KEYWORD not in haystack.respondent.ask(QUESTION).text
    with grid.overwritten(haystack, planted) as respondent:
        answer = respondent.ask(QUESTION)
    assert KEYWORD in answer.text
    at = answer.sources[0].place.milliseconds / 1000
    assert planted.begins - 1 <= at <= planted.ends + 1
    assert KEYWORD not in haystack.respondent.ask(QUESTION).text
    assert lines(haystack, haystack.reading) == before


def test_an_audit_listens_from_the_beginning(haystack, planted):
    whole = grid.read_anew(haystack, planted)
    assert KEYWORD in Respondent(haystack.model, whole).ask(QUESTION).text
    with grid.overwritten(haystack, planted) as respondent:
        spliced = lines(haystack, respondent.reading)
    same = set(lines(haystack, whole)) & set(spliced)
    assert len(same) > len(spliced) / 2


def test_transcripts_are_what_was_written_down(spark):
    path = CLIPS / f"keyword-{KEYWORD}.opus"
    samples = speech.decoded(path.read_bytes()).astype(np.float32) / 32768
    asked = media.Asked(question="", expected=f"the secret keyword is {KEYWORD}")
    sounds = speech.seconds_of_sound(speech.spliced([samples]))
    [reading] = media.readings(
        spark.loaded, [media.Case(kind="audio", pieces=sounds, asked=[asked])]
    )
    said = media.heard_in(spark.loaded, reading)
    trial = media.transcribed(asked, said)
    assert KEYWORD in said and ":" not in said
    assert trial["words"][1] == 5 and trial["words"][0] <= 2
    assert trial["right"] == (trial["letters"][0] == 0)
    assert media.transcribed(asked, "")["kind"] == "absent"
