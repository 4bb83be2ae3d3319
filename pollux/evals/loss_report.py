# SPDX-License-Identifier: Apache-2.0
"""The law that loss follows, and the picture and numbers of a run: loss.png and loss.json."""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pollux.evals.loss import Curve
from pollux.evals.needle_results import machine, replace

FORMAT = "pollux loss 1"
LEAST_POINTS = 4  # for three numbers
EXPONENTS = -np.geomspace(0.005, 4.0, 1_000)
MEANING = {
    "loss": "mean negative log-likelihood of the tokens from start to before end, nats a token",
    "cumulative": "the same of all tokens before end; errors are standard errors",
    "law": "cumulative(x) = a x^b + c by least squares of relative errors; r2 on a log scale",
}


@dataclass(frozen=True, kw_only=True)
class Law:
    """loss(x) = a x^b + c, x tokens."""

    a: float
    b: float
    c: float
    r2: float

    def __call__(self, tokens: np.ndarray) -> np.ndarray:
        return self.a * tokens**self.b + self.c

    def __str__(self) -> str:
        return f"{self.a:.3g} x^{self.b:.3g} + {self.c:.3g}, R² {self.r2:.4f}"


def fit(tokens: Sequence[int] | np.ndarray, loss: Sequence[float] | np.ndarray) -> Law | None:
    """The power law nearest to the losses; None where there are too few.

    For an exponent the rest is linear, so exponents are tried one after another. Errors are
    relative, which is what is seen on log-log axes. No loss is below 0, so c is not either.
    """
    x, y = np.asarray(tokens, float), np.asarray(loss, float)
    if len(x) < LEAST_POINTS:
        return None
    best: tuple[float, Law] | None = None
    spread = float(((np.log(y) - np.log(y).mean()) ** 2).sum())
    for b in EXPONENTS:
        columns = np.stack([x**b, np.ones_like(x)], 1) / y[:, None]
        (a, c), *_ = np.linalg.lstsq(columns, np.ones_like(x), rcond=None)
        if c < 0:
            a, c = columns[:, 0].sum() / (columns[:, 0] ** 2).sum(), 0.0
        made = a * x**b + c
        if (made <= 0).any():
            continue
        left = float(((np.log(y) - np.log(made)) ** 2).sum())
        if best is None or left < best[0]:
            r2 = 1 - left / spread if spread else 0.0
            best = left, Law(a=float(a), b=float(b), c=float(c), r2=r2)
    return best[1] if best else None


def law(curve: Curve) -> Law | None:
    """Of the cumulative loss."""
    return fit([s.end for s in curve.stretches], [s.cumulative for s in curve.stretches])


def save(curves: Sequence[Curve], settings: dict[str, Any], directory: Path) -> None:
    """loss.json and loss.png, each written beside and renamed."""
    directory.mkdir(parents=True, exist_ok=True)
    made = {
        "format": FORMAT,
        "meaning": MEANING,
        "settings": settings,
        "machine": machine(),
        "documents": [
            asdict(curve) | {"law": asdict(found) if (found := law(curve)) else None}
            for curve in curves
        ],
    }
    text = json.dumps(made, ensure_ascii=False, indent=1)
    replace(directory / "loss.json", text.encode("utf-8", "replace"))
    replace(directory / "loss.png", picture(curves))


def picture(curves: Sequence[Curve]) -> bytes:
    """A panel a document: cumulative loss with its law, and the loss of each stretch."""
    from matplotlib.figure import Figure

    figure = Figure((5.5 * len(curves), 4.2), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for number, (axes, curve) in enumerate(zip(panels, curves, strict=True)):
        ends = np.array([s.end for s in curve.stretches], float)
        middles = np.sqrt(ends * np.array([max(1, s.start) for s in curve.stretches]))
        losses = [(s.loss, s.error, s.cumulative, s.cumulative_error) for s in curve.stretches]
        loss, error, cumulative, cumulative_error = np.array(losses).T
        label = "in a stretch" if number == 0 else None
        axes.errorbar(middles, loss, 1.96 * error, fmt=".", color="0.65", label=label)
        label = "of everything up to there" if number == 0 else None
        axes.errorbar(
            ends, cumulative, 1.96 * cumulative_error, fmt="o", ms=4, color="C0", label=label
        )
        if found := law(curve):
            along = np.geomspace(ends[0], ends[-1], 200)
            axes.plot(along, found(along), "--", color="C1", label=str(found))
        title = f"{Path(curve.document).name}, {curve.tokens:,} tokens"
        axes.set(xscale="log", xlabel="tokens before", title=title)
        axes.grid(alpha=0.3)
        axes.legend()
    panels[0].set_ylabel("nats a token, 95% intervals")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
