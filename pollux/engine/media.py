# SPDX-License-Identifier: Apache-2.0
"""What is seen and heard, on its way into a reading: a part's sequence, its marks, its tables."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np

from pollux.config import MEL_OWN
from pollux.engine import listening, naming, spelling, spotting, watching
from pollux.engine.chunk import Seen, no_media
from pollux.engine.model import Loaded
from pollux.errors import InputError
from pollux.interleaved import Interleaved, joined, stream
from pollux.media import stream as decoding
from pollux.media.limits import Unreadable
from pollux.media.mel import SECOND
from pollux.media.part import Part, one_line
from pollux.media.piece import Picture, Piece, Sound, Words
from pollux.media.view import VIEW, View
from pollux.memory.manifest import Mark

HEARD = "audio", "video"
STEP = 1000 * MEL_OWN // SECOND  # milliseconds that a token of sound lasts


@dataclass(frozen=True, kw_only=True)
class Way:
    """How media are looked at. What is damaged ends where it is, with a line in `notes`, or not.

    `pieces`: what a part holds, where that is not to be decoded; `look`: what is seen on it.
    """

    view: View = VIEW
    skip_unreadable: bool = False
    notes: list[str] = field(default_factory=list)
    pieces: Callable[[Part], Iterator[Piece]] | None = None
    look: watching.Looked | None = None

    def decoded(self, part: Part, view: View) -> Iterator[Piece]:
        if self.pieces:
            return self.pieces(part)
        skip, report = self.skip_unreadable, self.notes.append
        return decoding.pieces(part, view, skip_unreadable=skip, report=report)


def is_mixed(model: Loaded, part: Part) -> bool:
    """Whether a part is more to this model than its text. Without eyes it spots what is scanned."""
    scanned = part.kind == "pdf" and not part.text
    looked_at = part.kind != "pdf" or scanned or model.config.vision is not None
    return part.content is not None and looked_at


def is_spotted(model: Loaded, part: Part) -> bool:
    """Whether what is written on a part is written down, for a model without eyes."""
    return model.config.vision is None and part.kind != "audio" and is_mixed(model, part)


def is_heard(model: Loaded, part: Part) -> bool:
    """Whether what is said in a part is written down, for a model without ears."""
    return model.config.audio is None and part.content is not None and part.kind in HEARD


def seen_by(model: Loaded, part: Part, view: View) -> View:
    """How closely a part is looked at: a spotter is shown more, since it costs no tokens."""
    if not is_spotted(model, part):
        return view
    closely = spotting.FILM_DETAIL if part.kind == "video" else spotting.DETAIL
    return replace(view, detail=closely)


def digest_of(model: Loaded, part: Part, view: View = VIEW) -> str:
    """sha256 of what a part holds; of a medium also of how it is looked at. Raises InputError."""
    if part.content is None or not is_mixed(model, part):
        return hashlib.sha256(part.text.encode("utf-8", "replace")).hexdigest()
    try:
        with part.content.open() as file:
            digest = hashlib.file_digest(file, "sha256")
    except Unreadable as error:
        raise InputError(f"{part.name} {one_line(str(error))}") from None
    digest.update(repr(seen_by(model, part, view)).encode())
    if is_spotted(model, part):
        for own in (spotting, spelling, naming):
            digest.update(own.shipped().fingerprint.encode())
    if is_heard(model, part):
        digest.update(listening.shipped().fingerprint.encode())
    return digest.hexdigest()


def sequence(
    model: Loaded, part: Part, way: Way, at: int, marks: list[Mark]
) -> Iterator[Interleaved]:
    """A part's pieces as they are decoded; the first stands `at` tokens behind its beginning.

    `marks` grow meanwhile. Raises InputError where the part turns out damaged.
    """
    waiting: list[Piece] = []  # decoded, and not yet in the sequence

    def perceived() -> Iterator[Piece]:
        pieces = way.decoded(part, seen_by(model, part, way.view))
        if is_spotted(model, part):
            pieces = watching.written_down(pieces, part.name, way.look)
        if is_heard(model, part):
            pieces = listening.written_down(pieces)
        for piece in pieces:
            waiting.append(piece)
            yield piece

    for one in stream(model.tokenizer, perceived()):
        mark(marks, waiting.pop(0), at, len(one.ids), is_begun=bool(one.mel_at[0] >= 0))
        at += len(one.ids)
        yield one


def mark(marks: list[Mark], piece: Piece, at: int, size: int, is_begun: bool) -> None:
    """Adds what a piece of `size` tokens, the first at `at`, shows.

    Nothing where it follows from the last mark. `is_begun`: sound that goes on, without a marker in
    front.
    """
    milliseconds = -1 if piece.seconds is None else round(1000 * piece.seconds)
    if isinstance(piece, Sound):
        at += not is_begun
        last = marks[-1] if marks else None
        follows = last and last.milliseconds + last.step * (at - last.at) == milliseconds
        if not (is_begun and follows):
            marks.append(Mark(at, milliseconds, STEP, -1, -1))
        return
    page = -1 if piece.page is None else piece.page
    frame, step = -1, 0
    if isinstance(piece, Words) and piece.ends is not None and piece.seconds is not None:
        step = round(1000 * (piece.ends - piece.seconds) / size)
    if isinstance(piece, Picture):
        frame = -1 if piece.frame is None else piece.frame
        # The words before a picture, a second's or a page's, are its label.
        if marks and marks[-1] == Mark(marks[-1].at, milliseconds, 0, -1, page):
            at = marks.pop().at
    marks.append(Mark(at, milliseconds, step, frame, page))


def seen(model: Loaded, media: Sequence[Interleaved], nothing: Seen) -> Seen:
    """The media of a chunk, whose tokens `media` are; `nothing` is that of a chunk without."""
    whole = joined(media)
    if not (len(whole.patches) or len(whole.mel)):
        return nothing
    room = nothing.media.at.shape[1]
    patches, sounds = len(whole.patches), len(whole.mel)
    made = nothing.media._replace(
        at=_filled(whole.media_at(room if model.config.vision else 0), room, -1)[None]
    )
    if patches:
        made = made._replace(
            patches=_filled(whole.patches, room), patch_place=_filled(whole.patch_place, room)
        )
    if sounds:
        made = made._replace(mel=_filled(whole.mel, room))
    return Seen(made, jnp.int32(patches), jnp.int32(sounds))


def nothing_seen(model: Loaded, size: int) -> Seen:
    return Seen(no_media(model.config, size), jnp.int32(0), jnp.int32(0))


def _filled(table: np.ndarray, room: int, value: int = 0) -> jax.Array:
    space = np.full((room - len(table), *table.shape[1:]), value, table.dtype)
    return jnp.asarray(np.concatenate([table, space]))
