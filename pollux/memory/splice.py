# SPDX-License-Identifier: Apache-2.0
"""Part of a reading exchanged: new rows where something changed, the old ones elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pollux.memory.arrays import Store, joined
from pollux.memory.manifest import BLOCK, PartSpan, round_up
from pollux.memory.reading import Reading


@dataclass(frozen=True, kw_only=True, eq=False)
class Patch:
    """`columns` in place of the tokens `start` to before `end`, counted from the part's first.

    Columns are arrays [tokens, ...] in the order of `manifest.array_files`.
    """

    start: int
    end: int
    columns: tuple[np.ndarray, ...]

    @property
    def growth(self) -> int:
        return len(self.columns[-1]) - (self.end - self.start)


def splice(reading: Reading, part: PartSpan, patches: Sequence[Patch], sha256: str) -> Reading:
    """The reading with `patches`, ascending and all in the text of `part`, its new text's digest.

    That part is copied, the others are shared. ReadingError when one of its checksums is wrong.
    """
    number = reading.store_of(part.start)
    store = reading.stores[number]
    index = store.number_of(part.start - reading.offsets[number])
    old = store.cut(index, index + 1)
    for segment in range(old.manifest.segments):
        old.verify(segment)
    size = part.end - part.start + sum(patch.growth for patch in patches)
    arrays = []
    for i, array in enumerate(old.arrays):
        pieces, at = [], 0
        for patch in patches:
            pieces += [array[at : patch.start], patch.columns[i]]
            at = patch.end
        pieces.append(array[at : part.end - part.start])
        pieces.append(np.zeros((-size % BLOCK, *array.shape[1:]), array.dtype))
        arrays.append(joined(pieces))
    span = replace(old.manifest.parts[0], end=size, sha256=sha256)
    manifest = replace(old.manifest, tokens=round_up(size), parts=(span,))
    count = len(store.manifest.parts)
    around = [
        *([store.cut(0, index)] if index else []),
        Store(manifest=manifest, arrays=tuple(arrays)),
        *([store.cut(index + 1, count)] if index + 1 < count else []),
    ]
    return Reading((*reading.stores[:number], *around, *reading.stores[number + 1 :]))
