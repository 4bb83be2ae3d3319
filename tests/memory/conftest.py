# SPDX-License-Identifier: Apache-2.0
"""A tokenizer of bytes and a few words, and readings made of random numbers."""

import hashlib
import os

import numpy as np
import pytest

from pollux.memory.manifest import BLOCK, PartSpan, Shape
from pollux.memory.reading import Reading

WORDS = ("the ", "你", "needle", "\U0001f600")
SHAPE = Shape(key_dim=5, value_dim=3)


class FakeTokenizer:
    """Id 0 is padding, id 1 begins a part, then the bytes, then WORDS."""

    newline = 2 + ord("\n")
    form_feed = 2 + ord("\f")

    def __init__(self):
        self.pieces = [b"", b"", *(bytes([b]) for b in range(256)), *(w.encode() for w in WORDS)]
        self.byte_lengths = np.array([len(piece) for piece in self.pieces], np.int32)

    def encode(self, text):
        raw, ids = text.encode(), []
        while raw:
            found = [i for i in range(258, len(self.pieces)) if raw.startswith(self.pieces[i])]
            ids.append(found[0] if found else 2 + raw[0])
            raw = raw[len(self.pieces[ids[-1]]) :]
        return np.array(ids, np.int32)

    def decode(self, ids):
        return b"".join(self.pieces[i] for i in ids if i < len(self.pieces)).decode(
            "utf-8", "replace"
        )


def random_reading(sizes, seed=0, weights="weights-a", tokens=None):
    """A reading in RAM; `sizes` are tokens in each part, `tokens` their ids (else random)."""
    rng = np.random.default_rng(seed)
    parts, ids, at = [], [], 0
    for i, size in enumerate(sizes):
        body = rng.integers(2, 258, size) if tokens is None else tokens[i]
        span = PartSpan(
            name=f"part-{seed}-{i}",
            kind="text",
            note="",
            start=at,
            text_start=at + min(2, size),
            end=at + size,
            sha256=hashlib.sha256(bytes([i])).hexdigest(),
        )
        parts.append(span)
        ids.append(np.pad(body, (0, -size % BLOCK)))
        at += len(ids[-1])
    valid = np.concatenate([np.arange(len(x)) < n for x, n in zip(ids, sizes, strict=True)] or [[]])
    real = valid.astype(bool)[:, None]
    return Reading.from_arrays(
        keys=(rng.integers(-127, 128, (at, SHAPE.key_dim)) * real).astype(np.int8),
        values=(rng.integers(-127, 128, (at, SHAPE.value_dim)) * real).astype(np.int8),
        key_scales=(rng.random(at) * real[:, 0]).astype(np.float16),
        value_scales=(rng.random(at) * real[:, 0]).astype(np.float16),
        tokens=np.concatenate([np.zeros(0, int), *ids]).astype(np.uint16),
        parts=parts,
        weights_fingerprint=weights,
        tokenizer_fingerprint="tokenizer-a",
    )


def append_parts(writer, reading, chunk_blocks=3):
    """Write every part of a reading in RAM, `chunk_blocks` blocks at a time."""
    for part in reading.parts:
        writer.begin_part(part.name, part.kind, part.note)
        for start in range(part.start, part.end, chunk_blocks * BLOCK):
            end = min(start + chunk_blocks * BLOCK, part.end)
            whole = -(-end // BLOCK) * BLOCK
            rows = reading.stores[0].slices(start, whole)
            writer.append(*rows, valid=BLOCK - (whole - end))
        writer.end_part(part.text_start - part.start, part.sha256)


def same(left, right):
    """Equal in everything but where they are; delivered segment by segment, so verified too."""
    names = ("keys", "values", "key_scales", "value_scales", "tokens", "valid")
    whole = [
        [np.concatenate([getattr(s, name) for s in r.segments()] or [[]]) for name in names]
        for r in (left, right)
    ]
    equal = all(np.array_equal(a, b) for a, b in zip(*whole, strict=True))
    return equal and left.parts == right.parts and len(left) == len(right)


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: None)
        yield


@pytest.fixture(scope="session")
def tokenizer():
    return FakeTokenizer()


@pytest.fixture(scope="session")
def shape():
    return SHAPE


@pytest.fixture(scope="session", name="random_reading")
def random_reading_fixture():
    return random_reading


@pytest.fixture(scope="session", name="append_parts")
def append_parts_fixture():
    return append_parts


@pytest.fixture(scope="session", name="same")
def same_fixture():
    return same


@pytest.fixture(scope="session")
def text_reading(tokenizer):
    """Make a reading in RAM of texts by name, with headers."""

    def make(texts):
        bodies, headers = [], []
        for name, text in texts.items():
            header = [1, *tokenizer.encode(f"{name}\n").tolist()]
            headers.append(len(header))
            bodies.append(np.array([*header, *tokenizer.encode(text).tolist()]))
        made = random_reading([len(body) for body in bodies], tokens=bodies)
        parts = [
            PartSpan(
                name=name,
                kind="text",
                note="",
                start=part.start,
                text_start=part.start + header,
                end=part.end,
                sha256=part.sha256,
            )
            for name, part, header in zip(texts, made.parts, headers, strict=True)
        ]
        return Reading.from_arrays(
            keys=made.keys,
            values=made.values,
            key_scales=made.key_scales,
            value_scales=made.value_scales,
            tokens=made.tokens,
            parts=parts,
            weights_fingerprint="weights-a",
            tokenizer_fingerprint="tokenizer-a",
        )

    return make
