# SPDX-License-Identifier: Apache-2.0
"""Parts that are decoded: looked at when they are opened, then given piece by piece.

What decodes comes with the extra `media` and is imported when the first such part is met.
"""

from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing, contextmanager

from pollux.errors import InputError
from pollux.media.content import Content
from pollux.media.limits import LIMITS, Limits, Unreadable
from pollux.media.part import Kind, Part, one_line
from pollux.media.piece import Piece, Words, clock
from pollux.media.prefetch import ahead
from pollux.media.view import VIEW, View

_EXTRA = "pip install 'pollux[media]'"
_SHORT = 2.0  # seconds, and a twentieth, that a film may end before it says


def media_part(
    content: Content, name: str, kind: Kind, kinds: Collection[Kind], limits: Limits = LIMITS
) -> Part:
    """A part of one of `kinds`, found to be readable as far as can be said without decoding it.

    `kind` is what its first bytes say; what is taken for film may be sound. Raises Unreadable.
    """
    with extra_told():
        if kind == "pdf":
            from pollux.media import pdf

            text, note = pdf.text(content, limits)
            if not text and "image" not in kinds:
                raise Unreadable("has no text: its pages may be scans", unseen(kinds))
            return Part(name=name, kind=kind, text=text, note=note, content=content)
        if kind == "image":
            from pollux.media import image

            image.check(content, limits)
        else:
            from pollux.media import container

            kind = container.describe(content, limits).kind
    if kind not in kinds:
        raise Unreadable(f"is {'a recording' if kind == 'audio' else 'a film'}", unseen(kinds))
    return Part(name=name, kind=kind, content=content)


def pieces(
    part: Part,
    view: View = VIEW,
    *,
    skip_unreadable: bool = False,
    report: Callable[[str], None] = lambda line: None,
    limits: Limits = LIMITS,
) -> Iterator[Piece]:
    """What a part holds, in reading order, decoded in a thread of its own.

    Raises InputError where it turns out damaged; with `skip_unreadable` it ends there, what was
    readable stands, and `report` is given the line.
    """
    with closing(ahead(_decoded(part, view, limits))) as found:
        try:
            yield from found
        except Unreadable as error:
            if not skip_unreadable:
                raise InputError(f"{part.name} {one_line(str(error))}") from None
            report(f"{part.name} {error.reason}")


def unseen(kinds: Collection[Kind]) -> str:
    """What is said to who names something of another kind."""
    others = [kind for kind in ("image", "audio", "video") if kind in kinds]
    return f"this model reads text{''.join(f', {kind}' for kind in others) or ' only'}"


@contextmanager
def extra_told() -> Generator[None, None, None]:
    """A missing package as Unreadable, with the extra that brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise Unreadable(f"cannot be decoded: {error.name} is not installed", _EXTRA) from None


def _decoded(part: Part, view: View, limits: Limits) -> Iterator[Piece]:
    if part.content is None:
        yield Words(text=part.text)
        return
    with extra_told():
        if part.kind == "pdf":
            from pollux.media import pdf

            yield from pdf.pages(part.content, view, limits)
        elif part.kind == "image":
            from pollux.media import image

            yield from image.pictures(part.content, view, limits)
        else:
            yield from _played(part.content, view, limits)


def _played(content: Content, view: View, limits: Limits) -> Iterator[Piece]:
    """Sound or film; Unreadable, once all of it was given, if there ought to be more."""
    from pollux.media import audio, container, video

    found = container.describe(content, limits)
    if found.kind == "audio":
        played = audio.sounds(content, view.start, view.end, limits)
    else:
        played = video.film(content, view, has_sound=found.has_sound, limits=limits)
    ends = 0.0
    for piece in played:
        ends = max(ends, piece.seconds or 0.0)
        yield piece
    ends += max(1.0, 1 / view.fps)
    declared = found.seconds or 0.0
    if view.end is None and ends < declared * 0.95 - _SHORT:
        raise Unreadable(
            f"is cut short: it ends at {clock(ends)} of {clock(declared)}", "fetch it again"
        )
