# SPDX-License-Identifier: Apache-2.0
"""What the experts earn: a sparse model and its dense twin of equal active size, on equal batches.

Both are trained by the recipe's first stage, at its plateau: warm-up, then a constant rate, so that
every point of a curve stands for a run of that length. Every batch is fresh data, and the two
models of a seed see the same ones: the mean training loss over the last steps is a loss on text not
seen before, and the models differ by less noise than the seeds do.
"""

import dataclasses
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rich.table

from pollux import params
from pollux.bench.machine import Machine, machine
from pollux.config import Config, dense_twin
from pollux.errors import RecipeError
from pollux.model import decoder
from pollux.train import loop, metrics
from pollux.train.recipe import RECIPES, Recipe

MODELS = ("moe", "dense")
LOSSES = {
    "answer": "answers, nats a token",
    "text": "text, nats a token",
    "loss": "training loss, everything",
}
WINDOW = 50  # steps that a loss is the mean of
LEAST_WINDOWS = 5  # in a run


@dataclass(frozen=True, kw_only=True)
class Parameters:
    total: int
    active: int  # that a supervised token passes through; the tied embedding counts once


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run, its losses the means of the last `window` steps."""

    model: str
    seed: int
    answer: float
    text: float
    loss: float
    step_seconds: float  # median
    seconds: float  # that times the steps: without compiling and checkpoints


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One loss of the two models, over the seeds."""

    moe: float  # mean
    dense: float
    moe_range: tuple[float, float]
    dense_range: tuple[float, float]
    difference: tuple[float, ...]  # dense - moe, a seed each: same batches
    tokens: (
        float  # that the dense twin needs, over those that the mixture needs, of the mean curves
    )
    tokens_of_seeds: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class MoeBench:
    steps: int
    tokens_per_step: int
    window: int
    seeds: tuple[int, ...]
    parameters: dict[str, Parameters]
    runs: tuple[Run, ...]
    verdicts: dict[str, Verdict]
    recipe: str
    picture: Path
    machine: Machine

    def to_json(self) -> str:
        meaning = {
            "loss": "mean of the last `window` training steps, nats a token, every batch fresh",
            "tokens": "the dense twin's over the mixture's, where both reach the worse last loss",
        }
        return json.dumps({"meaning": meaning, **dataclasses.asdict(self)}, indent=1, default=str)

    def table(self) -> rich.table.Table:
        total = self.steps * self.tokens_per_step
        title = f"mixture of experts and dense twin after {total:,} tokens each"
        table = rich.table.Table(title=title, caption=self.caption())
        table.add_column("mean of the seeds (range)")
        for name in ("experts", "dense", "dense - experts, a seed", "dense needs tokens"):
            table.add_column(name, justify="right")
        for name, v in self.verdicts.items():
            table.add_row(
                LOSSES[name],
                f"{v.moe:.3f} ({v.moe_range[0]:.3f}-{v.moe_range[1]:.3f})",
                f"{v.dense:.3f} ({v.dense_range[0]:.3f}-{v.dense_range[1]:.3f})",
                " ".join(f"{d:+.3f}" for d in v.difference),
                f"{v.tokens:.2f}x ({min(v.tokens_of_seeds):.2f}-{max(v.tokens_of_seeds):.2f})",
            )
        moe, dense = (self._minutes(model) for model in MODELS)
        table.add_row("minutes a run", f"{moe:.1f}", f"{dense:.1f}", f"{dense - moe:+.1f}", "")
        return table

    def caption(self) -> str:
        moe, dense = (self.parameters[model] for model in MODELS)
        return (
            f"Equal active parameters but for the routers: {moe.active:,} of {moe.total:,} and "
            f"{dense.active:,} of {dense.total:,}. {len(self.seeds)} seeds, {self.steps} steps of "
            f"{self.tokens_per_step:,} tokens; losses are means of the last {self.window} steps, "
            f"on batches never seen before. {self.machine}"
        )

    def _minutes(self, model: str) -> float:
        return statistics.mean(r.seconds for r in self.runs if r.model == model) / 60


def bench_moe(
    *,
    out: Path,
    steps: int = 250,
    seeds: Sequence[int] = (0, 1, 2),
    resume: bool = False,
    recipe: Recipe = RECIPES["spark"],
) -> MoeBench:
    """Trains both models with each seed in `out`, and writes `moe.json` and `moe.png` there.

    About 1.1 s a step of 4 x 1,024 tokens on two cores. `resume` goes on where a call was cut off.
    """
    if steps < 2 * LEAST_WINDOWS or not seeds:
        raise RecipeError(f"give at least one seed and {2 * LEAST_WINDOWS} steps")
    idle = machine()
    for number, seed in enumerate(seeds):
        turn = 1 if number % 2 == 0 else -1  # neither is always the first
        for model in MODELS[::turn]:
            _run(_recipe(recipe, model, seed, steps), out / f"{model}-{seed}", resume)
    bench = summary(out, recipe, tuple(seeds), steps, idle)
    (out / "moe.json").write_text(bench.to_json() + "\n")
    return bench


def parameters(config: Config) -> Parameters:
    total = params.count(decoder.declare(config))
    e = config.experts
    layers = config.read_layers + config.answer_layers
    idle = (e.num_experts - e.top_k) * 3 * config.embed_dim * e.expert_dim
    return Parameters(total=total, active=total - layers * idle)


def summary(out: Path, recipe: Recipe, seeds: tuple[int, ...], steps: int, on: Machine) -> MoeBench:
    """What the finished runs in `out` say; draws the picture."""
    rows = {
        (model, seed): _table(out / f"{model}-{seed}" / "metrics.csv")
        for model in MODELS
        for seed in seeds
    }
    for (model, seed), table in rows.items():
        if len(table) != steps:
            raise RecipeError(
                f"{out / f'{model}-{seed}'} has {len(table)} of {steps} steps: go on with --resume"
            )
    window = max(1, min(WINDOW, steps // LEAST_WINDOWS))
    tokens_per_step = recipe.stages[0].rows * recipe.stages[0].length
    curves = {
        name: {
            m: np.stack([smooth(_column(rows[m, s], name), window) for s in seeds]) for m in MODELS
        }
        for name in LOSSES
    }
    middles = (np.arange(steps - window + 1) + (window + 1) / 2) * tokens_per_step
    _picture(curves, middles, out / "moe.png")
    return MoeBench(
        steps=steps,
        tokens_per_step=tokens_per_step,
        window=window,
        seeds=seeds,
        parameters={
            "moe": parameters(recipe.config),
            "dense": parameters(dense_twin(recipe.config)),
        },
        runs=tuple(
            _finished(model, seed, table, tokens_per_step, window)
            for (model, seed), table in rows.items()
        ),
        verdicts={name: verdict(middles, c["moe"], c["dense"]) for name, c in curves.items()},
        recipe=recipe.name,
        picture=out / "moe.png",
        machine=on,
    )


def verdict(tokens: np.ndarray, moe: np.ndarray, dense: np.ndarray) -> Verdict:
    """`tokens` [points], curves [seeds, points]."""
    pairs = list(zip(moe, dense, strict=True))
    return Verdict(
        moe=float(moe[:, -1].mean()),
        dense=float(dense[:, -1].mean()),
        moe_range=(float(moe[:, -1].min()), float(moe[:, -1].max())),
        dense_range=(float(dense[:, -1].min()), float(dense[:, -1].max())),
        difference=tuple(float(d[-1] - m[-1]) for m, d in pairs),
        tokens=tokens_needed(tokens, moe.mean(0), dense.mean(0)),
        tokens_of_seeds=tuple(tokens_needed(tokens, m, d) for m, d in pairs),
    )


def tokens_needed(tokens: np.ndarray, moe: np.ndarray, dense: np.ndarray) -> float:
    """Tokens of the dense twin over those of the mixture, at the worse of their two last losses.

    The better one's last loss the other has not reached: of it one could say no more than "more".
    """
    if moe[-1] <= dense[-1]:
        return float(tokens[-1] / reached(tokens, moe, dense[-1]))
    return float(reached(tokens, dense, moe[-1]) / tokens[-1])


def reached(tokens: np.ndarray, curve: np.ndarray, level: float) -> float:
    """Where the curve first falls to `level`, between its points by a straight line."""
    after = int(np.argmax(curve <= level))
    if after == 0:
        return float(tokens[0])
    high, low = curve[after - 1], curve[after]
    share = (high - level) / (high - low)
    return float(tokens[after - 1] + share * (tokens[after] - tokens[after - 1]))


def smooth(y: np.ndarray, window: int) -> np.ndarray:
    """Means of `window` neighbours: [steps - window + 1]."""
    return np.convolve(y, np.ones(window) / window, "valid")


def _recipe(recipe: Recipe, model: str, seed: int, steps: int) -> Recipe:
    config = recipe.config if model == "moe" else dense_twin(recipe.config)
    stage = dataclasses.replace(recipe.stages[0], steps=steps)
    name = f"{model}-{seed}"
    return dataclasses.replace(
        recipe, name=name, config=config, stages=(stage,), seed=seed, decay_share=0.0
    )


def _run(recipe: Recipe, directory: Path, resume: bool) -> None:
    """Trains, unless an earlier call did; refuses to mix with the run of another recipe."""
    description = directory / "recipe.json"
    if resume and description.is_file():
        expected = json.loads(json.dumps(dataclasses.asdict(recipe), default=str))
        if json.loads(description.read_text()) != expected:
            raise RecipeError(f"{directory} holds another run: name another --out, or delete it")
        if (directory / f"{recipe.name}.safetensors").is_file():
            return
    directory.mkdir(parents=True, exist_ok=True)
    loop.train(recipe, directory, resume=resume)


def _table(path: Path) -> np.ndarray:
    """The rows of a run's metrics, [steps, columns]."""
    if not path.is_file():
        return np.zeros((0, len(metrics.COLUMNS)))
    return np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)


def _column(table: np.ndarray, name: str) -> np.ndarray:
    return table[:, metrics.COLUMNS.index(name)]


def _finished(model: str, seed: int, table: np.ndarray, tokens_per_step: int, window: int) -> Run:
    last = {name: float(_column(table, name)[-window:].mean()) for name in LOSSES}
    step_seconds = float(np.median(tokens_per_step / _column(table, "tokens_per_s")))
    return Run(
        model=model,
        seed=seed,
        step_seconds=step_seconds,
        seconds=step_seconds * len(table),
        **last,
    )


def _picture(curves: dict[str, dict[str, np.ndarray]], tokens: np.ndarray, path: Path) -> None:
    """Answers and text against tokens: the mean over the seeds, and their range as a band."""
    from matplotlib.figure import Figure

    figure = Figure((9, 4), layout="constrained")
    labels = {"moe": "mixture of experts", "dense": "dense twin, equal active parameters"}
    for axes, name in zip(figure.subplots(1, 2), ("answer", "text"), strict=True):
        for model, colour in zip(MODELS, ("C0", "C1"), strict=True):
            seeds = curves[name][model]
            axes.plot(tokens / 1e6, seeds.mean(0), color=colour, label=labels[model])
            axes.fill_between(
                tokens / 1e6, seeds.min(0), seeds.max(0), color=colour, alpha=0.25, lw=0
            )
        axes.set(xlabel="million tokens", title=LOSSES[name])
        axes.grid(alpha=0.3)
        axes.set_yscale("log" if name == "answer" else "linear")
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=120)
