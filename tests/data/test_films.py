# SPDX-License-Identifier: Apache-2.0
"""Sound tracks and films: as media decode them, and what is in them where it is said to be."""

from dataclasses import replace

import numpy as np
import pytest

from pollux.data import films, sheets
from pollux.data.films import Caption
from pollux.data.scene import SOUND_TOKENS, heard, tokens_of
from pollux.media.mel import RATE
from pollux.media.piece import Picture, Sound, Words, clock


@pytest.fixture(scope="module")
def material(materials):
    return materials[False]


def loud(track, second):
    """Whether something is said at that second of a track without noise."""
    at = round(second * RATE)
    return np.abs(track.samples[at : at + 160]).max() > 1e-4


def test_a_track_has_what_it_says_where_it_says(material, monkeypatch):
    monkeypatch.setattr(films, "noisy", lambda rng, samples: samples)
    track = films.track(material, np.random.default_rng(0), 20.0)
    assert len(track.samples) == 20 * RATE and len(track.said) > 3
    for clip, spans in track.said:
        assert len(spans) == len(clip.text) and (np.diff(spans[:, 0]) > 0).all()
        assert loud(track, spans[0, 0] + 0.03) and loud(track, spans[-1, 1] - 0.05)
        assert not loud(track, spans[0, 0] - 0.05)
    ends = [(spans[0, 0], spans[-1, 1]) for _, spans in track.said]
    assert all(one[1] < two[0] for one, two in zip(ends, ends[1:], strict=False))


def test_no_fact_is_stated_twice(material):
    only = replace(material, words=(), sentences=(), digits=())
    track = films.track(only, np.random.default_rng(0), 30.0)
    facts = [clip.fact for clip, _ in track.said]
    assert len(facts) == len({*facts}) == 2


def test_places_of_sound_stay_within_their_second():
    spans = np.array([[0.0, 0.04], [0.5, 0.98], [0.9, 1.3], [1.99, 2.4]])
    assert [tuple(place) for place in heard(spans, [5, 8])] == [
        (5, 0, 1),
        (5, 12, 25),
        (8, 0, 8),
        (8, 24, 25),
    ]


def test_a_recording_begins_with_its_name(material):
    scene = films.recording(material, np.random.default_rng(1), 6.5)
    header, *sounds = scene.pieces
    assert header[0] == material.kit.control("<part>")
    assert [len(piece.mel) for piece in sounds] == [100] * 6 + [52]
    assert all(
        event.kind == "said" and event.name == scene.events[0].name for event in scene.events
    )
    for event in scene.events:
        for place in event.places:
            assert 0 <= place.start < place.end <= tokens_of(scene.pieces[place.piece])


def test_an_utterance_is_one_transcript(material):
    several = 0
    for seed in range(12):
        scene = films.utterance(material, np.random.default_rng(seed), 30.0)
        [event] = scene.events
        assert len(event.places) == len(event.text)
        several += event.text.count(" ") and event.text.split()[0] in "zero one two three four five"
    assert several
    assert films.utterance(material, np.random.default_rng(0), 0.1) is None


def film(material, seed, seconds=8, sound=True):
    return films.film(material, np.random.default_rng(seed), seconds, sound)


def test_a_film_is_as_media_decode_one(material):
    scene = film(material, 3)
    kinds = [type(piece) for piece in scene.pieces[1:]]
    assert kinds == [Words, Picture, Sound] * 8
    for label, frame, sound in zip(*(scene.pieces[n::3] for n in (1, 2, 3)), strict=True):
        assert label.text == clock(label.seconds) and frame.seconds == sound.seconds
        assert len(sound.mel) == 4 * SOUND_TOKENS and frame.pixels.shape[2] == 3
    assert {type(piece) for piece in film(material, 3, sound=False).pieces[1:]} == {Words, Picture}


def test_a_seed_makes_the_same_film(material):
    one, two = film(material, 5), film(material, 5)
    assert one.events == two.events
    for a, b in zip(one.pieces, two.pieces, strict=True):
        for name in ("pixels", "mel"):
            assert np.array_equal(getattr(a, name, 0), getattr(b, name, 0))


def test_events_are_on_frames_of_their_time(material):
    kinds = set()
    for seed in range(6):
        scene = film(material, seed)
        for event in scene.events:
            kinds.add(event.kind)
            for place in (event.first, event.last):
                assert 0 <= place.start < place.end <= tokens_of(scene.pieces[place.piece])
            piece = scene.pieces[event.first.piece]
            assert type(piece) is (Sound if event.kind == "said" else Picture)
            assert abs(piece.seconds - event.seconds) < 1
            assert event.last.piece >= event.first.piece
    assert kinds == {"said", "written", "shown"}


def test_a_caption_stays_as_it_is(material):
    """On every frame of a title card the same pixels, and only those of the card."""
    alone = replace(material, art=replace(material.art, icons=()))
    for seed in range(30):
        rng = np.random.default_rng(seed)
        captions = films._captions(alone, rng, 8, small=False)
        starts = [caption.start for caption in captions]
        assert starts == sorted(starts)
        assert all(a.end <= b.start for a, b in zip(captions, captions[1:], strict=False))


def test_long_lines_are_broken_and_what_cannot_be_is_left(material):
    from PIL import Image

    rng = np.random.default_rng(0)
    font = material.art.fonts[0]
    caption = Caption('The secret word is "garden"', 0, 1, 0.5, 7, fact="the secret word")
    canvas = Image.new("RGB", (160 * 2, 96 * 2))
    mark = films.overlaid(material, canvas, rng, font, caption)
    assert mark.text == caption.text and len(mark.spans) == len(mark.text)
    assert len({start // 10 for start, _ in mark.spans}) > 1
    narrow = Image.new("RGB", (32 * 2, 32 * 2))
    assert films.overlaid(material, narrow, rng, font, caption) is None


def test_strips_of_film_and_sound_can_be_drawn(material):
    for scene in (film(material, 1), films.recording(material, np.random.default_rng(0), 3.0)):
        sheet = sheets.of_scene(scene)
        assert sheet.width >= 640 and np.asarray(sheet).std() > 5
