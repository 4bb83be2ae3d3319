# SPDX-License-Identifier: Apache-2.0
"""Weights on disk: one safetensors file.

It holds a tensor a parameter under its dotted name, and the architecture as metadata.
"""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from pollux import params
from pollux.config import Config, described, parsed
from pollux.errors import SpaceError, WeightsError
from pollux.model import decoder, vision

FORMAT, EYES = "pollux-1", "pollux-eyes-1"


def save(path: Path, weights: decoder.Decoder, config: Config, about: dict[str, str]) -> None:
    """Writes float16 beside `path`, then renames. `about`: how they came to be."""
    _write(path, _arrays(weights), FORMAT, config, about)


def save_eyes(path: Path, eyes: vision.Vision, config: Config, about: dict[str, str]) -> None:
    """The same for eyes alone, those of `config`, under the names that they have in it."""
    arrays = {f"vision.{name}": array for name, array in _arrays(eyes).items()}
    _write(path, arrays, EYES, config, about)


def _arrays(weights: Any) -> dict[str, np.ndarray]:
    named = zip(params.names(weights), jax.tree.leaves(weights), strict=True)
    return {name: np.asarray(x, np.float16) for name, x in named}


def _write(
    path: Path, arrays: dict[str, np.ndarray], kind: str, config: Config, about: dict[str, str]
) -> None:
    architecture = json.dumps(described(config))
    digest = _digest(architecture, arrays)
    metadata = {"format": kind, "config": architecture, "sha256": digest}
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
    return _read(path, FORMAT, decoder.declare)


def load_eyes(path: Path, config: Config) -> vision.Vision:
    """Eyes alone, in float32. WeightsError where those of `config` have other dimensions."""

    def declare(own: Config) -> _Eyes:
        return _Eyes(vision.declare(own))

    eyes, own, _ = _read(path, EYES, declare)
    if (own.vision, own.embed_dim) != (config.vision, config.embed_dim):
        raise WeightsError(
            f"{path} has eyes of {own.vision} for {own.embed_dim} dimensions, {config.name} those "
            f"of {config.vision} for {config.embed_dim}: train eyes for it (`pollux train eyes`)"
        )
    return eyes.vision


class _Eyes(NamedTuple):
    """So that names on disk are those that eyes have in a model."""

    vision: Any


def _read(path: Path, kind: str, declare: Callable[[Config], Any]) -> tuple[Any, Config, str]:
    """Weights as declared for the file's architecture, that, and a fingerprint of both."""
    try:
        if not path.is_file():
            raise WeightsError(f"no weights at {path}; train them (`pollux train`) or name others")
        with safetensors.safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            config = parse(metadata, path, kind)
            leaves, tree = jax.tree.flatten(declare(config), is_leaf=params.is_param)
            expected = dict(zip(params.names(tree.unflatten(leaves)), leaves, strict=True))
            _check(path, expected, {name: file.get_slice(name).get_shape() for name in file.keys()})
            arrays = {name: file.get_tensor(name) for name in expected}
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"cannot read {path} ({error}); install or train it again") from None
    digest = _digest(metadata["config"], arrays)
    if metadata.get("sha256", digest) != digest:
        raise WeightsError(f"{path} is damaged (checksum); install or train the weights again")
    weights = tree.unflatten(jnp.asarray(x, jnp.float32) for x in arrays.values())
    return weights, config, digest[:16]


def _digest(architecture: str, arrays: dict[str, np.ndarray]) -> str:
    """Of the content: safetensors writes metadata in no fixed order, so files differ."""
    digest = hashlib.sha256(architecture.encode())
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def parse(metadata: dict[str, str], path: Path, kind: str = FORMAT) -> Config:
    """The architecture a file's metadata describes."""
    if metadata.get("format") != kind:
        what = "eyes trained alone" if kind == EYES else "Pollux weights"
        raise WeightsError(f"{path} holds no {what} (format {metadata.get('format')!r})")
    try:
        return parsed(json.loads(metadata["config"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} describes no model this version knows ({error})") from None


def _check(path: Path, expected: dict[str, params.Param], found: dict[str, list[int]]) -> None:
    if missing := sorted(set(expected) - set(found)):
        raise WeightsError(f"{path} lacks {len(missing)} weights, the first {missing[0]}")
    if surplus := sorted(set(found) - set(expected)):
        raise WeightsError(f"{path} has {len(surplus)} weights too many, the first {surplus[0]}")
    for name, param in expected.items():
        if tuple(found[name]) != param.shape:
            raise WeightsError(f"{path}: {name} has shape {tuple(found[name])}, not {param.shape}")
