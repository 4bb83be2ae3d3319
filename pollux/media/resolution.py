# SPDX-License-Identifier: Apache-2.0
"""How large a picture is looked at: a budget of patches, whatever its shape."""

from typing import Literal

PATCH = 16  # pixels, each side
Resolution = Literal["low", "medium", "high"]
PATCHES: dict[Resolution, int] = {"low": 16, "medium": 64, "high": 256}


def fitted(
    width: int | float, height: int | float, resolution: Resolution, detail: int = 1
) -> tuple[int, int]:
    """Width and height to scale to: multiples of PATCH within the budget, nothing enlarged but to
    whole patches. The aspect ratio is kept to less than a patch. `detail`: so many budgets.
    """
    budget = PATCHES[resolution] * detail
    long, short = max(width, height), min(width, height)
    aspect = min(long / max(short, 1e-9), budget)
    most_long, most_short = (max(1, round(-(-side // PATCH))) for side in (long, short))
    best = (1, 1)
    for rows in range(1, most_short + 1):
        near = (round(rows * aspect), int(rows * aspect))
        fitting = [n for n in near if max(1, min(n, most_long)) * rows <= budget]
        if not fitting:
            break
        best = (max(1, min(fitting[0], most_long)), rows)
    columns, rows = best if width >= height else best[::-1]
    return columns * PATCH, rows * PATCH
