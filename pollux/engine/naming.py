# SPDX-License-Identifier: Apache-2.0
"""What is shown on a picture that is one drawn thing: its name, if a namer has one.

A picture is looked at in several sizes, since a namer knows things of 36 to 68 pixels, as it is and
as its mirror image, tile by tile. Places and sizes that see one thing name it together.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.resources import files
from itertools import product
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt8

from pollux import checkpoint
from pollux.config import PLACE, SIDED, UNNAMED
from pollux.model import namer

WHOLE = 64  # pixels, the shorter side of a picture that is one thing;
STEP, SIZES = 2**0.5, 2  # larger by so much each time, so many times at most
TILE, MARGIN = 96, 16  # pixels, each side of what is looked at at once, and of its edge
AT_ONCE = 8  # tiles: one shape to compile
THERE, SURE = 0.5, 0.6  # probability of something, and of its name, to be told
APART = 32.0  # pixels of the scaled picture: middles closer than that are of one thing

Names = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Thing:
    """`row` and `column` of its middle and its `side`, about; pixels of the picture.

    `seen`: how likely each name is, in each of the places and sizes that see it.
    """

    seen: tuple[Float[np.ndarray, " names"], ...]
    there: float
    row: float
    column: float
    side: float

    @property
    def name(self) -> str:
        return shipped().names[self._number]

    @property
    def sure(self) -> float:
        return max(float(names[self._number]) for names in self.seen)

    @cached_property
    def _number(self) -> int:
        return int(np.sum(np.square(self.seen), 0).argmax())  # who is sure counts more

    def covers(self, other: "Thing") -> bool:
        """Whether both are one."""
        apart = np.hypot(self.row - other.row, self.column - other.column)
        return bool(apart < APART / WHOLE * max(self.side, other.side))


@dataclass(frozen=True)
class Shipped:
    weights: namer.Namer
    names: Names
    fingerprint: str


@cache
def shipped() -> Shipped:
    """The namer in the package. WeightsError where it is damaged."""
    path = Path(str(files("pollux") / "weights" / "namer.safetensors"))
    weights, config, fingerprint = checkpoint.load_namer(path)
    return Shipped(weights, config.names, fingerprint)


@jax.jit
def _probabilities(
    weights: namer.Namer, tiles: UInt8[jax.Array, "N H W 3"]
) -> Float[jax.Array, "N h w classes"]:
    return jax.nn.softmax(namer.name(weights, tiles.astype(jnp.float32)))


def places_of(pixels: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "h w classes"]:
    """Probabilities for each place of a picture of any size."""
    inner = TILE - 2 * MARGIN
    rows, columns = (-(-side // inner) for side in pixels.shape[:2])
    lack = [n * inner - side for n, side in zip((rows, columns), pixels.shape[:2], strict=True)]
    room = [(MARGIN, MARGIN + n) for n in lack]
    whole = np.pad(pixels, (*room, (0, 0)), "edge")
    corners = [*product(range(0, rows * inner, inner), range(0, columns * inner, inner))]
    tiles = np.stack([whole[top : top + TILE, left : left + TILE] for top, left in corners])
    tiles = np.pad(tiles, ((0, -len(tiles) % AT_ONCE), *[(0, 0)] * 3))
    own = shipped().weights
    seen = [
        np.asarray(_probabilities(own, jnp.asarray(tiles[at : at + AT_ONCE])))
        for at in range(0, len(tiles), AT_ONCE)
    ]
    edge = MARGIN // PLACE
    found = np.concatenate(seen)[: len(corners), edge:-edge, edge:-edge]
    side = inner // PLACE
    grid = found.reshape(rows, columns, side, side, -1).swapaxes(1, 2)
    high, wide = (-(-side // PLACE) for side in pixels.shape[:2])
    return grid.reshape(rows * side, columns * side, -1)[:high, :wide]


def _seen(
    pixels: UInt8[np.ndarray, "H W 3"],
) -> Iterator[tuple[float, Float[np.ndarray, "h w classes"]]]:
    """Scales, and the probabilities in each: half of it of the picture, half of its mirror image.

    No picture is enlarged but one that is smaller than a thing.
    """
    from pollux.media.image import resized  # in the extra that pictures need

    shorter = min(pixels.shape[:2])
    for number in range(SIZES):
        scale = WHOLE * STEP**number / shorter
        if number and scale > 1:
            return
        high, wide = (max(1, round(side * scale / PLACE)) * PLACE for side in pixels.shape[:2])
        scaled = resized(pixels, high, wide)
        own, other = places_of(scaled), places_of(scaled[:, ::-1])[:, ::-1]
        yield scale, np.where(_sided(), own, (own + other) / 2)


@cache
def _sided() -> Bool[np.ndarray, " classes"]:
    """Of which names the mirror image is another thing's."""
    return np.array([False, *(bool(SIDED & set(name.split())) for name in shipped().names)])


def things(pixels: UInt8[np.ndarray, "H W 3"]) -> list[Thing]:
    """What is shown there, the surest first."""
    found: list[Thing] = []
    for scale, seen in _seen(pixels):
        there = 1 - seen[..., UNNAMED]
        for row, column in np.argwhere(there > THERE).tolist():
            row_at, column_at = ((n + 0.5) * PLACE / scale for n in (row, column))
            names = (seen[row, column, 1:],)
            found.append(Thing(names, float(there[row, column]), row_at, column_at, WHOLE / scale))
    kept: list[Thing] = []
    for thing in sorted(found, key=lambda thing: -thing.there):
        before = next((n for n, one in enumerate(kept) if one.covers(thing)), None)
        if before is None:
            kept.append(thing)
        else:
            kept[before] = replace(kept[before], seen=kept[before].seen + thing.seen)
    sure = [thing for thing in kept if thing.sure > SURE]
    return sorted(sure, key=lambda thing: -thing.sure)


def best(pixels: UInt8[np.ndarray, "H W 3"], many: int) -> list[str]:
    """The likeliest names for anything in the picture, sure of them or not."""
    scores = np.sum([np.square(seen[..., 1:]).sum((0, 1)) for _, seen in _seen(pixels)], 0)
    return [shipped().names[n] for n in np.argsort(-scores)[:many]]
