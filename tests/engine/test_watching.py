# SPDX-License-Identifier: Apache-2.0
"""Pictures and films become lines: what is written on them, and what a picture shows."""

from types import SimpleNamespace

import numpy as np
import pytest

from pollux.engine import naming, spelling
from pollux.engine.watching import Look, Sight, written_down
from pollux.media.piece import Picture, Sound, Words

SIGHTS = {
    0: Sight("", 0.0),
    1: Sight("Welcome", 0.7),
    2: Sight("Welcorne", 0.6),
    3: Sight("Welcome", 0.9),
    9: Sight("The end", 0.9),
}


def picture(number, **where):
    """The pixels say which."""
    return Picture(pixels=np.full((16, 16, 3), number, np.uint8), **where)


def frames(*shown):
    """A second each."""
    for at, number in enumerate(shown):
        yield Words(text=f"00:{at:02}", seconds=float(at))
        yield picture(number, seconds=float(at))


def look(pixels):
    return SIGHTS[int(pixels[0, 0, 0])]


def told(*shown):
    return [(one.text, one.seconds) for one in written_down(frames(*shown), "a.mp4", look)]


def test_a_film_says_when_other_writing_appears():
    assert told(0, 1, 2, 0, 9, 9) == [("00:01 Welcome", 1.0), ("00:04 The end", 4.0)]


def test_the_surest_of_some_readings_is_taken():
    assert told(2, 1, 3, 0) == [("00:00 Welcome", 0.0)]


@pytest.mark.parametrize(
    ("seconds", "text", "kept"), [(1, "Ahoy", 0), (2, "Ahoy", 1), (1, "Harbour", 1)]
)
def test_a_glimpse_of_a_few_letters_is_left_out(seconds, text, kept):
    def look(frame):
        return Sight(text, 0.9) if frame[0, 0, 0] else Sight("", 0.0)

    pieces = [picture(value, seconds=float(at)) for at, value in enumerate([0, *[9] * seconds, 0])]
    told = [*written_down(pieces, "a.mp4", look)]
    assert [one.text for one in told] == [f"00:01 {text}"] * kept


def test_stills_say_their_names_and_sound_is_passed_on(monkeypatch):
    heard = Sound(mel=np.zeros((100, 64), np.float32), seconds=0.0)
    monkeypatch.setattr(naming, "things", lambda pixels: [])
    assert [*written_down([picture(9), heard], "b.png", look)] == [
        Words(text="written on b.png: The end"),
        heard,
    ]
    assert not [*written_down([picture(0)], "b.png", look)]


def test_things_on_stills_are_told_behind_what_is_written(monkeypatch):
    shown = [SimpleNamespace(name="key"), SimpleNamespace(name="red apple")]
    monkeypatch.setattr(naming, "things", lambda pixels: shown)
    assert [one.text for one in written_down([picture(1)], "b.png", look)] == [
        "written on b.png: Welcome",
        "the picture b.png shows key / red apple",
    ]
    assert [one.text for one in written_down([picture(0)], "b.png", look)] == [
        "the picture b.png shows key / red apple"
    ]
    assert told(0, 1, 0) == [("00:01 Welcome", 1.0)]  # of films nothing but writing


def test_frames_that_stay_are_not_looked_at_again(monkeypatch):
    looked = []
    monkeypatch.setattr(spelling, "lines", lambda frame: looked.append(frame) or [])
    looking, noise = Look(), np.random.default_rng(0)
    still = noise.integers(40, 200, (64, 64, 3)).astype(np.uint8)
    looking(still)
    looking(still + noise.integers(0, 2, still.shape).astype(np.uint8))
    assert len(looked) == 1
    changed = still.copy()
    changed[20:40, 20:40] = 255
    looking(changed)
    assert len(looked) == 2
