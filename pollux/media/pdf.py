# SPDX-License-Identifier: Apache-2.0
"""PDF documents through pypdfium2: the text of every page, and what it looks like.

PDFium knows one thread at a time, so a lock is held whenever it is at work; whatever was opened is
closed under it too, and not left to the garbage collector.
"""

import math
import re
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import numpy as np
import pypdfium2
import pypdfium2.raw
from jaxtyping import UInt8
from PIL import Image

from pollux.media.content import Content
from pollux.media.document import too_large
from pollux.media.limits import LIMITS, Limits, Unreadable
from pollux.media.piece import Picture, Piece, Words
from pollux.media.view import View

PAGE_BREAK = "\f"  # before every page but the first
_FINER = 2  # times the pixels wanted: a page is drawn larger and scaled down
_ENOUGH = 4096  # times its size in points: a page has no pixels of its own to be short of
_LOCK = threading.Lock()
_LINE_END = re.compile("\r\n?|[\u2028\u2029\x0b\x0c\x85]")
_HYPHEN = re.compile("[\ufffe\x02](?:\r?\n)?")  # where a word goes on in the next line
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def pages(content: Content, view: View, limits: Limits = LIMITS) -> Iterator[Piece]:
    """Of each page its text and its picture. Raises Unreadable."""
    with opened(content, limits) as document:
        for number in range(1, len(document) + 1):
            with _page(document, number) as page:
                words, pixels = _text(page), _drawn(page, view)
            yield Words(text=words, page=number)
            yield Picture(pixels=pixels, page=number)


def text(content: Content, limits: Limits = LIMITS) -> tuple[str, str]:
    """The text of all pages, with PAGE_BREAK between them, and a note on pages that have none.

    No text at all gives "". Raises Unreadable.
    """
    texts, size = [], 0
    with opened(content, limits) as document:
        for number in range(1, len(document) + 1):
            with _page(document, number) as page:
                texts.append(_text(page))
            size += len(texts[-1])
            if size > limits.max_bytes:
                raise too_large(limits.max_bytes)
    without = sum(not one for one in texts)
    if without == len(texts):
        return "", ""
    note = f"{without:,} of {len(texts):,} pages have no text" if without else ""
    return f"\n{PAGE_BREAK}".join(texts) + "\n", note


@contextmanager
def opened(
    content: Content, limits: Limits = LIMITS
) -> Generator[pypdfium2.PdfDocument, None, None]:
    """The document, for `_page` to take pages from. Raises Unreadable."""
    with content.open() as file:
        with _LOCK:
            try:
                document = pypdfium2.PdfDocument(file)
            except pypdfium2.PdfiumError as error:
                raise _unopened(error) from None
        try:
            if len(document) > limits.max_pages:
                raise Unreadable(f"has {len(document):,} pages", "split it")
            yield document
        finally:
            with _LOCK:
                document.close()


@contextmanager
def _page(document: pypdfium2.PdfDocument, number: int) -> Generator[pypdfium2.PdfPage, None, None]:
    """A page, counted from 1, PDFium being ours meanwhile."""
    with _LOCK:
        try:
            page = document[number - 1]
            try:
                yield page
            finally:
                page.close()
        except pypdfium2.PdfiumError:
            raise Unreadable(f"is damaged at page {number}", "fetch it again") from None


def _text(page: pypdfium2.PdfPage) -> str:
    found = page.get_textpage()
    try:
        words = found.get_text_bounded()
    finally:
        found.close()
    lines = _LINE_END.sub("\n", _HYPHEN.sub("", words))
    return _NO_TEXT.sub("\ufffd", lines).strip()


def _drawn(page: pypdfium2.PdfPage, view: View) -> UInt8[np.ndarray, "H W 3"]:
    width, height = page.get_size()
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise pypdfium2.PdfiumError("a page without a size")
    target = view.fitted(width * _ENOUGH, height * _ENOUGH)
    scale = _FINER * min(target[0] / width, target[1] / height)
    bitmap = page.render(scale=scale, rev_byteorder=True)
    try:
        drawn = Image.fromarray(bitmap.to_numpy()[:, :, :3])
        return np.array(drawn.resize(target, Image.Resampling.BICUBIC))
    finally:
        bitmap.close()


def _unopened(error: pypdfium2.PdfiumError) -> Unreadable:
    if error.err_code == pypdfium2.raw.FPDF_ERR_PASSWORD:
        return Unreadable("needs a password", "save it without one")
    if error.err_code == pypdfium2.raw.FPDF_ERR_SECURITY:
        return Unreadable("is locked in an unknown way", "save it unlocked")
    return Unreadable("is cut short or damaged", "fetch it again")
