# SPDX-License-Identifier: Apache-2.0
"""Weights on disk: one safetensors file.

It holds a tensor a parameter under its dotted name, and the architecture as metadata. What stands
beside a model has its matrices in int8, with a scale for each column under NAME.scale. What draws
(model/picture.py) stands in the same file, or alone in one of its own.
"""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from pollux import params
from pollux.config import (
    Caller,
    Config,
    Listener,
    Namer,
    Picture,
    Speller,
    Spotter,
    described,
    parsed,
    parsed_picture,
    with_tuples,
)
from pollux.errors import SpaceError, WeightsError
from pollux.model import caller, decoder, listener, namer, picture, speller, spotter

FORMAT, HAND_FORMAT = "pollux-1", "pollux-hand-1"
SPOTTER_FORMAT, LISTENER_FORMAT = "pollux-spotter-1", "pollux-listener-1"
CALLER_FORMAT, NAMER_FORMAT = "pollux-caller-1", "pollux-namer-1"
SPELLER_FORMAT = "pollux-speller-1"
ALONE = {
    SPOTTER_FORMAT: "a spotter: it finds letters in pictures",
    SPELLER_FORMAT: "a speller: it reads lines of writing in pictures",
    NAMER_FORMAT: "a namer: it names things in pictures",
    LISTENER_FORMAT: "a listener: it hears words in sound",
    CALLER_FORMAT: "a caller: it decides on calls of tools",
    HAND_FORMAT: "a hand alone: `pollux train draw --hand` begins with it",
}
SCALE = ".scale"  # ends the name of what the whole numbers of an array are to be multiplied by
HAND = "picture."  # begins the names of what draws: no part of the decoder
Described = TypeVar("Described")


def save(
    path: Path,
    weights: decoder.Decoder,
    config: Config,
    about: dict[str, str],
    hand: picture.Picture | None = None,
) -> None:
    """Writes float16 beside `path`, then renames. `about`: how they came to be.

    `hand`: what draws, for a config that has `picture`.
    """
    arrays = _arrays(weights) | ({} if hand is None else _arrays(hand, HAND))
    _write(path, arrays, FORMAT, described(config), about)


def save_spotter(
    path: Path, weights: spotter.Spotter, config: Spotter, about: dict[str, str]
) -> None:
    """The same for what finds letters in pictures."""
    _write(path, _small(_arrays(weights)), SPOTTER_FORMAT, asdict(config), about)


def save_speller(
    path: Path, weights: speller.Speller, config: Speller, about: dict[str, str]
) -> None:
    """The same for what spells lines of writing."""
    _write(path, _small(_arrays(weights)), SPELLER_FORMAT, asdict(config), about)


def save_listener(
    path: Path, weights: listener.Listener, config: Listener, about: dict[str, str]
) -> None:
    """The same for what hears words in sound."""
    _write(path, _small(_arrays(weights)), LISTENER_FORMAT, asdict(config), about)


def save_caller(path: Path, weights: caller.Caller, config: Caller, about: dict[str, str]) -> None:
    """The same for what decides on calls of tools."""
    _write(path, _small(_arrays(weights)), CALLER_FORMAT, asdict(config), about)


def save_namer(path: Path, weights: namer.Namer, config: Namer, about: dict[str, str]) -> None:
    """The same for what names things in pictures."""
    _write(path, _small(_arrays(weights)), NAMER_FORMAT, asdict(config), about)


def save_hand(path: Path, hand: picture.Picture, config: Picture, about: dict[str, str]) -> None:
    """The same of what draws alone."""
    _write(path, _arrays(hand, HAND), HAND_FORMAT, {"picture": asdict(config)}, about)


def _arrays(weights: Any, prefix: str = "") -> dict[str, np.ndarray]:
    named = zip(params.names(weights), jax.tree.leaves(weights), strict=True)
    return {prefix + name: np.asarray(x, np.float16) for name, x in named}


def _small(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Matrices and kernels in int8, each column with a scale of its own."""
    made = {}
    for name, x in arrays.items():
        if x.ndim > 1:
            most = np.abs(x.astype(np.float32)).max(tuple(range(x.ndim - 1)), keepdims=True)
            made[name + SCALE] = scale = np.where(most > 0, most / 127, np.float32(1))
            x = np.rint(x / scale).astype(np.int8)
        made[name] = x
    return made


def _write(
    path: Path,
    arrays: dict[str, np.ndarray],
    form: str,
    config: dict[str, Any],
    about: dict[str, str],
) -> None:
    architecture = json.dumps(config)
    digest = _digest(architecture, arrays)
    metadata = {"format": form, "config": architecture, "sha256": digest}
    beside = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        safetensors.numpy.save_file(arrays, beside, {**about, **metadata})
        os.replace(beside, path)
    except (OSError, safetensors.SafetensorError) as error:
        with suppress(OSError):
            beside.unlink()
        raise SpaceError(f"cannot write {path} ({error}); free space or name another") from None


def load(path: Path) -> tuple[decoder.Decoder, Config, str]:
    """Weights in float32, their architecture, and a fingerprint of both."""
    config, arrays, digest = _read(path, parse, _declared)
    return _filled(decoder.declare(config), arrays), config, digest[:16]


def load_spotter(
    path: Path, expected: Spotter | None = None
) -> tuple[spotter.Spotter, Spotter, str]:
    """What finds letters in pictures, in float32, and as `load`.

    WeightsError where it is of other dimensions than those expected.
    """
    return _load_alone(path, expected, Spotter, SPOTTER_FORMAT, spotter.declare)


def load_speller(
    path: Path, expected: Speller | None = None
) -> tuple[speller.Speller, Speller, str]:
    """What spells lines of writing, likewise."""
    return _load_alone(path, expected, Speller, SPELLER_FORMAT, speller.declare)


def load_listener(
    path: Path, expected: Listener | None = None
) -> tuple[listener.Listener, Listener, str]:
    """What hears words in sound, likewise."""
    return _load_alone(path, expected, Listener, LISTENER_FORMAT, listener.declare)


def load_caller(path: Path, expected: Caller | None = None) -> tuple[caller.Caller, Caller, str]:
    """What decides on calls of tools, likewise."""
    return _load_alone(path, expected, Caller, CALLER_FORMAT, caller.declare)


def load_namer(path: Path, expected: Namer | None = None) -> tuple[namer.Namer, Namer, str]:
    """What names things in pictures, likewise."""
    return _load_alone(path, expected, Namer, NAMER_FORMAT, namer.declare)


def _load_alone(
    path: Path, expected: Any, kind: Any, form: str, declare: Callable[[Any], Any]
) -> tuple[Any, Any, str]:
    name = kind.__name__.lower()

    def parse(metadata: dict[str, str], path: Path) -> Any:
        if (found := metadata.get("format")) != form:
            raise WeightsError(f"{path} holds no {name} (format {found!r})")
        return _made(metadata, path, name, lambda described: kind(**with_tuples(described)))

    config, arrays, digest = _read(path, parse, lambda own: _named(declare(own)))
    if expected not in (None, config):
        raise WeightsError(f"{path} is a {name} of {config}, not {expected}: name another")
    return _filled(declare(config), arrays), config, digest[:16]


def load_hand(path: Path) -> tuple[picture.Picture, Picture]:
    """What draws, in float32: of weights that have it, or of a file of its own."""
    config, arrays, _ = _read(path, _parse_hand, _declared)
    config = config.picture if isinstance(config, Config) else config
    if config is None:
        raise WeightsError(
            f"{path} cannot draw: give weights that do (`pollux train picture`, draw)"
        )
    return _filled(picture.declare(config), arrays, HAND), config


def _declared(config: Config | Picture) -> dict[str, params.Param]:
    """Every weight of a file, by its name."""
    model = _named(decoder.declare(config)) if isinstance(config, Config) else {}
    hand = config.picture if isinstance(config, Config) else config
    return model | (_named(picture.declare(hand), HAND) if hand else {})


def _named(declared: Any, prefix: str = "") -> dict[str, params.Param]:
    leaves = jax.tree.leaves(declared, is_leaf=params.is_param)
    names = params.names(declared)
    return {prefix + name: param for name, param in zip(names, leaves, strict=True)}


def _filled(declared: Any, arrays: dict[str, np.ndarray], prefix: str = "") -> Any:
    tree = jax.tree.structure(declared, is_leaf=params.is_param)
    names = params.names(declared)

    def whole(name: str) -> jax.Array:
        scale = arrays.get(name + SCALE, np.float32(1))
        return jnp.asarray(arrays[name].astype(np.float32) * scale)

    return tree.unflatten(whole(prefix + name) for name in names)


def _read(
    path: Path,
    parse: Callable[[dict[str, str], Path], Described],
    declared: Callable[[Described], dict[str, params.Param]],
) -> tuple[Described, dict[str, np.ndarray], str]:
    """What the file describes, its arrays and the digest of both; WeightsError if it is damaged."""
    try:
        if not path.is_file():
            raise WeightsError(f"no weights at {path}; train them (`pollux train`) or name others")
        with safetensors.safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            config = parse(metadata, path)
            expected = declared(config)
            _check(path, expected, {name: file.get_slice(name).get_shape() for name in file.keys()})
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"cannot read {path} ({error}); install or train it again") from None
    digest = _digest(metadata["config"], arrays)
    if metadata.get("sha256", digest) != digest:
        raise WeightsError(f"{path} is damaged (checksum); install or train the weights again")
    return config, arrays, digest


def _digest(architecture: str, arrays: dict[str, np.ndarray]) -> str:
    """Of the content: safetensors writes metadata in no fixed order, so files differ."""
    digest = hashlib.sha256(architecture.encode())
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def parse(metadata: dict[str, str], path: Path) -> Config:
    """The architecture a file's metadata describes."""
    if (found := metadata.get("format")) != FORMAT:
        if found in ALONE:
            raise WeightsError(f"{path} is no model but {ALONE[found]}")
        raise WeightsError(f"{path} holds no Pollux weights (format {found!r})")
    return _made(metadata, path, "model", parsed)


def _made(
    metadata: dict[str, str], path: Path, what: str, make: Callable[[dict[str, Any]], Described]
) -> Described:
    try:
        return make(json.loads(metadata["config"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} describes no {what} this version knows ({error})") from None


def _parse_hand(metadata: dict[str, str], path: Path) -> Config | Picture:
    if metadata.get("format") != HAND_FORMAT:
        return parse(metadata, path)
    return _made(metadata, path, "hand", lambda described: parsed_picture(described["picture"]))


def _check(path: Path, expected: dict[str, params.Param], found: dict[str, list[int]]) -> None:
    if missing := sorted(set(expected) - set(found)):
        raise WeightsError(f"{path} lacks {len(missing)} weights, the first {missing[0]}")
    scales = {
        name + SCALE: (*[1] * (len(param.shape) - 1), param.shape[-1])
        for name, param in expected.items()
        if len(param.shape) > 1
    }
    shapes = {name: param.shape for name, param in expected.items()} | scales
    if surplus := sorted(set(found) - set(shapes)):
        raise WeightsError(f"{path} has {len(surplus)} weights too many, the first {surplus[0]}")
    for name, shape in found.items():
        if tuple(shape) != shapes[name]:
            raise WeightsError(f"{path}: {name} has shape {tuple(shape)}, not {shapes[name]}")
