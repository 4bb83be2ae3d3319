# SPDX-License-Identifier: Apache-2.0
"""Where on a picture writing is: rows of letters that a spotter has seen.

A picture is looked at in several sizes, since a spotter knows letters of 13 to 30 pixels. What a
row says is read by a speller (engine/spelling.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
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
from pollux.model import spotter

DETAIL, FILM_DETAIL = 36, 9  # times the patches that a model with eyes is shown of a picture
ENLARGED = 1 << 17  # pixels at most of a picture that is looked at in twice its size, too
SMALLEST = 0.25  # of its size, in which a picture is looked at
LEAST = 16  # pixels, each side
TILES = (160, 256), (384, 512)  # pixels that are looked at together: two shapes to compile
MARGIN = 32  # pixels of a tile that the next one knows better
SEEN = 0.2  # probability that something is there, from which on a cell counts
BESIDE = 16  # cells before one that are looked at for it
TWICE = 1.75  # of two cells side by side with the same letter: less of both is one letter
WIDTHS = (  # of letters and of a space, as a share of the size of their font
    ("iljI1!.,:;'\"()", 0.28),
    ("tfr-/", 0.37),
    ("mwMW@%", 0.85),
    ("ABCDEFGHJKLNOPQRSTUVXYZ&#+$", 0.66),
)
WIDTH, WIDTH_SPACE = 0.54, 0.3  # of any other letter, of a space
CLOSER = 0.86  # what letters are apart tells the size of, on the whole, a larger font
WIDE = 60  # percentile of how far letters are apart: some were seen twice
TOO_NEAR = 0.45  # of their widths: of two letters closer to each other one was seen twice
WORTH, WORTH_SPACE = 0.3, 0.2  # probability from which on one makes its row surer
APART = 9  # cells across from a letter to the next one of its row, at most
LIKELY = 0.35  # mean probability of a row's letters, at least
SIZES = 10.0, 34.0  # pixels, of letters that a spotter can have seen
USUAL = 20.0  # of those of which it cannot be told
SURE = 0.6  # probability, of letters that tell the size of all
LEVEL = 8  # letters: a row of fewer is taken to be level

Cell = tuple[int, int, int, float]  # column, row, class and the probability that it is there


@dataclass(frozen=True, eq=False)
class Row:
    """Letters side by side, from the left of the first to the right of the last; pixels.

    `size`: of their font, about. `spaces`: where across they are. `sure`: mean probability that
    they are there, as the spotter has it.
    """

    begin: Float[np.ndarray, " 2"]
    end: Float[np.ndarray, " 2"]
    size: float
    spaces: tuple[float, ...]
    sure: float


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


def scaled(light: UInt8[np.ndarray, "H W"]) -> Iterator[tuple[float, UInt8[np.ndarray, "h w"]]]:
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


def rows_of(cells: Float[np.ndarray, "h w classes"]) -> list[Row]:
    """The rows among letters that were spotted, a cell each."""
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
    found = [_row(chain) for chain in chains]
    return [row for row in found if row is not None]


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
    """Those that make the row surest, none so near another one that it was seen twice."""
    near = TOO_NEAR * _size(cells)
    best: list[tuple[float, int]] = []  # of rows that end with each cell, and the cell before
    for n, cell in enumerate(cells):
        before = [(0.0, -1)]
        for i, other in enumerate(cells[:n]):
            least = near * (_width(other) + _width(cell)) / 2
            if cell[0] - other[0] >= max(least, 1):
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


def _size(cells: list[Cell]) -> float:
    """Of the font of letters side by side, in columns: what most of them are apart tells."""
    letters = [cell for cell in cells if cell[3] > SURE and cell[2] != SPACE]
    apart = [
        2 * (after[0] - before[0]) / (_width(before) + _width(after))
        for before, after in pairwise(letters)
    ]
    return CLOSER * float(np.percentile(apart, WIDE)) if len(apart) > 1 else USUAL / CELL[1]


def _width(cell: Cell) -> float:
    """As a share of the size of its font."""
    if cell[2] == SPACE:
        return WIDTH_SPACE
    return next((width for letters, width in WIDTHS if LETTERS[cell[2]] in letters), WIDTH)


def _row(chain: list[Cell]) -> Row | None:
    cells = _apart(chain)
    sure = float(np.mean([cell[3] for cell in cells])) if cells else 0.0
    if sure < LIKELY:
        return None
    high, wide = CELL
    columns, rows = (np.array([cell[n] for cell in cells], float) for n in (0, 1))
    size = float(np.clip(wide * _size(cells), *SIZES))
    widths = size * np.array([_width(cell) for cell in cells]) / 2
    x, y = (columns + 0.5) * wide, (rows + 0.5) * high
    slope = float(np.polyfit(x, y, 1)[0]) if len(cells) >= LEVEL else 0.0
    ends = np.array([x[0] - widths[0], x[-1] + widths[-1]])
    heights = y.mean() + slope * (ends - x.mean())
    begin, end = np.stack([ends, heights], 1)
    spaces = (at for at, (*_, kind, _) in zip(x.tolist(), cells, strict=True) if kind == SPACE)
    return Row(begin, end, size, tuple(spaces), sure)
