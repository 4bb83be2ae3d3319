# SPDX-License-Identifier: Apache-2.0
"""Things to draw, as the ids that stand for them in an answer."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

STYLES = {  # what people may call a set of icons; the first that has a thing draws it if none is
    "noto": "noto",
    "twemoji": "twemoji",
    "openmoji": "openmoji",
    "fluent-emoji-flat": "fluent",
    "mdi": "material",
    "lucide": "lucide",
    "game-icons": "game icon",
}
Ids = tuple[int, ...]  # of one picture


@dataclass(frozen=True)
class Drawing:
    """`steps`: pictures that lead to it, with what each is called; none of an outline."""

    name: str
    style: str
    ids: Ids
    steps: tuple[tuple[str, Ids], ...] = ()


@dataclass(frozen=True, eq=False)
class Drawings:
    drawings: tuple[Drawing, ...]

    @cached_property
    def by_name(self) -> dict[str, list[Drawing]]:
        """The drawings of each thing; that which is drawn where no style is named comes first."""
        found: dict[str, list[Drawing]] = {}
        for one in sorted(self.drawings, key=lambda one: (one.name, order(one.style))):
            found.setdefault(one.name, []).append(one)
        return found

    @cached_property
    def names(self) -> list[str]:
        return list(self.by_name)

    @cached_property
    def stepwise(self) -> list[str]:
        """Names of the things that can be drawn step by step."""
        return [name for name, several in self.by_name.items() if several[0].steps]


def order(style: str) -> int:
    """Of sets that are not in the list, after those that are."""
    return [*STYLES, style].index(style)


def firsts(styles: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Of (name, style) the one that is drawn where no style is named, for each name."""
    best: dict[str, str] = {}
    for name, style in styles:
        if name not in best or order(style) < order(best[name]):
            best[name] = style
    return set(best.items())
