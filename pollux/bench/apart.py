# SPDX-License-Identifier: Apache-2.0
"""A measurement in a process of its own: `python SCRIPT JOB.json RESULT.json`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pollux.errors import PolluxError


def measured(
    script: str, job: dict[str, Any], directory: Path, seconds: float, python: str | None = None
) -> dict[str, Any]:
    """What a script of this folder says of `job`; the files between are in `directory`.

    `python`: one that need not have pollux; by default this one. Raises TimeoutError after
    `seconds`, PolluxError with the last line of what it said where there is no result.
    """
    asked, answered = directory / "job.json", directory / "result.json"
    asked.write_text(json.dumps(job))
    answered.unlink(missing_ok=True)
    here = Path(__file__)
    if python is None:
        command = [sys.executable, "-m", f"pollux.bench.{script}"]
        paths = [str(here.parents[2]), os.environ.get("PYTHONPATH", "")]
        environment = {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    else:
        command = [python, str(here.with_name(f"{script}.py"))]
        environment = {"HF_HUB_OFFLINE": "1"}
    try:
        run = subprocess.run(
            [*command, str(asked), str(answered)],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"no end after {seconds:.0f} s") from None
    if not answered.is_file():
        last = run.stderr.strip().splitlines()[-1:] or [f"exit code {run.returncode}"]
        raise PolluxError(last[0])
    return json.loads(answered.read_text())
