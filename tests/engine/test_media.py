# SPDX-License-Identifier: Apache-2.0
"""Pictures, sound, film and pages in a reading: cut anywhere, in any company, with their places."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import pollux
from pollux import interleaved, prompt
from pollux.config import BLOCK, MEL_BINS, PATCH
from pollux.engine import media, reader, shelf
from pollux.media import stream as decoding
from pollux.media.content import Content
from pollux.media.part import Kind
from pollux.media.piece import Picture, Sound, Words, clock
from pollux.memory.manifest import Mark
from pollux.memory.place import place_of
from pollux.model import decoder, read

FPS = 25


def picture(rows, columns, seed=0, **place):
    shape = rows * PATCH, columns * PATCH, 3
    pixels = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return Picture(pixels=pixels, **place)


def sound(tokens, seconds, seed=0):
    mel = np.random.default_rng(seed).normal(-5, 3, (tokens * 4, MEL_BINS)).astype("f")
    return Sound(mel=mel, seconds=seconds)


def film(first, last):
    """Seconds `first` to before `last`."""
    for second in range(first, last):
        at = float(second)
        yield Words(text=clock(at), seconds=at)
        yield picture(3, 3, second, seconds=at, frame=second * FPS)
        yield sound(25, at, second)


PIECES = {
    "photo.png": [picture(2, 5, 99)],
    "talk.opus": [sound(25, float(i), 200 + i) for i in range(9)] + [sound(7, 9.0, 300)],
    "film.mp4": [*film(0, 12)],
    "late.mp4": [*film(3600, 3604)],
    "silent.mp4": [p for p in film(0, 3) if not isinstance(p, Sound)],
    "report.pdf": [
        *(Words(text="The first page.", page=1), picture(2, 2, 7, page=1)),
        *(Words(text="The second page.", page=2), picture(2, 2, 8, page=2)),
    ],
}
KINDS: dict[str, Kind] = {"png": "image", "opus": "audio", "mp4": "video", "pdf": "pdf"}


@pytest.fixture(scope="module")
def model(sensing):
    return pollux.load(sensing)


@pytest.fixture(autouse=True)
def decoded(monkeypatch):
    """What decoding would give, without a codec."""
    real = decoding.pieces

    def pieces(part, *given, **named):
        return iter(PIECES[part.name]) if part.name in PIECES else real(part, *given, **named)

    monkeypatch.setattr(decoding, "pieces", pieces)


def part(name):
    kind = KINDS[name.partition(".")[2]]
    text = "The first page.\n\fThe second page.\n" if kind == "pdf" else ""
    return pollux.Part(name=name, kind=kind, text=text, content=Content(data=name.encode()))


@pytest.fixture(scope="module")
def mixed(parts):
    return [part("film.mp4"), parts[1], part("photo.png"), part("talk.opus"), part("report.pdf")]


def whole_memory(model, given):
    """Tokens, keys and values of one part by the plain forward pass."""
    loaded = model.loaded
    header = prompt.part_header(loaded.tokenizer, given.name)
    made = interleaved.interleaved(loaded.tokenizer, [header, *PIECES[given.name]])
    made = interleaved.fitted(made, -(-len(made.ids) // BLOCK) * BLOCK)
    tables = interleaved.tables([made], max(1, len(made.patches)), max(1, len(made.mel)))
    tables = {name: jnp.asarray(table) for name, table in tables.items()}
    shown = decoder.Media(tables.pop("media_at"), **tables)
    ids, state = jnp.asarray(made.ids[None]), read.empty_state(loaded.config, 1)

    @jax.jit
    def plain(p):
        seen = decoder.show(p, shown)
        return decoder.read_chunk(p, loaded.config, ids, jnp.zeros_like(ids), state, seen)[0]

    got = plain(loaded.weights)
    return made.ids, np.asarray(got.key[0]), np.asarray(got.value[0])


def nearly(left, right, share=0.01):
    """Equal but for rounding, where chunks were packed otherwise."""
    assert np.array_equal(left.tokens, right.tokens)
    assert left.parts == right.parts
    for what in ("keys", "values"):
        steps = np.abs(getattr(left, what).astype(int) - getattr(right, what))
        assert steps.max() <= 1 and (steps > 0).mean() < share
    return True


def test_memory_is_the_plain_forward_pass(model, mixed):
    reading = model.read(*mixed)
    assert [span.kind for span in reading.parts] == [one.kind for one in mixed]
    for name in ("film.mp4", "talk.opus"):
        span = reading.find(name)
        ids, key, value = whole_memory(model, part(name))
        here = slice(span.start, span.end)
        assert np.array_equal(reading.tokens[here], ids[: span.end - span.start])
        for what, expected in (("key", key), ("value", value)):
            scale = getattr(reading, f"{what}_scales")[here].astype(np.float32)
            got = getattr(reading, f"{what}s")[here] * scale[:, None]
            error = np.abs(got - expected[: len(scale)]).max(-1)
            assert (error <= 0.5 * scale + 1e-4).all()


def test_small_chunks_give_the_same_memory(model, mixed, monkeypatch):
    whole = model.read(*mixed)
    monkeypatch.setattr(reader, "CHUNK", 64)
    monkeypatch.setattr(reader, "FEW", 64)
    assert nearly(model.read(*mixed), whole)


def test_parts_read_apart_are_those_read_together(model, mixed):
    together = model.read(*mixed)
    for one in (mixed[0], mixed[3]):
        assert nearly(together.part(one.name), model.read(one))
    apart = pollux.Reading.combine([model.read(one) for one in mixed])
    assert nearly(apart, together)


def test_saved_equals_fresh(model, mixed, tmp_path):
    fresh = model.read(*mixed)
    model.read(*mixed, save=tmp_path / "a.reading")
    saved = model.open(tmp_path / "a.reading")
    assert nearly(fresh, saved, 1e-9)
    assert fresh.save(tmp_path / "b.reading").parts == saved.parts
    text = model.read(mixed[1], save=tmp_path / "text.reading")
    assert text.parts[0].is_text
    assert "marks" not in (tmp_path / "text.reading" / "manifest.json").read_text()


def test_later_film_does_not_depend_on_what_is_far_back(model, monkeypatch):
    before = model.read(part("film.mp4"))
    changed = PIECES["film.mp4"].copy()
    changed[1], changed[2] = picture(3, 3, 1000, seconds=0.0, frame=0), sound(25, 0.0, 1000)
    monkeypatch.setitem(PIECES, "film.mp4", changed)
    after = model.read(part("film.mp4"))
    where = np.flatnonzero(np.any(before.keys != after.keys, 1))
    # The header, the label, the picture and the sound, then as far as anything reaches.
    first = before.parts[0].text_start
    seconds = [p.at for p in before.parts[0].marks if p.step == 0]
    assert first < where[0] < seconds[1]
    assert where[-1] <= seconds[1] + model.loaded.config.receptive_field


def test_places(model, mixed):
    reading = model.read(*mixed, part("late.mp4"))
    tokenizer, control = model.loaded.tokenizer, model.loaded.tokenizer.control

    def tokens_of(name, what):
        span = reading.find(name)
        ids = reading.tokens[span.start : span.end]
        return np.flatnonzero(ids == control[what]) + span.start

    sounds = tokens_of("talk.opus", interleaved.MEDIA)
    assert len(tokens_of("talk.opus", "<begin_audio>")) == 1
    for number in (0, 1, 24, 25, 100, len(sounds) - 1):
        place = place_of(reading, tokenizer, int(sounds[number]))
        assert place.milliseconds == 40 * number and place.medium == "audio"
        assert str(place) == f"talk.opus {clock(number / 25)}"
    for name, begins in (("film.mp4", 0), ("late.mp4", 3600)):
        pictures, ends = tokens_of(name, "<begin_image>"), tokens_of(name, "<end_audio>")
        for second, (at, end) in enumerate(zip(pictures, ends, strict=True), begins):
            for position in (at - 2, at, at + 9):  # its label, and the picture
                place = place_of(reading, tokenizer, int(position))
                assert (place.time, place.frame) == (clock(float(second)), second * FPS)
            last = place_of(reading, tokenizer, int(end) - 1)
            assert last.milliseconds == 1000 * second + 960
    assert str(place_of(reading, tokenizer, int(ends[0]) - 1)) == "late.mp4 01:00:00"
    photo = reading.find("photo.png")
    assert str(place_of(reading, tokenizer, photo.end - 2)) == "photo.png"
    begun = tokens_of("report.pdf", "<begin_image>")
    assert [place_of(reading, tokenizer, int(at)).page for at in begun] == [1, 2]
    assert place_of(reading, tokenizer, int(begun[1]) - 3).page == 2
    assert str(place_of(reading, tokenizer, reading.find("1.txt").text_start)) == "1.txt:1"


def test_what_follows_needs_no_mark(model):
    (talk,) = model.read(part("talk.opus")).parts
    assert talk.marks == (Mark(talk.text_start + 1, 0, 40, -1, -1),)
    (seen,) = model.read(part("silent.mp4")).parts
    assert [one.frame for one in seen.marks] == [0, FPS, 2 * FPS]


def test_only_text_can_be_changed(model, mixed):
    reading = model.read(*mixed)
    for name in ("film.mp4", "photo.png", "report.pdf"):
        with pytest.raises(pollux.InputError, match="only text can be changed; read it anew"):
            model.replace_lines(reading, name, (1, 1), "other")
    changed = model.replace_lines(reading, "1.txt", (2, 2), "The word is lantern.")
    text = mixed[1].text.split("\n")
    text[1] = "The word is lantern."
    other = pollux.Part(name="1.txt", kind="text", text="\n".join(text))
    assert nearly(changed, model.read(mixed[0], other, *mixed[2:]))


def test_update_takes_over_what_is_the_same(model, mixed, tmp_path):
    path, told = tmp_path / "a.reading", []
    model.read(*mixed, save=path)
    given = [*mixed[::-1], part("silent.mp4")]
    updated = model.read(*given, save=path, update=True, report=told.append)
    assert told[-1].parts_kept == len(mixed)
    assert nearly(updated, model.read(*given))
    model.read(*given, save=path, update=True, report=told.append, view=pollux.View(fps=2.0))
    assert told[-1].parts_kept == 1  # the text


def test_a_model_without_senses_reads_the_text_of_pages(weights, mixed):
    blind = pollux.load(weights)
    pages = blind.read(mixed[4])
    assert pages.parts[0].is_text
    tokens = pages.tokens[pages.parts[0].text_start : pages.parts[0].end]
    assert blind.loaded.tokenizer.decode(tokens) == mixed[4].text


def test_real_files_and_what_is_damaged(model, tmp_path):
    Image.new("RGB", (40, 24), "red").save(tmp_path / "a.png")
    reading = model.read(tmp_path / "a.png")
    patches = (reading.tokens == model.loaded.tokenizer.control[interleaved.MEDIA]).sum()
    assert patches == 6 and reading.parts[0].kind == "image"
    data = (tmp_path / "a.png").read_bytes()
    torn = pollux.Part(name="b.png", kind="image", content=Content(data=data[:-30]))
    with pytest.raises(pollux.InputError, match=r"b\.png is cut short or damaged"):
        model.read(torn)
    told = []
    read = reader.read(
        model.loaded, [torn, part("photo.png")], report=told.append, skip_unreadable=True
    )
    assert told[-1].notes == ["b.png is cut short or damaged"]
    assert [span.note for span in read.parts] == ["is cut short or damaged", ""]
    assert [span.is_text for span in read.parts] == [False, False]


def test_tiles_embed_what_there_is(model, monkeypatch):
    """A chunk with more than a tile, and one with less, give what one tile gives."""
    tall = Picture(pixels=picture(16, 16, 5).pixels)
    monkeypatch.setitem(PIECES, "photo.png", [tall, tall])
    ids, key, _ = whole_memory(model, part("photo.png"))
    reading = model.read(part("photo.png"))
    assert (reading.tokens == model.loaded.tokenizer.control[interleaved.MEDIA]).sum() == 512
    got = reading.keys * reading.key_scales.astype(np.float32)[:, None]
    real = slice(0, reading.parts[0].end)
    error = np.abs(got - key)[real].max(-1)
    assert (error <= 0.5 * reading.key_scales[real].astype(np.float32) + 1e-4).all()


def test_readings_on_the_shelf_differ_by_view_and_by_damage(model, tmp_path):
    one, text = [part("film.mp4")], [pollux.Part(name="a.txt", kind="text", text="A word.\n")]
    low = pollux.View(resolution="low")
    looked = [{}, {"view": low}, {"skip_unreadable": True}]
    for given, different in ((one, 3), (text, 1)):
        assert len({shelf.key_of(model.loaded, given, **way) for way in looked}) == different
    first, there = shelf.read_or_open(model.loaded, one, directory=tmp_path, view=low)
    again, found = shelf.read_or_open(model.loaded, one, directory=tmp_path, view=low)
    assert (there, found) == (False, True) and nearly(first, again, 1e-9)


def test_view_is_part_of_what_was_read(model):
    one = part("film.mp4")
    assert media.digest_of(model.loaded, one) != media.digest_of(
        model.loaded, one, pollux.View(resolution="low")
    )
