# SPDX-License-Identifier: Apache-2.0
"""What draws, in a run of a model that learns to: its pictures are the codes that this makes.

It is trained before (train/picture.py) and stays as it is. A run keeps a copy, to go on with.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from pollux import checkpoint
from pollux.config import Picture
from pollux.data import drawing, icons
from pollux.data.art import Art, art
from pollux.data.drawn import Drawing, Drawings, firsts
from pollux.data.skills import Kit
from pollux.errors import RecipeError
from pollux.model import picture
from pollux.train.recipe import Recipe

COPY = "hand.safetensors"
AT_ONCE = 64  # pictures made codes of


def taken(
    recipe: Recipe, directory: Path, hand: Path | None, weights: Path | None
) -> picture.Picture | None:
    """What draws: the run's own, or else that of `hand` or of the weights it starts from.

    None for a recipe without image codes. RecipeError where there is none, or one of another kind.
    """
    config, copy = recipe.config.picture, directory / COPY
    if config is None:
        if hand:
            raise RecipeError(f"{recipe.name} has no image codes: leave --hand out")
        return None
    path = copy if copy.is_file() else hand or weights
    if path is None:
        raise RecipeError(
            f"{recipe.name} needs what draws: pollux train picture, then here "
            "--hand runs/picture/picture.safetensors"
        )
    made, found = checkpoint.load_hand(path)
    if found != config:
        raise RecipeError(f"{path} draws with {found}, not {config}: name another --hand")
    if path != copy:
        checkpoint.save_hand(copy, made, config, {})
    return made


def equipped(kit: Kit, recipe: Recipe, genres: Sequence[str], hand: picture.Picture | None) -> Kit:
    """With all icons as image codes, where something is to be drawn."""
    config = recipe.config
    if drawing.GENRE not in genres or hand is None or config.picture is None:
        return kit
    drawn = art()
    if not drawn.icons:
        raise RecipeError("no pictures were prepared: pollux data prepare")
    made = drawings(hand, config.picture, drawn, config.vocab_size)
    return dataclasses.replace(kit, drawings=made)


def drawings(hand: picture.Picture, cfg: Picture, drawn: Art, vocab_size: int) -> Drawings:
    """All icons as they are to be drawn, and the steps to those drawn where no style is named."""
    first = firsts((icon.name, icon.style) for icon in drawn.icons)
    plan = []  # of each icon: the names of its steps
    pixels: list[np.ndarray] = []
    for icon in drawn.icons:
        before = icons.steps(drawn, icon) if (icon.name, icon.style) in first else {}
        plan.append((icon, [*before]))
        pixels += [*before.values(), icons.picture(drawn, icon)]
    ids = iter(drawing.ids_of(codes, vocab_size) for codes in _codes(hand, cfg, pixels))
    return Drawings(
        tuple(
            Drawing(
                icon.name,
                icon.style,
                steps=tuple((name, next(ids)) for name in names),
                ids=next(ids),
            )
            for icon, names in plan
        )
    )


def _codes(hand: picture.Picture, cfg: Picture, pixels: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Of each picture in turn; some hundred a second."""
    encode = jax.jit(partial(picture.encode, hand, cfg))
    for at in range(0, len(pixels), AT_ONCE):
        some = pixels[at : at + AT_ONCE]
        whole = some + some[:1] * (AT_ONCE - len(some))  # one size to compile
        yield from np.asarray(encode(jnp.asarray(np.stack(whole))))[: len(some)]
