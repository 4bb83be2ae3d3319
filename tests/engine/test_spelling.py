# SPDX-License-Identifier: Apache-2.0
"""What is written on pictures becomes lines of text, with places, that can be asked about."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from pollux.config import STRIP, STRIP_SIZE
from pollux.data import art
from pollux.engine import reader, spelling, spotting
from pollux.engine.spelling import Line, chosen, spelt_of, strips_of, text_of
from pollux.engine.spotting import Row
from pollux.evals.score import edits
from pollux.media.content import Content
from pollux.media.part import KINDS, Part
from pollux.media.stream import media_part
from pollux.model.speller import CLASSES


def line(text, middle, left=0.0, size=20.0, sure=0.9):
    return Line(text, sure, left, left + len(text) * size / 2, float(middle), size)


def test_of_two_sizes_the_surer_one_counts():
    found = [line("harbour", 40, sure=0.7), line("Harbour", 42, sure=0.95), line("open", 90)]
    assert [one.text for one in chosen(found)] == ["Harbour", "open"]


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


def test_plain_writing_is_read():
    found = [one.text for one in spelling.lines(np.asarray(drawn(*WRITTEN)))]
    wanted = [text for text, *_ in WRITTEN]
    assert len(found) == len(wanted)
    wrong = sum(edits(one, other) for one, other in zip(found, wanted, strict=True))
    assert wrong <= 0.03 * len("".join(wanted))


def test_plain_colour_and_noise_have_no_writing():
    noise = np.random.default_rng(0).integers(90, 130, (200, 300, 3)).astype(np.uint8)
    for pixels in (np.zeros((64, 64, 3), np.uint8), np.full((20, 500, 3), 200, np.uint8), noise):
        assert not spelling.lines(pixels)


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


@pytest.mark.parametrize("own", [spotting, spelling])
def test_another_one_reads_it_again(spark, sign, own, monkeypatch):
    """What is kept of a picture depends on who looked at it."""
    from pollux.engine.media import digest_of

    part = media_part(Content(path=sign), "sign.png", "image", KINDS)
    before = digest_of(spark.loaded, part)
    other = own.Shipped(own.shipped().weights, "another")
    monkeypatch.setattr(own, "shipped", lambda: other)
    assert digest_of(spark.loaded, part) != before


def test_read_in_any_chunks(spark, sign):
    part = media_part(Content(path=sign), "sign.png", "image", KINDS)
    text = Part(name="notes.txt", kind="text", text="Nothing but a note.\n" * 40)
    whole, small = (reader.read(spark.loaded, [text, part], size=size) for size in (4_096, 128))
    assert np.array_equal(whole.tokens, small.tokens)


def strip_of(text, wide):
    canvas = Image.new("L", (wide, STRIP), 90)
    font = ImageFont.truetype(art.plain_face(), round(STRIP_SIZE))
    ImageDraw.Draw(canvas).text((8, STRIP / 2 + 0.33 * STRIP_SIZE), text, 230, font, "ls")
    return np.asarray(canvas)


def test_a_strip_alone_and_among_others_say_the_same():
    strips = [strip_of(*one) for one in (("gold", 70), ("all bells", 130), ("4711", 64))]
    together = spelt_of(strips)
    assert [text for text, _ in together] == ["gold", "all bells", "4711"]
    for one, (text, sure) in zip(strips, together, strict=True):
        [(alone, of_it)] = spelt_of([one])
        assert alone == text and len(sure) == len(text)
        np.testing.assert_allclose(of_it, sure, atol=1e-4)
    assert spelt_of([]) == []


def test_letters_follow_one_another_once():
    said = [0, 3, 3, 0, 3, 0, CLASSES - 1, 3, 0]
    seen = np.eye(CLASSES, dtype=np.float32)[said] * 0.9
    assert spelling._text(seen) == ("cc c", pytest.approx([0.9] * 4))


@pytest.mark.parametrize(
    "text, spotted, spelt, is_told",
    [
        ("ghost", 0.5, 0.7, True),
        ("ghost", 0.5, 0.5, False),
        ("x", 0.95, 0.95, True),
        ("x", 0.8, 0.95, False),
        ("x", 0.95, 0.8, False),
        ("", 0.95, 0.95, False),
    ],
)
def test_what_is_not_sure_is_left_out(text, spotted, spelt, is_told):
    row = Row(np.array([10.0, 30.0]), np.array([60.0, 30.0]), STRIP_SIZE, (), spotted)
    found = spelling._line(row, 1.0, [(text, [spelt] * len(text))])
    assert (found is not None) == is_told
    assert not is_told or (found.text, found.sure) == (text, pytest.approx(spelt))


def test_long_rows_are_cut_at_spaces():
    light = np.zeros((60, 4_000), np.uint8)
    spaces = tuple(float(at) for at in range(300, 4_000, 300))
    row = Row(np.array([10.0, 30.0]), np.array([3_900.0, 34.0]), STRIP_SIZE, spaces, 1.0)
    cut = [*strips_of(light, row)]
    assert [one.shape[0] for one in cut] == [STRIP] * len(cut)
    assert max(one.shape[1] for one in cut) <= spelling.LENGTHS[-1]
    shown = 2 * spelling.SHOWN * STRIP_SIZE
    assert abs(sum(one.shape[1] for one in cut) - (3_890 + shown)) < 8
    plain = Row(np.array([10.0, 30.0]), np.array([3_900.0, 30.0]), STRIP_SIZE, (), 1.0)
    assert len([*strips_of(light, plain)]) == 4  # anywhere, where there is no space
