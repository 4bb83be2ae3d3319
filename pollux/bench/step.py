# SPDX-License-Identifier: Apache-2.0
"""Times our own training steps: `python -m pollux.bench.step JOB.json RESULT.json`."""

import dataclasses
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pollux.config import parsed
from pollux.train import loop
from pollux.train import step as stepping
from pollux.train.loss import Batch
from pollux.train.recipe import RECIPES


def measure(job: dict[str, Any]) -> dict[str, Any]:
    recipe = dataclasses.replace(RECIPES["spark"], config=parsed(job["config"]))
    advance = jax.jit(partial(stepping.step, recipe), donate_argnums=0)
    with np.load(job["batches"]) as file:
        stacked = {name: file[name] for name in Batch._fields if name in file}
    count = len(stacked["at"])
    batches = [Batch(**{n: array[i] for n, array in stacked.items()}) for i in range(count)]
    state = loop.initial(recipe, None)
    losses: list[float] = []
    seconds: list[float] = []
    while (
        len(seconds) < job["warmup"] + job["least"]
        or sum(seconds[job["warmup"] :]) < job["seconds"]
    ):
        start = time.perf_counter()
        state, measures, _ = advance(state, batches[len(seconds) % count])
        losses.append(float(measures.loss))  # waits
        seconds.append(time.perf_counter() - start)
    return {"step_s": seconds[job["warmup"] :], "loss": [losses[0], losses[-1]]}


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(json.dumps(measure(asked)))
