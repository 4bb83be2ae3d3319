# SPDX-License-Identifier: Apache-2.0
"""Text, pictures and sound in one sequence: the one renderer, for reading and training.

`<begin_image> patches <end_image>`, the patches row by row, and `<begin_audio> sound <end_audio>`,
40 ms a token, stand between the tokens of text. A patch and a token of sound have one id (`MEDIA`);
what they show stands in tables beside the ids.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float16, Float32, Int, Int32, UInt8
from numpy.lib.stride_tricks import sliding_window_view

from pollux.config import BORDER, MEL_BINS, MEL_FRAMES, MEL_OWN, PATCH, SIGHT
from pollux.media.mel import FLOOR, SECOND
from pollux.media.piece import Picture, Piece, Sound, Words
from pollux.tokenizer import Tokenizer

MEDIA = "<reserved_0>"  # the id of every patch and token of sound: nothing else has it
EARLIER = MEL_FRAMES - MEL_OWN  # frames before its own that a token of sound hears
_SILENCE = np.full((EARLIER, MEL_BINS), np.log(FLOOR), np.float32)  # before a sound begins
_PAGE_BREAK = "\f"  # as between the pages of a PDF that is read as text


@dataclass(frozen=True, kw_only=True, eq=False)
class Interleaved:
    """T tokens and, among them, P patches and A tokens of sound, both in the order of the ids."""

    ids: Int32[np.ndarray, " T"]
    patches: UInt8[np.ndarray, "P 32 32 3"]  # with what is around each
    patch_place: Int32[np.ndarray, "P 2"]  # row and column in its picture
    patch_at: Int32[np.ndarray, " T"]  # which patch stands here; -1: none
    mel: Float16[np.ndarray, "A 12 64"]  # frames before (silence, where it begins) and its own
    mel_at: Int32[np.ndarray, " T"]  # which token of sound stands here; -1: none
    spans: Int32[np.ndarray, "pieces 2"]  # tokens of each piece, [from, to)

    def cut(self, start: int, end: int) -> "Interleaved":
        """Tokens `start` to before `end` with what stands there; `spans` are not kept."""
        patch_at, mel_at = self.patch_at[start:end], self.mel_at[start:end]
        patches, sounds = patch_at[patch_at >= 0], mel_at[mel_at >= 0]
        return Interleaved(
            ids=self.ids[start:end],
            patches=self.patches[patches],
            patch_place=self.patch_place[patches],
            patch_at=_numbered(patch_at >= 0),
            mel=self.mel[sounds],
            mel_at=_numbered(mel_at >= 0),
            spans=np.zeros((0, 2), np.int32),
        )

    def media_at(self, patches: int) -> Int32[np.ndarray, " T"]:
        """Which row stands at each token, in a table of sound behind one of that many patches."""
        return np.where(self.mel_at >= 0, self.mel_at + np.int32(patches), self.patch_at)


def interleaved(
    tokenizer: Tokenizer, pieces: Iterable[Piece | Int[np.ndarray, " _"]]
) -> Interleaved:
    """Pieces in reading order, `spans` saying where each of them came to stand.

    An array is token ids, taken as they are. Words get an end of line, and a form feed in front
    from page 2 on. Sound that goes on where the last piece ended, by its seconds, is one sound: the
    markers stand before the first and after the last.
    """
    return joined([*stream(tokenizer, pieces)])


def stream(
    tokenizer: Tokenizer, pieces: Iterable[Piece | Int[np.ndarray, " _"]]
) -> Iterator[Interleaved]:
    """The same, one piece at a time as they come, with a look at the next."""
    control, before, heard = tokenizer.control, None, _SILENCE
    for piece, after in _with_next(pieces):
        match piece:
            case Picture():
                yield _picture(control, piece)
            case Sound():
                begins, ends = not _goes_on(before, piece), not _goes_on(piece, after)
                heard = np.concatenate([_SILENCE if begins else heard[-EARLIER:], piece.mel])
                yield _sound(control, heard, begins, ends)
            case Words():
                page = _PAGE_BREAK * (piece.page is not None and piece.page > 1)
                end = "" if piece.text.endswith("\n") else "\n"
                yield text(tokenizer.encode(page + piece.text + end))
            case _:
                yield text(piece)
        before = piece


def text(ids: Sequence[int] | np.ndarray) -> Interleaved:
    """Token ids without any media."""
    nothing = np.full(len(ids), -1, np.int32)
    return Interleaved(
        ids=np.asarray(ids, np.int32),
        patches=np.zeros((0, SIGHT, SIGHT, 3), np.uint8),
        patch_place=np.zeros((0, 2), np.int32),
        patch_at=nothing,
        mel=np.zeros((0, MEL_FRAMES, MEL_BINS), np.float16),
        mel_at=nothing,
        spans=np.array([[0, len(ids)]], np.int32),
    )


def joined(several: Sequence[Interleaved]) -> Interleaved:
    """One after another."""
    if not several:
        return replace(text([]), spans=np.zeros((0, 2), np.int32))
    tokens, patches, sounds = (
        np.cumsum([0, *(len(getattr(one, name)) for one in several[:-1])], dtype=np.int32)
        for name in ("ids", "patches", "mel")
    )

    def shifted(name: str, by: np.ndarray) -> np.ndarray:
        arrays = [getattr(one, name) for one in several]
        return np.concatenate(
            [np.where(array < 0, -1, array + n) for array, n in zip(arrays, by, strict=True)]
        ).astype(np.int32)

    return Interleaved(
        ids=np.concatenate([one.ids for one in several]),
        patches=np.concatenate([one.patches for one in several]),
        patch_place=np.concatenate([one.patch_place for one in several]),
        patch_at=shifted("patch_at", patches),
        mel=np.concatenate([one.mel for one in several]),
        mel_at=shifted("mel_at", sounds),
        spans=shifted("spans", tokens),
    )


def patches_of(
    pixels: UInt8[np.ndarray, "H W 3"],
) -> tuple[UInt8[np.ndarray, "P 32 32 3"], Int32[np.ndarray, "P 2"]]:
    """A picture row by row, each patch with what is around it in this picture; their places."""
    height, width, _ = pixels.shape
    rows, columns = height // PATCH, width // PATCH
    if (rows * PATCH, columns * PATCH) != (height, width):
        raise ValueError(f"{width} x {height} pixels are no whole patches of {PATCH}")
    around = np.pad(pixels, ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), "edge")
    windows = sliding_window_view(around, (SIGHT, SIGHT), (0, 1))[::PATCH, ::PATCH]
    patches = windows.transpose(0, 1, 3, 4, 2).reshape(-1, SIGHT, SIGHT, 3)
    place = np.indices((rows, columns), np.int32).reshape(2, -1).T
    return patches, np.ascontiguousarray(place)


def is_media(tokenizer: Tokenizer, ids: np.ndarray) -> Bool[np.ndarray, " T"]:
    """Where `ids` are patches and sound: no token to be predicted."""
    return ids == tokenizer.control[MEDIA]


def fitted(one: Interleaved, length: int) -> Interleaved:
    """Cut to `length` tokens, or filled up with id 0; `spans` are not kept."""
    short = one.cut(0, length)
    return joined([short, text(np.zeros(length - len(short.ids), np.int32))]).cut(0, length)


def tables(rows: Sequence[Interleaved], patches: int, sounds: int) -> dict[str, np.ndarray]:
    """The media of a batch of equally long rows, as in train.loss.Batch: filled up with zeros.

    `patches`, `sounds`: how many of each there is room for in the whole batch; 0 for a model
    without eyes or ears. ValueError where there are more.
    """
    whole, made = joined(rows), {}
    for name, table, room in (("patches", whole.patches, patches), ("mel", whole.mel, sounds)):
        if len(table) > room:
            raise ValueError(f"{len(table)} {name} in a batch with room for {room}")
        if room:
            made[name] = _filled(table, room)
    if patches:
        made["patch_place"] = _filled(whole.patch_place, patches)
    return {**made, "media_at": whole.media_at(patches).reshape(len(rows), -1)} if made else {}


def _filled(table: np.ndarray, room: int) -> np.ndarray:
    return np.concatenate([table, np.zeros((room - len(table), *table.shape[1:]), table.dtype)])


def _with_next(pieces: Iterable) -> Iterator[tuple]:
    """Each with the one after it; None after the last."""
    nothing = object()
    before = nothing
    for piece in pieces:
        if before is not nothing:
            yield before, piece
        before = piece
    if before is not nothing:
        yield before, None


def _goes_on(before: object, after: object) -> bool:
    if not (isinstance(before, Sound) and isinstance(after, Sound)):
        return False
    ends = before.seconds + len(before.mel) / SECOND
    return bool(abs(after.seconds - ends) < 1 / SECOND)


def _picture(control: dict[str, int], picture: Picture) -> Interleaved:
    patches, place = patches_of(picture.pixels)
    media = [control[MEDIA]] * len(place)
    ids = np.array([control["<begin_image>"], *media, control["<end_image>"]], np.int32)
    return replace(
        text(ids),
        patches=patches,
        patch_place=place,
        patch_at=_numbered(ids == control[MEDIA]),
    )


def _sound(
    control: dict[str, int], frames: Float32[np.ndarray, "T 64"], begins: bool, ends: bool
) -> Interleaved:
    """The first EARLIER of the frames are those before."""
    tokens, rest = divmod(len(frames) - EARLIER, MEL_OWN)
    if rest:
        raise ValueError(f"{len(frames) - EARLIER} frames are no whole tokens of {MEL_OWN}")
    media = [control[MEDIA]] * tokens
    marks = [control["<begin_audio>"]] * begins, [control["<end_audio>"]] * ends
    ids = np.array([*marks[0], *media, *marks[1]], np.int32)
    windows = sliding_window_view(frames, MEL_FRAMES, 0)[::MEL_OWN].swapaxes(1, 2)
    mel = windows[:tokens].astype(np.float16)
    return replace(text(ids), mel=mel, mel_at=_numbered(ids == control[MEDIA]))


def _numbered(there: Bool[np.ndarray, " T"]) -> Int32[np.ndarray, " T"]:
    """0, 1, 2, ... where it is there, -1 elsewhere."""
    return np.where(there, np.cumsum(there) - 1, -1).astype(np.int32)
