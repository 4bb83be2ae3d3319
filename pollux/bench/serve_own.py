# SPDX-License-Identifier: Apache-2.0
"""The questions of `pollux bench serve`, asked of the model directly: what HTTP is measured by."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pollux
from pollux.bench.load import PROMPTS, drive, prompts
from pollux.cache import compiled_directory
from pollux.engine.answer import Respondent
from pollux.media.part import Part


def main(job: Path, result: Path) -> None:
    import jax

    jax.config.update("jax_compilation_cache_dir", str(compiled_directory()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    asked = json.loads(job.read_text())
    weights = asked["weights"]
    model = pollux.load(Path(weights) if weights else None)
    open_ones = [
        (Respondent(model.loaded, model.read(Part(name="text", kind="text", text=text))), q)
        for text, q in prompts()
    ]
    sampling = pollux.Sampling(max_tokens=asked["max_tokens"])
    with model.scheduler() as scheduler:

        def ask(client: int, number: int) -> Iterator[object]:
            yield from scheduler.submit(*open_ones[number % PROMPTS], sampling)

        drive(asked["clients"], asked["warm_seconds"], ask)  # compiles
        found = drive(asked["clients"], asked["seconds"], ask)
    result.write_text(json.dumps(asdict(found)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
