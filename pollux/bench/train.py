# SPDX-License-Identifier: Apache-2.0
"""Training throughput beside a Hugging Face Mixtral of the same shape, on the same batches.

All stages of the recipe are timed, each with batches of its own length: what a training run costs
is the time of all of them.

Every measurement is a process of its own, one after the other, and the repeats go round in turn
(A B C A B C): thread pools do not meet, and a machine that slows down slows all of them. Mixtral is
given its best: each precision with each attention and each experts function that transformers has
for a CPU is tried briefly, and what did best is measured in full, with logits everywhere (as
transformers computes the loss), with logits at the supervised positions only (as we do), and
through torch.compile. Its `batched_mm` experts are left out: they gather the weights of every
token's experts, tens of gigabytes here.
"""

import dataclasses
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rich.console
import rich.progress
import rich.table

from pollux.bench.apart import measured
from pollux.bench.machine import Machine, cores, machine
from pollux.bench.moe import Parameters, parameters
from pollux.config import SPARK, Config
from pollux.data import corpora, mixture
from pollux.data.mixture import Stage
from pollux.errors import PolluxError, RecipeError
from pollux.tokenizer import Tokenizer
from pollux.train.recipe import RECIPES

GOAL = 1.5  # times the better of float32 and bfloat16
BATCHES = 8  # different ones, over and over
LOGITS = ("all", "supervised")
WARMUP_STEPS = 3
LEAST_STEPS = 3
SCREEN_SHARE = 1 / 6  # of the seconds of a measurement
BRIEF = {"warmup": 1, "least": 1}  # steps of what is only tried
COMPILE_SECONDS = 600  # that starting up and compiling may take
INSTALL = "pip install torch==2.13.0 'transformers>=5'"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to run a training step."""

    program: str
    precision: str  # autocast: float32 weights, bfloat16 products; bfloat16: everything
    attention: str
    experts: str
    logits: str  # of LOGITS: at all positions or at supervised ones
    compiled: bool = False  # by torch.compile

    @property
    def family(self) -> str:
        return "float32" if self.precision == "float32" else "bfloat16"

    def __str__(self) -> str:
        compiled = ", torch.compile" if self.compiled else ""
        return (
            f"{self.program} {self.precision}, {self.attention} attention, {self.experts} experts, "
            f"{self.logits} logits{compiled}"
        )


OURS = Candidate(
    program="pollux", precision="float32", attention="window", experts="tiles", logits="supervised"
)


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Tokens a second of each repeat, and why one failed where one did."""

    candidate: Candidate
    tokens_per_s: tuple[float, ...] = ()
    failure: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.tokens_per_s) if self.tokens_per_s else 0.0


@dataclass(frozen=True, kw_only=True)
class StageBench:
    """One stage of the recipe: ours, what was measured of theirs, and what was tried for it."""

    steps: int  # of the recipe
    rows: int
    length: int  # tokens a row
    supervised: int  # positions a batch
    ours: Throughput
    theirs: tuple[Throughput, ...]
    screened: tuple[Throughput, ...]
    batch_seconds: float  # to prepare a batch, on one thread: in training beside the step

    @property
    def tokens(self) -> int:
        return self.steps * self.rows * self.length

    @property
    def best(self) -> float:
        """Tokens a second of the better of float32 and bfloat16, run as transformers runs them."""
        return max(t.median for t in self.theirs if not t.candidate.compiled)

    @property
    def best_compiled(self) -> float:
        """Of the best that torch.compile makes of it; 0 where it does not work."""
        return max((t.median for t in self.theirs if t.candidate.compiled), default=0.0)

    def table(self) -> rich.table.Table:
        title = f"batches of {self.rows} x {self.length} tokens, {self.supervised} supervised"
        caption = f"Preparing a batch: {self.batch_seconds * 1000:.0f} ms"
        table = rich.table.Table(title=f"training, tokens/s, {title}", caption=caption)
        table.add_column("what")
        for name in ("median", "range", "pollux is"):
            table.add_column(name, justify="right")
        for t in (self.ours, *sorted(self.theirs, key=lambda t: -t.median)):
            if not t.tokens_per_s:
                table.add_row(str(t.candidate), "-", t.failure[:40], "-")
                continue
            span = f"{min(t.tokens_per_s):,.0f}-{max(t.tokens_per_s):,.0f}"
            times = f"{self.ours.median / t.median:.2f}x" if t is not self.ours else ""
            table.add_row(str(t.candidate), f"{t.median:,.0f}", span, times)
        return table


@dataclass(frozen=True, kw_only=True)
class TrainBench:
    stages: tuple[StageBench, ...]
    source: str  # of the batches
    seconds: float  # a measurement
    parameters: dict[str, Parameters]  # of pollux and transformers
    expert_dim: int  # of Mixtral: the multiple of 16 nearest to equal active parameters
    machine: Machine
    torch_versions: dict[str, str]

    @property
    def ratio(self) -> float:
        """How many times as long Mixtral takes for all stages, at its best in each of them."""
        ours = sum(stage.tokens / stage.ours.median for stage in self.stages)
        return sum(stage.tokens / stage.best for stage in self.stages) / ours

    @property
    def ratio_compiled(self) -> float | None:
        """The same for torch.compile, where it works."""
        if not all(stage.best_compiled for stage in self.stages):
            return None
        ours = sum(stage.tokens / stage.ours.median for stage in self.stages)
        return sum(stage.tokens / stage.best_compiled for stage in self.stages) / ours

    def to_json(self) -> str:
        derived = {
            "ratio": self.ratio,
            "ratio_compiled": self.ratio_compiled,
            "ratio_of_stages": [stage.ours.median / stage.best for stage in self.stages],
            "goal": GOAL,
        }
        unit = {"unit": "tokens/s, one figure a repeat"}
        return json.dumps({**derived, **unit, **dataclasses.asdict(self)}, indent=1)

    def summary(self) -> str:
        ours, theirs = self.parameters["pollux"], self.parameters["transformers"]
        compiled = f"; {self.ratio_compiled:.2f} of torch.compile's" if self.ratio_compiled else ""
        torch = ", ".join(f"{name} {number}" for name, number in self.torch_versions.items())
        stages = " and ".join(f"{stage.ours.median / stage.best:.2f}" for stage in self.stages)
        return (
            f"All stages of the recipe: {self.ratio:.2f} times the better of float32 and bfloat16 "
            f"(goal {GOAL}){compiled}; {stages} stage by stage. Batches from {self.source}; "
            f"{len(self.stages[0].ours.tokens_per_s)} repeats of {self.seconds:.0f} s. "
            f"Parameters, active of total: pollux {ours.active:,} of {ours.total:,}, transformers "
            f"{theirs.active:,} of {theirs.total:,} (expert_dim {self.expert_dim}). "
            f"{self.machine}; {torch}"
        )


def bench_train(
    *,
    seconds: float = 60.0,
    repeats: int = 3,
    torch_python: Path | None = None,
    config: Config = SPARK,
    stages: tuple[Stage, ...] = RECIPES["spark"].stages,
) -> TrainBench:
    """Tokens a second of our training step and of Mixtral's, `repeats` runs of `seconds` each.

    `torch_python`: a Python that has torch and transformers, where this one has not.
    """
    if seconds <= 0 or repeats < 1:
        raise RecipeError("seconds and repeats must be above 0")
    python = str(torch_python or sys.executable)
    torch_versions, idle = _torch_versions(python), machine()
    genres, source = _genres(stages)
    shape = mixtral_shape(config, max(stage.length for stage in stages))
    job = {
        "shape": shape,
        "config": dataclasses.asdict(config),
        "threads": cores(),
        "least": LEAST_STEPS,
    }
    benches: list[StageBench] = []
    with TemporaryDirectory(prefix="pollux-bench-") as scratch:
        for stage in stages:
            stage = dataclasses.replace(stage, genres=genres)
            found, transformers = _stage(stage, job, seconds, repeats, python, Path(scratch))
            benches.append(found)
    return TrainBench(
        stages=tuple(benches),
        source=source,
        seconds=seconds,
        parameters={"pollux": parameters(config), "transformers": transformers},
        expert_dim=shape["intermediate_size"],
        machine=idle,
        torch_versions=torch_versions,
    )


def _stage(
    stage: Stage, job: dict[str, Any], seconds: float, repeats: int, python: str, scratch: Path
) -> tuple[StageBench, Parameters]:
    """One stage, and Mixtral's parameters."""
    batches, batch_seconds = _prepare(stage, scratch)

    def measure(candidate: Candidate, length: float) -> dict[str, Any]:
        asked = {**job, "batches": str(batches), "seconds": length}
        if length < seconds and not candidate.compiled:  # a long step takes ten seconds
            asked |= BRIEF
        return _measure(candidate, asked, python, scratch)

    tokens = stage.rows * stage.length
    screened, theirs, ours, transformers = _compare(measure, seconds, repeats, tokens)
    found = StageBench(
        steps=stage.steps,
        rows=stage.rows,
        length=stage.length,
        supervised=stage.supervised,
        ours=ours,
        theirs=theirs,
        screened=screened,
        batch_seconds=batch_seconds,
    )
    return found, transformers


def mixtral_shape(config: Config, length: int) -> dict[str, Any]:
    """MixtralConfig's arguments for `config`'s shape and, nearly, its active parameters."""
    d, e = config.embed_dim, config.experts
    layers = config.read_layers + config.answer_layers
    top_k = max(1, e.top_k)
    attention = 2 * d * config.head_dim * (config.num_heads + config.num_kv_heads)
    elsewhere = config.embeddings * d + d + layers * (attention + d * e.num_experts + 2 * d)
    expert_dim = (parameters(config).active - elsewhere) / (layers * top_k * 3 * d)
    return {
        "vocab_size": config.embeddings,
        "hidden_size": d,
        "intermediate_size": max(16, round(expert_dim / 16) * 16),
        "num_hidden_layers": layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": length,
        "sliding_window": config.window,
        "num_local_experts": max(1, e.num_experts),
        "num_experts_per_tok": top_k,
        "tie_word_embeddings": True,
        "use_cache": False,
    }


def _compare(
    measure: Callable[[Candidate, float], dict[str, Any]], seconds: float, repeats: int, tokens: int
) -> tuple[tuple[Throughput, ...], tuple[Throughput, ...], Throughput, Parameters]:
    """What was screened, what was measured of theirs, ours, and Mixtral's parameters."""
    counted = Parameters(total=0, active=0)

    def speed(candidate: Candidate, seconds: float) -> Throughput:
        nonlocal counted
        try:
            found = measure(candidate, seconds)
        except PolluxError as error:
            if candidate is OURS:
                raise
            return Throughput(candidate=candidate, failure=str(error))
        if candidate is not OURS:
            counted = Parameters(total=found["total"], active=found["active"])
        per_second = tokens * len(found["step_s"]) / sum(found["step_s"])
        return Throughput(candidate=candidate, tokens_per_s=(per_second,))

    screened = [speed(c, seconds * SCREEN_SHARE) for c in _shown(_candidates(), "trying")]
    plain = _best_of_families(screened)
    if not plain:
        raise PolluxError(f"Mixtral does not run: {screened[0].failure}")
    compiled = [dataclasses.replace(c, compiled=True) for c in plain]
    tried = [speed(c, seconds * SCREEN_SHARE) for c in _shown(compiled, "trying")]
    chosen = [
        *(dataclasses.replace(c, logits=logits) for c in plain for logits in LOGITS),
        *(t.candidate for t in tried if t.median == max(t.median for t in tried) > 0),
    ]
    rounds = [c for _ in range(repeats) for c in (OURS, *chosen)]
    measured = [speed(c, seconds) for c in _shown(rounds, "measuring")]
    ours, *theirs = (_joined([m for m in measured if m.candidate == c]) for c in (OURS, *chosen))
    return (*screened, *tried), tuple(theirs), ours, counted


def _joined(repeats: list[Throughput]) -> Throughput:
    return Throughput(
        candidate=repeats[0].candidate,
        tokens_per_s=tuple(speed for t in repeats for speed in t.tokens_per_s),
        failure=next((t.failure for t in repeats if t.failure), ""),
    )


def _candidates() -> list[Candidate]:
    return [
        Candidate(
            program="transformers",
            precision=precision,
            attention=attention,
            experts=experts,
            logits="supervised",
        )
        for precision in ("float32", "autocast", "bfloat16")
        for attention in ("sdpa", "eager")
        for experts in ("eager", "grouped_mm")
    ]


def _best_of_families(screened: list[Throughput]) -> list[Candidate]:
    best: dict[str, Throughput] = {}
    for t in screened:
        if t.tokens_per_s and t.median > getattr(best.get(t.candidate.family), "median", 0.0):
            best[t.candidate.family] = t
    return [t.candidate for t in best.values()]


def _shown(candidates: list[Candidate], doing: str) -> Iterable[Candidate]:
    console = rich.console.Console(stderr=True)
    with rich.progress.Progress(console=console, transient=True) as progress:
        task = progress.add_task(doing, total=len(candidates))
        for candidate in candidates:
            progress.update(task, description=f"{doing} {candidate}")
            yield candidate
            progress.advance(task)


def _genres(stages: tuple[Stage, ...]) -> tuple[dict[str, float], str]:
    """Those of the recipe where its data are, else what every Python has; what they are called."""
    if corpora.data_directory():
        return stages[0].genres, "recipe spark"
    source = "the standard library (POLLUX_DATA is not set)"
    return {"code": 1.0, "random": 1.0}, source


def _prepare(stage: Stage, scratch: Path) -> tuple[Path, float]:
    """A file of batches, stacked, and the seconds that one took."""
    kit = mixture.kit(Tokenizer.load(), tuple(stage.genres))
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    batches = [mixture.batch(kit, stage, rng) for _ in range(BATCHES)]
    seconds = (time.perf_counter() - start) / BATCHES
    stacked: Any = {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
    np.savez(scratch / "batches.npz", **stacked)
    return scratch / "batches.npz", seconds


def _measure(
    candidate: Candidate, job: dict[str, Any], python: str, scratch: Path
) -> dict[str, Any]:
    """The result of one process."""
    warmup = BATCHES if candidate.compiled else WARMUP_STEPS  # torch.compile may compile again
    job = {"warmup": warmup, **job, **dataclasses.asdict(candidate)}
    script, other = ("step", None) if candidate.program == "pollux" else ("mixtral", python)
    limit = COMPILE_SECONDS + 3 * job["seconds"]
    try:
        return measured(script, job, scratch, limit, other)
    except (TimeoutError, PolluxError) as error:
        raise PolluxError(f"{candidate}: {error}") from None


def _torch_versions(python: str) -> dict[str, str]:
    """Of torch and transformers in that Python; says how to get them where they are missing."""
    script = (
        "import json, torch, transformers as t; "
        "print(json.dumps({'torch': torch.__version__, 'transformers': t.__version__}))"
    )
    try:
        run = subprocess.run([python, "-c", script], capture_output=True, text=True)
    except OSError as error:
        raise PolluxError(f"cannot run {python} ({error.strerror}); name a Python") from None
    try:
        found = json.loads(run.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        found = {}
    if int(found.get("transformers", "0").split(".")[0]) < 5:
        raise PolluxError(
            f"{python} has no torch and transformers 5: install them ({INSTALL}), best in an "
            "environment of their own, and name its Python with --torch-python"
        )
    return found
