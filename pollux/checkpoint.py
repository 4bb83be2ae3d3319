# SPDX-License-Identifier: Apache-2.0
"""Weights on disk: one safetensors file, a tensor a parameter under its dotted name, the architecture as metadata."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from pollux import params
from pollux.config import Config, Experts
from pollux.errors import SpaceError, WeightsError
from pollux.model import decoder

FORMAT = "pollux-1"


def save(path: Path, weights: decoder.Decoder, config: Config, about: dict[str, str]) -> None:
    """Writes float16 beside `path`, then renames. `about`: how they came to be."""
    flat, _ = jax.tree.flatten(weights)
    arrays = {n: np.asarray(x, np.float16) for n, x in zip(params.names(weights), flat, strict=True)}
    metadata = {"format": FORMAT, "config": json.dumps(dataclasses.asdict(config)), **about}
    beside = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        safetensors.numpy.save_file(arrays, beside, metadata)
        os.replace(beside, path)
    except (OSError, safetensors.SafetensorError) as error:
        beside.unlink(missing_ok=True)
        raise SpaceError(f"cannot write {path} ({error}); free space or name another place") from None


def load(path: Path) -> tuple[decoder.Decoder, Config, str]:
    """Weights in float32, their architecture, and a fingerprint of the file."""
    if not path.is_file():
        raise WeightsError(f"no weights at {path}; train them with `pollux train` or name another file")
    try:
        with safetensors.safe_open(path, "numpy") as file:
            config = parse(file.metadata() or {}, path)
            declared = decoder.declare(config)
            expected = dict(
                zip(params.names(declared), jax.tree.leaves(declared, is_leaf=params.is_param), strict=True)
            )
            _check(path, expected, {name: file.get_slice(name).get_shape() for name in file.keys()})
            leaves = [jnp.asarray(file.get_tensor(name), jnp.float32) for name in expected]
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path} is damaged ({error}); install or train the weights again") from None
    tree = jax.tree.structure(declared, is_leaf=params.is_param)
    return tree.unflatten(leaves), config, hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def parse(metadata: dict[str, str], path: Path) -> Config:
    """The architecture a file's metadata describes."""
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{path} holds no Pollux weights (format {metadata.get('format')!r})")
    try:
        fields = json.loads(metadata["config"])
        return Config(**{**fields, "experts": Experts(**fields["experts"])})
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} describes no model this version knows ({error})") from None


def _check(path: Path, expected: dict[str, params.Param], found: dict[str, list[int]]) -> None:
    if missing := sorted(set(expected) - set(found)):
        raise WeightsError(f"{path} lacks {len(missing)} weights, the first {missing[0]}")
    if surplus := sorted(set(found) - set(expected)):
        raise WeightsError(f"{path} has {len(surplus)} weights too many, the first {surplus[0]}")
    for name, param in expected.items():
        if tuple(found[name]) != param.shape:
            raise WeightsError(f"{path}: {name} has shape {tuple(found[name])}, not {param.shape}")
