# SPDX-License-Identifier: Apache-2.0
"""Run by test_sharding.py where there are eight devices: JSON of how sharded differs from whole."""

import dataclasses
import json
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from pollux import params, sharding
from pollux.config import MEL_BINS, MEL_FRAMES, SIGHT, TINY, Audio, Vision
from pollux.data.mixture import Stage
from pollux.model import decoder, read
from pollux.train import step as stepping
from pollux.train.loss import Batch
from pollux.train.recipe import Recipe

CONFIG = dataclasses.replace(
    TINY,
    vocab_size=256,
    read_layers=1,
    answer_layers=1,
    vision=Vision(hidden_dim=16, channels=4, sides=4),
    audio=Audio(hidden_dim=16),
)
SHARES = {"any": 1.0}  # never drawn from
STAGE = Stage(steps=40, rows=8, length=32, supervised=64, genres=SHARES, skills=SHARES)
RECIPE = Recipe(name="sharded", config=CONFIG, stages=(STAGE,))
DECLARED = decoder.declare(CONFIG)
# On the host, for a training step takes its arguments' memory over.
WEIGHTS = jax.device_get(params.initialise(DECLARED, jax.random.key(0)))
unsharded = jax.jit(partial(stepping.step, RECIPE))
# Few: each is compiled.
TRAINED = {"data": 2, "fsdp": 2}, {"expert": 2, "tensor": 2, "fsdp": 2}
ANSWERED = ({"expert": 2, "tensor": 2, "fsdp": 2},)
READ = {"seq": 8}, {"data": 2, "fsdp": 2, "seq": 2}


def difference(left, right):
    """The largest, in any array, relative to the largest number in it."""
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    arrays = ((np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in pairs)
    return max(float(np.abs(a - b).max() / (np.abs(a).max() or 1)) for a, b in arrays)


def random_tokens(*shape):
    return jnp.asarray(np.random.default_rng(0).integers(17, 256, shape), jnp.int32)


def batch():
    """Rows of a document and a question; eight answers a row."""
    tokens = random_tokens(STAGE.rows, STAGE.length)
    segment = jnp.repeat(jnp.array([[0, 1]]), STAGE.length // 2, 1).repeat(STAGE.rows, 0)
    rows = np.arange(STAGE.rows)[:, None] * STAGE.length
    at = jnp.asarray(rows + np.arange(STAGE.length - 9, STAGE.length - 1), jnp.int32).reshape(-1)
    look = jnp.stack([at - 9, at - 8], 1)
    question = jnp.asarray(rows + np.arange(STAGE.length // 2, STAGE.length - 1), jnp.int32)
    passage = jnp.asarray(rows + np.array([1, 9]), jnp.int32)
    target, weight = tokens.reshape(-1)[at + 1], jnp.ones(at.shape)
    text = tokens, segment, at, target, weight, look, question, passage
    return Batch(*text, None, *media(*tokens.shape))


def media(rows, length):
    """Four patches and tokens of sound in each row, from anywhere in the tables."""
    rng = np.random.default_rng(1)
    at = np.full((rows, length), -1)
    at[:, 3:7] = rng.permutation(4 * rows).reshape(rows, 4)
    patches = rng.integers(0, 256, (2 * rows, SIGHT, SIGHT, 3))
    mel = rng.normal(-5, 3, (2 * rows, MEL_FRAMES, MEL_BINS))
    return decoder.Media(
        at=jnp.asarray(at),
        patches=jnp.asarray(patches, jnp.uint8),
        patch_place=jnp.asarray(rng.integers(0, 6, (2 * rows, 2))),
        mel=jnp.asarray(mel, jnp.float16),
    )


def is_decoder(x):
    return isinstance(x, decoder.Decoder)


def train(on):
    """One step; where the optimizer's moments are, and the share of them on each device."""
    whole = jax.device_get(stepping.start(RECIPE, WEIGHTS))
    expected = unsharded(whole, batch())
    state = jax.device_put(whole, stepping.shardings(RECIPE, on))
    got = stepping.sharded(RECIPE, on)(state, batch())
    declared = jax.tree.leaves(sharding.shardings(DECLARED, on))
    moments = [m for m in jax.tree.leaves(got[0].optimizer, is_leaf=is_decoder) if is_decoder(m)]
    return {
        "difference": difference(expected, got),
        "moments_differ": difference(expected[0].optimizer, got[0].optimizer),
        "moved": difference(whole.params, got[0].params),
        "moments": len(moments),
        "beside": all(
            [x.sharding for x in jax.tree.leaves(tree)] == declared
            for tree in (got[0].params, *moments)
        ),
        "shares": shares(jax.tree.leaves(moments)),
    }


def shares(arrays):
    """Of the arrays' bytes, what each device holds."""
    here = dict.fromkeys(jax.devices(), 0)
    for shard in (s for x in arrays for s in x.addressable_shards):
        here[shard.device] += shard.data.nbytes
    return [size / sum(x.nbytes for x in arrays) for size in here.values()]


def answers(on):
    """Next-token logits, with the weights sharded."""
    segment = jnp.repeat(jnp.array([0, 1]), 32)
    arguments = CONFIG, random_tokens(64), segment, jnp.array([3, 40, 50, 63])
    answer = jax.jit(decoder.answers, static_argnums=1)
    return {"difference": difference(answer(WEIGHTS, *arguments), answer(placed(on), *arguments))}


def read_along(on):
    """A chunk, its tokens split along `seq`; the memory comes back split the same way.

    The tables of pictures and sound are on every device.
    """
    tokens = random_tokens(4, 128)
    segment, state = jnp.sort(tokens % 3, 1), read.empty_state(CONFIG, 4)

    @jax.jit
    def reader(weights, tokens, segment, state, seen):
        shown = decoder.show(weights, seen)
        return decoder.read_chunk(weights, CONFIG, tokens, segment, state, shown)

    seen = media(*tokens.shape)
    expected = reader(WEIGHTS, tokens, segment, state, seen)
    split = jax.device_put((tokens, segment), sharding.token_sharding(on))
    rows = NamedSharding(on, sharding.spec(None, "batch")), sharding.batch_sharding(on)
    state = jax.device_put(state, read.ReadState(*rows))
    seen = jax.device_put(seen, sharding.everywhere(on))
    seen = seen._replace(at=jax.device_put(seen.at, sharding.token_sharding(on)))
    got = reader(placed(on), *split, state, seen)
    return {
        "difference": difference(expected, got),
        "piece": got[0].key.sharding.shard_shape(got[0].key.shape)[:2],
    }


def placed(on):
    return jax.device_put(WEIGHTS, sharding.shardings(DECLARED, on))


def main():
    assert jax.device_count() == 8
    for name, check, shapes in (
        ("train", train, TRAINED),
        ("answers", answers, ANSWERED),
        ("read", read_along, READ),
    ):
        for shape in shapes:
            devices = jax.devices()[: math.prod(shape.values())]
            result = check(sharding.mesh(shape, devices))
            print(json.dumps({"check": name, "mesh": shape, **result}), flush=True)


if __name__ == "__main__":
    main()
