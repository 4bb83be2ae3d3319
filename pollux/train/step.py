# SPDX-License-Identifier: Apache-2.0
"""One step of training: gradient, AdamW, and the routers' balance."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from pollux import sharding
from pollux.model import decoder, moe
from pollux.params import abstract, weights
from pollux.train.loss import Batch, Measures, loss
from pollux.train.recipe import Recipe, Run


@weights
class State:
    params: Any  # a decoder.Decoder, spotter.Spotter or picture.Picture
    optimizer: Any
    step: jax.Array


def schedule(recipe: Run) -> optax.Schedule:
    """Warm-up, a plateau, and a cosine to a fiftieth: a run can be prolonged at the plateau."""
    decay = max(1, int(recipe.steps * recipe.decay_share))
    rate, warm = recipe.learning_rate, min(recipe.warmup_steps, recipe.steps // 4 + 1)
    pieces = [
        optax.linear_schedule(rate / 50, rate, warm),
        optax.constant_schedule(rate),
        optax.cosine_decay_schedule(rate, decay, alpha=0.02),
    ]
    return optax.join_schedules(pieces, [warm, max(warm, recipe.steps - decay)])


def optimizer(recipe: Run) -> optax.GradientTransformation:
    return optax.chain(
        optax.clip_by_global_norm(recipe.gradient_norm),
        optax.adamw(
            schedule(recipe), b2=recipe.beta_2, weight_decay=recipe.weight_decay, mask=matrices
        ),
    )


def matrices(tree: Any) -> Any:
    """Which leaves weight decay is for: True for all but vectors."""
    return jax.tree.map(lambda x: x.ndim >= 2, tree)


def start(recipe: Run, params: Any) -> State:
    fresh = optimizer(recipe).init(params)
    return State(params=params, optimizer=fresh, step=jnp.zeros((), jnp.int32))


def step(recipe: Recipe, state: State, batch: Batch) -> tuple[State, Measures, jax.Array]:
    """The state after one batch, what was measured on it, and the norm of the gradient."""

    def of(params: decoder.Decoder) -> tuple[jax.Array, Measures]:
        weights = recipe.look_weight, recipe.text_weight, recipe.survey_weight, recipe.draw_weight
        return loss(params, recipe.config, batch, *weights)

    (_, measures), gradient = jax.value_and_grad(of, has_aux=True)(state.params)
    state = updated(recipe, state, gradient)
    if recipe.config.experts.num_experts:
        params = balanced(state.params, measures.load, recipe.balance_rate)
        state = dataclasses.replace(state, params=params)
    return state, measures, optax.tree.norm(gradient)


def updated(recipe: Run, state: State, gradient: Any) -> State:
    """The state after the optimizer's step."""
    updates, after = optimizer(recipe).update(gradient, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    return State(params=params, optimizer=after, step=state.step + 1)


def shardings(recipe: Recipe, on: Mesh) -> State:
    """Where each array of the state lives: the optimizer's moments with their weights."""
    declared = decoder.declare(recipe.config)
    placed, copied = sharding.shardings(declared, on), sharding.everywhere(on)
    state = jax.eval_shape(partial(start, recipe), abstract(declared))

    def is_weights(x: Any) -> bool:
        return isinstance(x, decoder.Decoder)

    return jax.tree.map(lambda x: placed if is_weights(x) else copied, state, is_leaf=is_weights)


def sharded(
    recipe: Recipe, on: Mesh
) -> Callable[[State, Batch], tuple[State, Measures, jax.Array]]:
    """`step`, compiled for a mesh; it takes the state's memory over.

    Rows and supervised positions of a batch must divide by the mesh's data x fsdp.
    """
    state, copied = shardings(recipe, on), sharding.everywhere(on)
    return jax.jit(
        partial(step, recipe),
        in_shardings=(state, sharding.batch_sharding(on)),
        out_shardings=(state, copied, copied),
        donate_argnums=0,
    )


def balanced(params: decoder.Decoder, load: jax.Array, rate: float) -> decoder.Decoder:
    """The routers' biases a step towards equal load.

    `load`: [layers, experts], read layers first.
    """
    layers = [
        dataclasses.replace(layer, experts=moe.balance(layer.experts, share, rate))
        for layer, share in zip((*params.read, *params.answer), load, strict=True)
    ]
    split = len(params.read)
    return dataclasses.replace(params, read=tuple(layers[:split]), answer=tuple(layers[split:]))
