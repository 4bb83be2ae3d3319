# SPDX-License-Identifier: Apache-2.0
"""What is written on pictures becomes lines of text, with places, that can be asked about."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from pollux.config import LETTERS, NOTHING, SPACE
from pollux.data import art
from pollux.engine import reader, spotting
from pollux.engine.spotting import Line, lines_of, text_of
from pollux.evals.score import edits
from pollux.media.content import Content
from pollux.media.part import KINDS, Part
from pollux.media.stream import media_part


def cells(*spotted, rows=8, columns=60):
    """Nothing but what is given: row, column, sign and how sure."""
    made = np.zeros((rows, columns, NOTHING + 1), np.float32)
    made[..., NOTHING] = 1
    for row, column, sign, sure in spotted:
        made[row, column, NOTHING] = 1 - sure
        made[row, column, SPACE if sign == " " else LETTERS.index(sign)] = sure
    return made


def word(text, row=3, column=2, step=3, sure=0.95):
    return [(row, column + step * n, sign, sure) for n, sign in enumerate(text)]


def texts(*spotted):
    return [line.text for line in lines_of(cells(*spotted))]


def test_letters_in_a_row_are_a_line():
    assert texts(*word("blue door")) == ["blue door"]
    assert texts(*word("blue", row=1), *word("door", row=5)) == ["blue", "door"]
    assert texts(*word("blue"), *word("door", column=40)) == ["blue", "door"]


def test_a_line_may_climb_a_little():
    climbing = [(row, column, sign, p) for row, (_, column, sign, p) in enumerate(word("slope"), 1)]
    assert texts(*climbing) == ["slope"]


def test_a_letter_seen_in_two_cells_is_one():
    twice = [*word("garden"), (3, 6, "a", 0.8), (4, 12, "d", 0.7)]
    assert texts(*twice) == ["garden"]


def test_narrow_letters_stand_close():
    close = [(3, 2, "b", 0.9), (3, 6, "i", 0.9), (3, 8, "l", 0.9), (3, 10, "l", 0.9)]
    assert texts(*close, (3, 14, "e", 0.9), (3, 18, "d", 0.9)) == ["billed"]


def test_what_is_hardly_there_is_left_out():
    assert not texts(*word("ghost", sure=0.35))
    assert not texts(*word("ghost", sure=0.5))
    assert not texts((3, 9, "x", 0.8))  # alone
    assert texts((3, 9, "x", 0.95)) == ["x"]


def line(text, middle, left=0.0, size=20.0):
    return Line(text, 0.9, left, left + len(text) * size / 2, float(middle), 8.0)


def test_lines_close_together_are_one_text():
    assert text_of([line("The secret", 20), line("word is red", 44)])[0] == "The secret word is red"
    assert text_of([line("Harbour", 20), line("Open daily", 120)])[0] == "Harbour / Open daily"
    assert text_of([line("left", 20), line("right", 22, left=300.0)])[0] == "left / right"
    assert text_of([]) == ("", 0.0)


def drawn(*written, size=(640, 360), ground=(20, 60, 90)):
    canvas = Image.new("RGB", size, ground)
    for text, at, height, colour in written:
        font = ImageFont.truetype(art.plain_face(), height)
        ImageDraw.Draw(canvas).text(at, text, colour, font)
    return canvas


WRITTEN = (
    ('The secret word is "garden"', (40, 40), 24, "white"),
    ("Harbour open daily", (40, 130), 44, (255, 220, 0)),
    ("small writing here 12345", (200, 260), 16, "white"),
)


def test_the_shipped_spotter_reads_plain_writing():
    found = [one.text for one in spotting.lines(np.asarray(drawn(*WRITTEN)))]
    wanted = [text for text, *_ in WRITTEN]
    assert len(found) == len(wanted)
    wrong = sum(edits(one, other) for one, other in zip(found, wanted, strict=True))
    assert wrong <= 0.06 * len("".join(wanted))


def test_plain_colour_and_noise_have_no_writing():
    noise = np.random.default_rng(0).integers(90, 130, (200, 300, 3)).astype(np.uint8)
    for pixels in (np.zeros((64, 64, 3), np.uint8), np.full((20, 500, 3), 200, np.uint8), noise):
        assert not spotting.lines(pixels)


@pytest.fixture(scope="module")
def sign(tmp_path_factory):
    path = tmp_path_factory.mktemp("signs") / "sign.png"
    drawn(("The special magic Paris number is: 4821", (30, 60), 22, "white")).save(path)
    return path


def test_a_picture_is_asked_about(spark, sign):
    reading = spark.read(sign)
    answer = spark.ask(reading, "What is the special magic Paris number?")
    assert "4821" in answer.text and answer.kind == "answer"
    assert str(answer.sources[0].place) == "sign.png"
    assert spark.ask(reading, "What is the special magic Rome number?").kind == "absent"


def test_another_spotter_reads_it_again(spark, sign, monkeypatch):
    """What is kept of a picture depends on who looked at it."""
    from pollux.engine.media import digest_of

    part = media_part(Content(path=sign), "sign.png", "image", KINDS)
    before = digest_of(spark.loaded, part)
    other = spotting.Shipped(spotting.shipped().weights, "another")
    monkeypatch.setattr(spotting, "shipped", lambda: other)
    assert digest_of(spark.loaded, part) != before


def test_read_in_any_chunks(spark, sign):
    part = media_part(Content(path=sign), "sign.png", "image", KINDS)
    text = Part(name="notes.txt", kind="text", text="Nothing but a note.\n" * 40)
    whole, small = (reader.read(spark.loaded, [text, part], size=size) for size in (4_096, 128))
    assert np.array_equal(whole.tokens, small.tokens)


@pytest.mark.parametrize("shape", [(20, 40), (160, 256), (170, 300), (384, 512), (400, 1100)])
def test_tiles_are_put_together(shape, monkeypatch):
    """What is said of a cell depends on what is around it only, so tiles leave no seams."""

    def spot(weights, grey):
        high, wide = (side // cell for side, cell in zip(grey.shape, spotting.CELL, strict=True))
        means = np.asarray(grey, np.float32).reshape(high, spotting.CELL[0], wide, -1).mean((1, 3))
        return np.broadcast_to(means[..., None], (high, wide, NOTHING + 1))

    monkeypatch.setattr(spotting, "_probabilities", spot)
    light = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    got = spotting.cells_of(light)
    padded = np.pad(light, [(0, -shape[0] % 8), (0, -shape[1] % 8)], "edge")
    expected = np.asarray(spot(None, padded))
    assert np.allclose(got, expected[: got.shape[0], : got.shape[1]])


def test_enlarged_and_reduced_keep_the_light():
    light = np.tile(np.arange(0, 240, 4, np.uint8), (40, 1))
    sizes = {scale: scaled.shape for scale, scaled in spotting._scaled(light)}
    assert sizes == {2.0: (80, 120), 1.0: (40, 60), 0.5: (20, 30)}
    for _, scaled in spotting._scaled(light):
        assert abs(float(scaled.mean()) - float(light.mean())) < 1
        assert (np.diff(scaled.astype(int), axis=1) >= 0).all()


@pytest.mark.parametrize(
    "seen, meant",
    [
        ("seCret", "secret"),
        ("HarbOur", "Harbour"),
        ("CHAPTER", "CHAPTER"),
        ("CHAPtER", "CHAPtER"),
        ("WORlD", "WORLD"),
        ("9O1", "901"),
        ("2Ol4", "2014"),
        ("ha1l", "hall"),
        ("So", "So"),
        ("abc123", "abc123"),
        ("", ""),
    ],
)
def test_signs_that_look_alike_are_as_their_word(seen, meant):
    assert spotting.mended(seen) == meant


def test_first_letters_that_look_alike_are_as_those_of_their_line():
    assert spotting.lowered("The Secret Word is here") == "The secret word is here"
    assert spotting.lowered("Harbour Open Daily") == "Harbour Open Daily"
    assert spotting.lowered("Open Secrets") == "Open Secrets"
    assert spotting.lowered("") == ""
