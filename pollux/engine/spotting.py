# SPDX-License-Identifier: Apache-2.0
"""What is written on a picture: lines of letters that a spotter has seen.

A picture is looked at in several sizes, since a spotter knows letters of 13 to 30 pixels. Letters
beside one another are a line. What several sizes have seen is taken from the one that was surest.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from pollux import checkpoint
from pollux.config import CELL, LETTERS, NOTHING, SPACE
from pollux.media.piece import light_of
from pollux.model import spotter
from pollux.prompt import BREAK

DETAIL, FILM_DETAIL = 36, 9  # times the patches that a model with eyes is shown of a picture
ENLARGED = 1 << 17  # pixels at most of a picture that is looked at in twice its size, too
SMALLEST = 0.25  # of its size, in which a picture is looked at
LEAST = 16  # pixels, each side
TILES = (160, 256), (384, 512)  # pixels that are looked at together: two shapes to compile
MARGIN = 32  # pixels of a tile that the next one knows better
SEEN = 0.2  # probability that something is there, from which on a cell counts
BESIDE = 16  # cells before one that are looked at for it
TWICE = 1.75  # of two cells side by side with the same letter: less of both is one letter
NARROW, THIN = frozenset("iljI1!.,:;'\"()"), 0.45  # width, of what a line's letters are apart;
SLIM, SLENDER = frozenset("tfr"), 0.65  # of these; a space is thin
WIDE = 60  # percentile of how far letters are apart: some were seen twice
TOO_NEAR = 0.45  # of their widths: of two letters closer to each other one was seen twice
WORTH, WORTH_SPACE = 0.3, 0.2  # probability from which on one makes its line surer
APART = 9  # cells across from a letter to the next one of its line, at most
SURE, SURE_FEW = 0.6, 0.9  # mean probability of a line's letters at least, and of FEW alone
FEW = 2
LEADING = 1.8  # times the size of letters: lines closer than that are one text
OVERLAP = 0.3  # share of a line that lies on another one
EITHER_CASE = "cosvwxzCOSVWXZ"  # letters that are alike in both
EITHER_KIND = "0O1lI"  # digits and letters that are alike
AS_DIGITS, AS_LETTERS = str.maketrans("OolI", "0011"), str.maketrans("01", "Ol")
QUOTES = re.compile(r"[\"']{2,}")  # one that was seen twice

Cell = tuple[int, int, int, float]  # column, row, class and the probability that it is there


@dataclass(frozen=True)
class Line:
    """Letters in a row; pixels of the picture. `sure`: mean probability of its letters."""

    text: str
    sure: float
    left: float
    right: float
    middle: float
    high: float  # from a cell's top to its bottom

    @property
    def size(self) -> float:
        """Of its letters, about."""
        return 2 * (self.right - self.left) / len(self.text)

    def follows(self, above: "Line") -> bool:
        """Whether it is the next line of the same text."""
        shared = min(self.right, above.right) - max(self.left, above.left)
        apart = self.middle - above.middle
        return shared > 0 and apart < LEADING * max(self.size, above.size)

    def covers(self, other: "Line") -> bool:
        near = abs(self.middle - other.middle) < 1.5 * max(self.high, other.high)
        shared = min(self.right, other.right) - max(self.left, other.left)
        shorter = min(self.right - self.left, other.right - other.left)
        return near and shared > OVERLAP * shorter


@dataclass(frozen=True)
class Shipped:
    weights: spotter.Spotter
    fingerprint: str


@cache
def shipped() -> Shipped:
    """The spotter in the package. WeightsError where it is damaged."""
    path = Path(str(files("pollux") / "weights" / "spotter.safetensors"))
    weights, _, fingerprint = checkpoint.load_spotter(path)
    return Shipped(weights, fingerprint)


@jax.jit
def _probabilities(
    weights: spotter.Spotter, grey: UInt8[jax.Array, "H W"]
) -> Float[jax.Array, "h w classes"]:
    return jax.nn.softmax(spotter.spot(weights, grey[None].astype(jnp.float32))[0])


def cells_of(light: UInt8[np.ndarray, "H W"]) -> Float[np.ndarray, "h w classes"]:
    """Of a picture of any size, tile by tile; where tiles overlap, half of it from each."""
    tile = next((one for one in TILES if np.all(np.less_equal(light.shape, one))), TILES[-1])
    lack = [max(t - side, -side % CELL[0]) for t, side in zip(tile, light.shape, strict=True)]
    grey = np.pad(light, [(0, max(0, n)) for n in lack], "edge")
    high, wide = (side // cell for side, cell in zip(grey.shape, CELL, strict=True))
    found = np.empty((high, wide, NOTHING + 1), np.float32)
    for top, above in _places(grey.shape[0], tile[0]):
        for left, before in _places(grey.shape[1], tile[1]):
            part = grey[top : top + tile[0], left : left + tile[1]]
            seen = np.asarray(_probabilities(shipped().weights, jnp.asarray(part)))
            row, column = (top + above) // CELL[0], (left + before) // CELL[1]
            own = seen[above // CELL[0] :, before // CELL[1] :]
            found[row : row + len(own), column : column + own.shape[1]] = own
    return found[: -(-light.shape[0] // CELL[0]), : -(-light.shape[1] // CELL[1])]


def _places(side: int, tile: int) -> list[tuple[int, int]]:
    """Where tiles begin, and how much of each the one before knows better."""
    step = tile - 2 * MARGIN
    starts = [*range(0, side - tile, step), side - tile]
    return [
        (start, (before + tile - start) // 2 // CELL[0] * CELL[0] if n else 0)
        for n, (before, start) in enumerate(zip([0, *starts], starts, strict=False))
    ]


def _scaled(light: UInt8[np.ndarray, "H W"]) -> Iterator[tuple[float, UInt8[np.ndarray, "h w"]]]:
    """The picture in the sizes that it is looked at in."""
    if light.size <= ENLARGED:
        yield 2.0, _doubled(light)
    scale = 1.0
    while min(light.shape) >= LEAST and scale >= SMALLEST:
        yield scale, light
        high, wide = (side // 2 for side in light.shape)
        fours = light[: 2 * high, : 2 * wide].reshape(high, 2, wide, 2).astype(np.float32)
        light, scale = np.rint(fours.mean((1, 3))).astype(np.uint8), scale / 2


def _doubled(light: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "h w"]:
    """Each pixel becomes four, between it and its neighbours."""
    made = light.astype(np.float32)
    for _ in range(2):  # down, then across
        padded = np.pad(made, ((1, 1), (0, 0)), "edge")
        before, after = padded[:-2], padded[2:]
        halves = np.stack([0.75 * made + 0.25 * before, 0.75 * made + 0.25 * after], 1)
        made = halves.reshape(-1, made.shape[1]).T
    return np.rint(made).astype(np.uint8)


def lines(pixels: UInt8[np.ndarray, "H W 3"]) -> list[Line]:
    """What is written there, from top to bottom."""
    found: list[Line] = []
    for scale, scaled in _scaled(light_of(pixels)):
        found += [_at(line, scale) for line in lines_of(cells_of(scaled))]
    return chosen(found)


def chosen(found: list[Line]) -> list[Line]:
    """Of lines that were seen in several sizes the surest, from top to bottom."""
    kept: list[Line] = []
    for line in sorted(found, key=lambda line: -line.sure * len(line.text) ** 0.5):
        if not any(one.covers(line) for one in kept):
            kept.append(line)
    return sorted(kept, key=lambda line: (line.middle, line.left))


def _at(line: Line, scale: float) -> Line:
    left, right, middle, high = (x / scale for x in (line.left, line.right, line.middle, line.high))
    return replace(line, left=left, right=right, middle=middle, high=high)


def lines_of(cells: Float[np.ndarray, "h w classes"]) -> list[Line]:
    """The lines among letters that were spotted, a cell each; in pixels of that picture."""
    chains: list[list[Cell]] = []
    for cell in _letters(cells):
        column, row, *_ = cell
        near = [
            chain
            for chain in chains
            if column - chain[-1][0] <= APART and abs(row - chain[-1][1]) <= 1
        ]
        if near:
            max(near, key=lambda chain: (chain[-1][0], -abs(row - chain[-1][1]))).append(cell)
        else:
            chains.append([cell])
    found = [_line(chain) for chain in chains]
    return [one for one in found if one is not None]


def _letters(cells: Float[np.ndarray, "h w classes"]) -> list[Cell]:
    """Letters and spaces from left to right."""
    there = 1 - cells[..., NOTHING]
    padded = np.pad(there, ((1, 1), (0, 0)))
    peak = (there > SEEN) & (there >= padded[:-2]) & (there > padded[2:])
    kinds = cells[..., :NOTHING].argmax(-1)
    places = np.argwhere(peak.T).tolist()
    found: list[Cell] = []
    for column, row in places:
        kind, p = int(kinds[row, column]), float(there[row, column])
        beside = [
            n
            for n, (other, at, same, _) in enumerate(found[-BESIDE:], max(0, len(found) - BESIDE))
            if other == column - 1 and abs(at - row) <= 1 and same == kind
        ]
        if beside and found[beside[-1]][3] + p < TWICE:  # on the edge of both
            before = found[beside[-1]]
            where = before[:2] if before[3] >= p else (column, row)
            found[beside[-1]] = (*where, kind, min(1.0, before[3] + p))
        else:
            found.append((column, row, kind, p))
    return sorted(found)


def _apart(cells: list[Cell]) -> list[Cell]:
    """Those that make the line surest, none so near another one that it was seen twice."""
    columns = [column for column, _, kind, p in cells if kind != SPACE and p > SURE]
    advance = float(np.percentile(np.diff(columns), WIDE)) if len(columns) > 2 else 2.0
    best: list[tuple[float, int]] = []  # of lines that end with each cell, and the cell before
    for n, cell in enumerate(cells):
        before = [(0.0, -1)]
        for i, other in enumerate(cells[:n]):
            near = TOO_NEAR * advance * (_width(other) + _width(cell)) / 2
            if cell[0] - other[0] >= max(near, 1):
                before.append((best[i][0], i))
        gain, last = max(before)
        worth = WORTH_SPACE if cell[2] == SPACE else WORTH
        best.append((gain + cell[3] - worth, last))
    kept: list[Cell] = []
    at = max(range(len(best)), key=lambda n: best[n][0], default=-1)
    while at >= 0:
        kept.append(cells[at])
        at = best[at][1]
    return kept[::-1]


def _width(cell: Cell) -> float:
    """As a share of what the letters of a line are apart."""
    if cell[2] == SPACE or LETTERS[cell[2]] in NARROW:
        return THIN
    return SLENDER if LETTERS[cell[2]] in SLIM else 1.0


def _line(chain: list[Cell]) -> Line | None:
    cells = _apart(chain)
    signs = [" " if kind == SPACE else LETTERS[kind] for *_, kind, _ in cells]
    own = [p for *_, kind, p in cells if kind != SPACE]
    text = lowered(" ".join(map(mended, QUOTES.sub('"', "".join(signs)).split())))
    if not own or np.mean(own) < (SURE if len(own) > FEW else SURE_FEW):
        return None
    columns, rows = [cell[0] for cell in cells], [cell[1] for cell in cells]
    high, wide = CELL
    left, right = columns[0] * wide, (columns[-1] + 1) * wide
    middle = (float(np.mean(rows)) + 0.5) * high
    return Line(text, float(np.mean(own)), float(left), float(right), middle, float(high))


def mended(word: str) -> str:
    """Signs that look alike taken for what the rest of the word has: case, digits or letters."""
    clear = [sign for sign in word if sign.isalnum() and sign not in EITHER_CASE + EITHER_KIND]
    digits = sum(sign.isdigit() for sign in clear)
    if clear and digits == len(clear):
        return word.translate(AS_DIGITS)
    if not digits:
        word = word.translate(AS_LETTERS)
    letters = [sign for sign in clear if sign.isalpha()]
    if letters and all(sign.isupper() for sign in letters) and len(word) > 2:
        return word.upper()
    first = next((n for n, sign in enumerate(word) if sign.isalpha()), 0) + 1
    small = "".join(sign.lower() if sign in EITHER_CASE else sign for sign in word[first:])
    return word[:first] + (small if letters else word[first:])


def lowered(text: str) -> str:
    """First letters that are alike in both cases small, where those of the other words are."""
    first, *words = text.split(" ")
    clear = [word[0] for word in words if word[:1].isalpha() and word[0] not in EITHER_CASE]
    if not clear or any(sign.isupper() for sign in clear):
        return text
    alike = (
        word[0].lower() + word[1:] if word[:1] in EITHER_CASE and word[1:].islower() else word
        for word in words
    )
    return " ".join([first, *alike])


def text_of(found: list[Line]) -> tuple[str, float]:
    """All lines as one, and how sure the letters are."""
    if not found:
        return "", 0.0
    text = found[0].text
    for above, line in pairwise(found):
        text += (" " if line.follows(above) else BREAK) + line.text
    return text, float(np.mean([line.sure for line in found]))
