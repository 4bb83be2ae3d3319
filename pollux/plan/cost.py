# SPDX-License-Identifier: Apache-2.0
"""Bytes and FLOPs of reading and of answering."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import jax

from pollux.config import Config
from pollux.media.limits import LIMITS
from pollux.memory.manifest import SEGMENT, Shape, array_files, bytes_of, round_up
from pollux.model import decoder
from pollux.params import is_param
from pollux.plan.machine import Machine
from pollux.sharding import RULES

PROCESS = 500_000_000  # bytes: Python, JAX, compiled code
TEXT = 4  # bytes of a part's text in RAM, a token
PLACES = 10  # bytes a token while answering: positions, valid and since of engine.scan.Stretch
SUM_BYTES = 4  # of a score, and of a sum of scores
KV_BYTES = 2  # of a number in the cache of the full-attention model: bfloat16

Kinds = Counter[tuple[tuple[int, ...], tuple[str | None, ...]]]  # (shape, axes) of weights


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How the engine works: CHUNK of engine/reader.py, AT_ONCE of engine/scan.py."""

    chunk: int  # tokens read at a time
    at_once: int  # positions of an answer in a pass over the keys, at most


@dataclass(frozen=True, kw_only=True)
class Way:
    """To lay out weights and memory. `mesh`: its axes and their sizes, none for a CPU."""

    mesh: dict[str, int]
    parameters: int  # of a chip
    where: Literal["disk", "RAM", "HBM"]  # the reading is; on disk it is mapped, not loaded


def ways(axis: str | None, mesh: dict[str, int]) -> int:
    """Into how many a dimension of that logical axis is split."""
    rule = RULES[axis]
    names = (rule,) if isinstance(rule, str) else rule or ()
    return math.prod(mesh.get(name, 1) for name in names)


def kinds(declared: Any) -> Kinds:
    """How many weights there are of each shape with the same axes."""
    leaves = jax.tree.leaves(declared, is_leaf=is_param)
    return Counter((leaf.shape, leaf.axes) for leaf in leaves)


def active(config: Config, declared: Any) -> int:
    """Parameters that a token passes through: of the routed experts, `top_k`."""
    e = config.experts
    return sum(
        number * math.prod(shape) * e.top_k // e.num_experts
        if "experts" in axes
        else number * math.prod(shape)
        for (shape, axes), number in kinds(declared).items()
    )


def read_flops(config: Config, declared: decoder.Decoder) -> int:
    """Of a token read: two an active parameter, and attention, which sees two windows of keys.

    Norms, softmax, routing and the padding of tiles are not counted.
    """
    attention = 4 * 2 * config.window * config.num_heads * config.head_dim
    return 2 * active(config, (declared.read, declared.memory)) + config.read_layers * attention


def answer_flops(config: Config, declared: decoder.Decoder, tokens: int) -> int:
    """Of an answer token for which every key is scored, as for the first.

    It is read like any other; then come recall, the answer layers, and logits.
    """
    heads = config.answer_layers * config.recall_heads
    scan = heads * tokens * (2 * config.key_dim + 2)  # a product, and following
    recalled = heads * config.recall_top_k * 2 * config.value_dim
    logits = 2 * config.embeddings * config.embed_dim
    upper = 2 * active(config, declared.answer)
    return read_flops(config, declared) + upper + logits + scan + recalled


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be placed on a machine. Sizes are bytes of the whole."""

    config: Config
    tokens: int  # stored: whole blocks
    steps: Steps
    kinds: Kinds

    @property
    def shape(self) -> Shape:
        return Shape(key_dim=self.config.key_dim, value_dim=self.config.value_dim)

    @property
    def reading(self) -> int:
        return bytes_of(self.tokens, self.shape)

    @property
    def scanned(self) -> int:
        """Keys and what belongs to them."""
        files = array_files(self.shape)
        return sum(file.nbytes(self.tokens) for file in files if file.name.startswith("key"))

    @property
    def heads(self) -> int:
        return self.config.answer_layers * self.config.recall_heads

    @property
    def sums(self) -> int:
        """What every key has scored for every head (ops.recall.follow): float32."""
        return SUM_BYTES * self.heads * self.tokens

    @property
    def full_attention(self) -> int:
        """Keys and values of all layers, were each to attend to everything."""
        layers = self.config.read_layers + self.config.answer_layers
        numbers = layers * self.config.num_kv_heads * self.config.head_dim * 2
        return KV_BYTES * numbers * self.tokens

    def workspace(self, machine: Machine, mesh: dict[str, int]) -> int:
        """About what a layer holds of a chunk: scores, hidden units, and the width eight times."""
        config, e = self.config, self.config.experts
        copies = e.top_k if e.num_experts else 0
        hidden = 3 * (e.shared_dim + copies * e.expert_dim) + copies * config.embed_dim
        scores = 2 * config.num_heads * 2 * config.window
        split = hidden // ways("hidden", mesh) + scores // ways("heads", mesh)
        return machine.number_bytes * self.steps.chunk * (split + 8 * config.embed_dim)

    def needs(self, machine: Machine, way: Way) -> tuple[dict[str, int], dict[str, int]]:
        """Of a chip, while reading and while answering, by what it is for."""
        share = round_up(-(-self.tokens // ways("tokens", way.mesh)))
        row = SUM_BYTES * -(-self.heads // ways("heads", way.mesh))
        both = {"weights": machine.number_bytes * way.parameters}
        if machine.is_cpu:
            both["program"] = PROCESS
        if way.where != "disk":
            both["memory"] = bytes_of(share, self.shape)
        reading = {**both, "chunk": self.workspace(machine, way.mesh)}
        if machine.is_cpu:
            reading["text"] = min(TEXT * self.tokens, LIMITS.max_bytes)
        answering = {
            **both,
            "sums": 2 * row * share,  # the old ones and the new
            "places": PLACES * share,
            "pass": row
            * min(share, SEGMENT)
            * (self.steps.at_once + 3),  # scores, and what follows
        }
        return reading, answering


def reading_time(job: Job, machine: Machine, mesh: dict[str, int], flops: int) -> float:
    """Seconds. Where tokens are split, each share is read with what reaches into it."""
    shares = ways("tokens", mesh)
    halo = job.config.receptive_field if shares > 1 else 0
    return (job.tokens / shares + halo) * flops * shares / (machine.flops * machine.chips)
