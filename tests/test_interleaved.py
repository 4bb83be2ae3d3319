# SPDX-License-Identifier: Apache-2.0
"""Text, pictures and sound in one sequence."""

import numpy as np
import pytest

from pollux import interleaved as mixed
from pollux.config import BORDER, MEL_BINS, MEL_FRAMES, MEL_OWN, PATCH, SIGHT
from pollux.media import mel, resolution
from pollux.media.piece import Picture, Sound, Words
from pollux.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.load()


def picture(rows, columns, seed=0, **place):
    shape = rows * PATCH, columns * PATCH, 3
    pixels = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return Picture(pixels=pixels, **place)


def sound(tokens, seconds=0.0, seed=0):
    shape = tokens * MEL_OWN, MEL_BINS
    return Sound(mel=np.random.default_rng(seed).normal(size=shape).astype("f"), seconds=seconds)


def names(tokenizer, made):
    """Of control tokens; text is left out."""
    known = {number: name for name, number in tokenizer.control.items()}
    return [known[i] for i in made.ids.tolist() if i in known]


def test_sizes_are_those_of_media():
    assert (PATCH, MEL_BINS, MEL_OWN) == (resolution.PATCH, mel.BINS, mel.TOKEN_FRAMES)
    assert MEL_FRAMES % MEL_OWN == 0


def test_picture_row_by_row(tokenizer):
    piece = picture(2, 3)
    made = mixed.interleaved(tokenizer, [piece])
    media = mixed.MEDIA
    assert names(tokenizer, made) == ["<begin_image>", *[media] * 6, "<end_image>"]
    assert made.patch_at.tolist() == [-1, *range(6), -1]
    assert made.patch_place.tolist() == [[row, column] for row in (0, 1) for column in (0, 1, 2)]
    for number, (row, column) in enumerate(made.patch_place * PATCH):
        expected = piece.pixels[row : row + PATCH, column : column + PATCH]
        own = made.patches[number, BORDER:-BORDER, BORDER:-BORDER]
        assert np.array_equal(own, expected)
    assert (made.mel_at == -1).all()


def test_around_a_patch_is_its_picture(tokenizer):
    """Whatever stands before and behind it in the sequence; beyond the picture its edge."""
    piece = picture(2, 3)
    made = mixed.interleaved(tokenizer, [picture(1, 2, 1), np.array([9]), piece, picture(2, 2, 2)])
    alone = mixed.interleaved(tokenizer, [piece]).patches
    assert np.array_equal(made.patches[2:8], alone)
    top, bottom = alone[1], alone[4]  # in the middle of the first and of the second row
    assert np.array_equal(top[BORDER:], piece.pixels[: PATCH + BORDER, BORDER : BORDER + SIGHT])
    assert np.array_equal(top[:BORDER], np.repeat(top[BORDER : BORDER + 1], BORDER, 0))
    assert np.array_equal(bottom[: -2 * BORDER], top[PATCH:])
    left = alone[0]
    assert np.array_equal(left[:, :BORDER], np.repeat(left[:, BORDER : BORDER + 1], BORDER, 1))
    assert np.array_equal(left[:, -BORDER:], top[:, BORDER : 2 * BORDER])


def test_sound_hears_what_was_before(tokenizer):
    piece = sound(3)
    made = mixed.interleaved(tokenizer, [piece])
    assert names(tokenizer, made) == ["<begin_audio>", *[mixed.MEDIA] * 3, "<end_audio>"]
    assert made.mel_at.tolist() == [-1, 0, 1, 2, -1]
    assert np.array_equal(made.mel[2], piece.mel.astype(np.float16))
    assert np.array_equal(made.mel[0, mixed.EARLIER :], piece.mel[:4].astype(np.float16))
    assert (made.mel[0, : mixed.EARLIER] == np.float16(np.log(mel.FLOOR))).all()


@pytest.mark.parametrize("sizes", [(1, 1, 1, 7), (5, 5), (25, 4)])
def test_sound_cut_in_pieces_is_one_sound(tokenizer, sizes):
    whole = sound(sum(sizes), 60.0)
    ends = np.cumsum(sizes) * MEL_OWN
    cut = [
        Sound(mel=part, seconds=60.0 + at / mel.SECOND)
        for part, at in zip(np.split(whole.mel, ends[:-1]), [0, *ends[:-1]], strict=True)
    ]
    made, expected = (mixed.interleaved(tokenizer, given) for given in (cut, [whole]))
    for name in ("ids", "mel", "mel_at"):
        assert np.array_equal(getattr(made, name), getattr(expected, name))
    assert made.spans[:, 0].tolist() == [0, *(np.cumsum(sizes)[:-1] + 1)]
    apart = mixed.interleaved(tokenizer, [whole, sound(2, 99.0)])
    assert names(tokenizer, apart).count("<begin_audio>") == 2


def test_film(tokenizer):
    ids = np.array([5, 4000, 4001], np.int32)
    pieces = [
        ids,
        Words(text="00:07", seconds=7.0),
        picture(1, 2, seconds=7.0, frame=175),
        sound(2, 7.0),
        Words(text="00:08", seconds=8.0),
        picture(2, 1, seed=1, seconds=8.0, frame=200),
        sound(1, 8.0, seed=1),
    ]
    made = mixed.interleaved(tokenizer, pieces)
    assert tokenizer.decode(made.ids[3:]) == "00:07\n00:08\n"
    assert made.patch_at.max() == 3 and made.mel_at.max() == 2
    assert made.spans[0].tolist() == [0, 3] and made.spans[-1, 1] == len(made.ids)
    assert np.array_equal(made.spans[1:, 0], made.spans[:-1, 1])
    media = mixed.is_media(tokenizer, made.ids)
    assert np.array_equal(media, (made.patch_at >= 0) | (made.mel_at >= 0))
    assert media.sum() == 7
    by_piece = [*mixed.stream(tokenizer, iter(pieces))]
    assert [len(one.ids) for one in by_piece] == np.diff(made.spans).ravel().tolist()


def test_cut_and_joined(tokenizer):
    made = mixed.interleaved(tokenizer, [picture(2, 2), sound(5), np.array([9]), picture(1, 3)])
    for at in range(len(made.ids) + 1):
        again = mixed.joined([made.cut(0, at), made.cut(at, len(made.ids))])
        for name in ("ids", "patches", "patch_place", "patch_at", "mel", "mel_at"):
            assert np.array_equal(getattr(again, name), getattr(made, name))


def test_pages(tokenizer):
    pieces = [Words(text="one", page=1), picture(1, 1, page=1), Words(text="two", page=2)]
    assert tokenizer.decode(mixed.interleaved(tokenizer, pieces).ids) == "one\n\ftwo\n"


def test_tables_of_a_batch(tokenizer):
    rows = [
        mixed.interleaved(tokenizer, [picture(1, 2), np.array([5, 6, 7])]),
        mixed.interleaved(tokenizer, [sound(2), np.array([5, 6, 7])]),
        mixed.interleaved(tokenizer, [np.array([5]), picture(2, 2, seed=1)]),
    ]
    made = mixed.tables(rows, patches=8, sounds=3)
    assert made["media_at"].tolist() == [
        [-1, 0, 1, -1, -1, -1, -1],
        [-1, 8, 9, -1, -1, -1, -1],
        [-1, -1, 2, 3, 4, 5, -1],
    ]
    assert made["patches"].shape == (8, SIGHT, SIGHT, 3) and not made["patches"][6:].any()
    assert np.array_equal(made["patches"][2:6], rows[2].patches)
    assert made["patch_place"].shape == (8, 2)
    assert made["mel"].shape == (3, MEL_FRAMES, MEL_BINS)
    assert not mixed.tables([mixed.text([1, 2])], 0, 0)
    with pytest.raises(ValueError, match="6 patches in a batch with room for 5"):
        mixed.tables(rows, patches=5, sounds=3)


def test_fitted_to_a_row(tokenizer):
    made = mixed.interleaved(tokenizer, [np.array([5]), picture(2, 2), sound(3)])
    for length in (0, 1, 4, len(made.ids), 40):
        row, kept = mixed.fitted(made, length), min(length, len(made.ids))
        assert len(row.ids) == length and not row.ids[kept:].any()
        assert np.array_equal(row.ids[:kept], made.ids[:kept])
        assert len(row.patches) == (row.patch_at >= 0).sum() == (made.patch_at[:kept] >= 0).sum()
        assert len(row.mel) == (row.mel_at >= 0).sum() == (made.mel_at[:kept] >= 0).sum()


def test_what_is_no_whole_token_is_refused(tokenizer):
    with pytest.raises(ValueError, match="20 x 16 pixels"):
        mixed.interleaved(tokenizer, [Picture(pixels=np.zeros((16, 20, 3), np.uint8))])
    with pytest.raises(ValueError, match="5 frames"):
        mixed.interleaved(tokenizer, [Sound(mel=np.zeros((5, MEL_BINS), "f"), seconds=0.0)])
