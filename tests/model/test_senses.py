# SPDX-License-Identifier: Apache-2.0
"""Pictures and sound among text: whatever holds of reading text holds of all of it."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux import params
from pollux.config import MEL_BINS, MEL_FRAMES, SIGHT
from pollux.model import audio, decoder, read, vision
from tests.model.conftest import as_if_trained

LENGTH, PATCHES, SOUNDS = 64, 14, 12


@pytest.fixture(scope="module")
def mixed_cfg(senses):
    return dataclasses.replace(senses, vocab_size=256)


@pytest.fixture(scope="module")
def mixed(mixed_cfg):
    return as_if_trained(mixed_cfg)


def document(seed=0):
    """Text, a picture, text, sound, text: ids, and the media beside them."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, 256, (1, LENGTH))
    at = np.full((1, LENGTH), -1)
    at[0, 6 : 6 + PATCHES] = np.arange(PATCHES)
    at[0, 30 : 30 + SOUNDS] = PATCHES + np.arange(SOUNDS)
    media = decoder.Media(
        at=jnp.asarray(at),
        patches=jnp.asarray(rng.integers(0, 256, (PATCHES, SIGHT, SIGHT, 3)), jnp.uint8),
        patch_place=jnp.asarray(rng.integers(0, 6, (PATCHES, 2))),
        mel=jnp.asarray(rng.normal(-5, 3, (SOUNDS, MEL_FRAMES, MEL_BINS)), jnp.float16),
    )
    return jnp.asarray(ids, jnp.int32), media


@partial(jax.jit, static_argnums=1)
def read_with(p, cfg, ids, media, state):
    segment = jnp.zeros_like(ids)
    return decoder.read_chunk(p, cfg, ids, segment, state, decoder.show(p, media))[:2]


def read_in(sizes, p, cfg, ids, media):
    """What reading gives, chunk after chunk, the tables cut to what stands in a chunk."""
    state, got, start = read.empty_state(cfg, 1), [], 0
    for size in sizes:
        here = slice(start, start + size)
        now = media._replace(at=media.at[:, here])
        part, state = read_with(p, cfg, ids[:, here], now, state)
        got.append(part)
        start += size
    return jax.tree.map(lambda *parts: np.concatenate(parts, 1), *got)


def agree(left, right, tolerance=2e-5):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("sizes", [(32, 32), (7, 7, 16, 1, 1, 32), (16,) * 4])
def test_any_chunks_equal_the_whole(mixed_cfg, mixed, sizes):
    """Pictures and sound are cut anywhere."""
    ids, media = document()
    whole = read_in([LENGTH], mixed, mixed_cfg, ids, media)
    assert sum(sizes) == LENGTH
    agree(read_in(sizes, mixed, mixed_cfg, ids, media), whole)


def test_media_stand_where_they_say(mixed_cfg, mixed):
    ids, media = document()
    x = decoder.embed(mixed, mixed_cfg, ids, decoder.show(mixed, media))[0]
    plain = decoder.embed(mixed, mixed_cfg, ids)[0]
    text = np.asarray(media.at[0] < 0)
    np.testing.assert_array_equal(x[text], plain[text])
    seen = vision.embed(mixed.vision, media.patches, media.patch_place)
    heard = audio.embed(mixed.audio, media.mel)
    np.testing.assert_allclose(x[~text], jnp.concatenate([seen, heard]), rtol=1e-5, atol=1e-5)


def test_beyond_the_receptive_field_nothing_is_felt(mixed_cfg, mixed):
    """A picture and a sound exchanged are felt by what follows them closely, and no further."""
    long, media = document()
    ids = jnp.concatenate([long, long], 1)
    at = jnp.pad(media.at, ((0, 0), (0, LENGTH)), constant_values=-1)
    before = read_in([2 * LENGTH], mixed, mixed_cfg, ids, media._replace(at=at))
    brighter = media._replace(at=at, patches=255 - media.patches, mel=media.mel + 1)
    after = read_in([2 * LENGTH], mixed, mixed_cfg, ids, brighter)
    last = 30 + SOUNDS - 1
    beyond = last + mixed_cfg.receptive_field + 1
    assert beyond < 2 * LENGTH
    agree(*(jax.tree.map(lambda x: x[:, :6], r) for r in (before, after)), 1e-6)
    agree(*(jax.tree.map(lambda x: x[:, beyond:], r) for r in (before, after)), 1e-6)
    moved = np.abs(before.key - after.key)[0].max(-1)
    assert (moved[7 : last + 2] > 1e-3).all()


def test_text_is_read_as_without_media(mixed_cfg, mixed):
    """Tables of which nothing stands in the text, and what fills tables up, change nothing."""
    ids, media = document()
    text = media._replace(at=jnp.full_like(media.at, -1))
    got = read_in([LENGTH], mixed, mixed_cfg, ids, text)
    plain = dataclasses.replace(mixed, vision=None, audio=None)
    blind = dataclasses.replace(mixed_cfg, vision=None, audio=None)
    chunk = jax.jit(decoder.read_chunk, static_argnums=1)
    expected = chunk(plain, blind, ids, jnp.zeros_like(ids), read.empty_state(blind, 1))[0]
    agree(got, expected)
    room = 5
    filled = decoder.Media(
        at=jnp.where(media.at >= PATCHES, media.at + room, media.at),
        patches=jnp.pad(media.patches, ((0, room), (0, 0), (0, 0), (0, 0))),
        patch_place=jnp.pad(media.patch_place, ((0, room), (0, 0))),
        mel=jnp.pad(media.mel, ((0, room), (0, 0), (0, 0))),
    )
    both = (read_in([LENGTH], mixed, mixed_cfg, ids, one) for one in (media, filled))
    agree(*both)


def test_eyes_without_ears(mixed_cfg):
    cfg = dataclasses.replace(mixed_cfg, audio=None)
    p = params.initialise(decoder.declare(cfg), jax.random.key(0))
    assert p.audio is None
    ids, media = document()
    at = jnp.where(media.at < PATCHES, media.at, -1)
    got = read_in([LENGTH], p, cfg, ids, media._replace(at=at, mel=None))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(got))


def test_light_and_contrast_hardly_matter(mixed_cfg):
    """The shape of a patch is seen in the dark; its colour is seen where there is no shape."""
    p = params.initialise(vision.declare(mixed_cfg), jax.random.key(0))
    p = dataclasses.replace(p, colour=0 * p.colour)
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 2, (2, SIGHT, SIGHT, 1)).repeat(3, 3)
    patches = [40 + 200 * one, 10 + 100 * one, 40 + 200 * other]
    place = jnp.zeros((3, 2), jnp.int32)
    bright, dark, different = vision.embed(p, jnp.asarray(np.stack(patches), jnp.uint8), place)
    assert np.abs(bright - dark).max() < 0.2 * np.abs(bright - different).max()
    flat = jnp.asarray(np.full((2, SIGHT, SIGHT, 3), [[[[0]]], [[[255]]]]), jnp.uint8)
    p = params.initialise(vision.declare(mixed_cfg), jax.random.key(0))
    black, white = vision.embed(p, flat, place[:2])
    assert np.abs(black - white).max() > 0.1


def test_text_only_has_no_senses(cfg, weights):
    assert weights.vision is None and weights.audio is None
    assert not [n for n in params.names(weights) if n.startswith(("vision", "audio"))]
