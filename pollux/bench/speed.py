# SPDX-License-Identifier: Apache-2.0
"""How fast this machine reads now, in a few seconds: what `pollux plan --measure` goes by."""

import time
from dataclasses import replace
from statistics import median

import jax

from pollux import params
from pollux.config import SPARK
from pollux.engine import reader
from pollux.engine.model import Loaded
from pollux.errors import InputError
from pollux.examples import war_and_peace
from pollux.media.part import Part
from pollux.model import decoder
from pollux.plan.cost import read_flops
from pollux.plan.machine import Machine, size
from pollux.tokenizer import Tokenizer

CHARACTERS = 60_000  # some four chunks
REPEATS = 3


def measured(machine: Machine) -> Machine:
    """The machine with the speed it reads at now. InputError where it is another than this one."""
    if machine.name != "this machine":
        raise InputError("only this machine can be measured; leave --measure or --machine out")
    flops = reading_flops()
    return replace(machine, flops=flops, basis=f"{size(flops, 'FLOP')}/s, measured now")


def reading_flops() -> float:
    """A second, as pollux.plan counts them: a text read by an untrained model of spark's shape."""
    declared = decoder.declare(SPARK)
    weights = params.initialise(declared, jax.random.key(0))
    model = Loaded(weights, SPARK, Tokenizer.load(), "untrained")
    part = Part(name="book.txt", kind="text", text=war_and_peace().text[:CHARACTERS])
    reader.read(model, [part])  # compiles
    speeds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        tokens = len(reader.read(model, [part]))
        speeds.append(tokens / (time.perf_counter() - began))
    return median(speeds) * read_flops(SPARK, declared)
