# SPDX-License-Identifier: Apache-2.0
"""`pollux serve`: a process of its own, from its start to its end."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from pollux import cli
from tests.serve.conftest import asked

ROOT = Path(__file__).parents[2]


def started(state, weights, *options):
    return subprocess.Popen(
        [sys.executable, "-m", "pollux", "serve", "--port", "0", "--state", state]
        + ["--weights", weights, *options],
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "POLLUX_CACHE": state, "POLLUX_API_KEY": "one-key-for-it"},
    )


def address(process):
    for line in process.stdout:
        if found := re.search(r"ready at (http://\S+:\d+)", line):
            return found[1]
    raise AssertionError(process.poll())


def test_the_life_of_a_server(tmp_path, weights):
    with started(str(tmp_path), str(weights)) as process:
        url = address(process)
        headers = {"x-goog-api-key": "one-key-for-it"}
        with httpx.Client(base_url=url, headers=headers, timeout=60.0) as http:
            body = {"model": "models/tiny", **asked("The code is 5591.")}
            name = http.post("/v1/cachedContents", json=body).json()["name"]
            assert httpx.get(f"{url}/v1/models").status_code == 401
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read() if process.stdout else ""
        assert "one-key-for-it" not in rest
        assert "Traceback" not in rest
    assert (tmp_path / name / "content.reading").exists()


def test_what_would_be_open_is_refused(monkeypatch, capsys, weights, tmp_path):
    monkeypatch.delenv("POLLUX_API_KEY", raising=False)
    given = ["pollux", "serve", "--host", "0.0.0.0", "--weights", str(weights)]
    monkeypatch.setattr(sys, "argv", [*given, "--state", str(tmp_path)])
    with pytest.raises(SystemExit):
        cli.main()
    assert "POLLUX_API_KEY" in capsys.readouterr().err
