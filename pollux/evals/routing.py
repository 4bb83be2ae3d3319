# SPDX-License-Identifier: Apache-2.0
"""Which experts serve what: the share of the load that each kind of input puts on each of them.

A kind is text of one sort, or what pictures and recordings become while they are read; all of it is
held out. The routers of the read stack choose, for every token.
"""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from pollux.engine.model import Loaded
from pollux.errors import InputError
from pollux.evals import haystack, media
from pollux.evals.needle_results import machine, replace
from pollux.model import decoder, read

FORMAT = "pollux routing 1"
CHUNK = 256  # tokens read together, each by itself
CHINESE = "evals/cmrc2018-dev.jsonl.xz", "github.com/ymcui/cmrc2018", "--kind chinese"
CASES = 400  # pictures and clips of a kind at most


@dataclass(frozen=True, kw_only=True)
class Load:
    """`shares`: of each read layer's load on each of its experts."""

    kind: str
    tokens: int
    shares: tuple[tuple[float, ...], ...]


Tokens = Int[np.ndarray, " n"]


def _text(model: Loaded, text: str) -> Iterator[Tokens]:
    yield model.tokenizer.encode(text)


def _book(model: Loaded, most: int, seed: int) -> Iterator[Tokens]:
    return _text(model, haystack.book(model.tokenizer, most, np.random.default_rng(seed)))


def _chinese(model: Loaded, most: int, seed: int) -> Iterator[Tokens]:
    for row in haystack.rows(*CHINESE):
        yield from _text(model, row["context"] + "\n")


def _transcript(model: Loaded, most: int, seed: int) -> Iterator[Tokens]:
    return _text(model, "\n".join(line.text for line in haystack.transcript()[:most]))


def _code(model: Loaded, most: int, seed: int) -> Iterator[Tokens]:
    parts = haystack.code(None)
    for number in np.random.default_rng(seed).permutation(len(parts)):
        yield from _text(model, parts[number].text)


def _of_row(row: str, model: Loaded, most: int, seed: int) -> Iterator[Tokens]:
    """What the pictures or clips of a row of `eval media` become, their names included."""
    bench = media.bench(model)
    cases = islice(media.ROWS[row](bench, np.random.default_rng(seed)), CASES)
    while together := list(islice(cases, media.AT_ONCE)):
        for reading in media.readings(model, together):
            yield np.asarray(reading.tokens[: reading.parts[-1].end])


KINDS: dict[str, Callable[[Loaded, int, int], Iterator[Tokens]]] = {
    "book": _book,
    "chinese": _chinese,
    "transcript": _transcript,
    "code": _code,
    "writing on pictures": partial(_of_row, "written"),
    "things in pictures": partial(_of_row, "icons-style"),
    "speech": partial(_of_row, "sentences"),
}


def measure(model: Loaded, kind: str, most: int, seed: int) -> Load:
    """Over at most that many tokens of a kind; InputError where there is not a chunk of them."""
    held, count = [], 0
    for tokens in KINDS[kind](model, most, seed):
        held.append(tokens)
        count += len(tokens)
        if count >= most:
            break
    chunks = min(count, most) // CHUNK
    if not chunks:
        raise InputError(f"{kind}: {count} tokens are too few, {CHUNK} are needed")
    table = np.concatenate(held)[: chunks * CHUNK].astype(np.int32).reshape(chunks, CHUNK)
    shares = np.mean([_loads(model, jnp.asarray(row)) for row in table], 0)
    return Load(kind=kind, tokens=table.size, shares=tuple(map(tuple, shares.tolist())))


def _loads(model: Loaded, tokens: Int[jax.Array, " T"]) -> Float[np.ndarray, "layers E"]:
    return np.asarray(_read(model.config, model.weights, tokens))


@partial(jax.jit, static_argnums=0)
def _read(cfg: Any, weights: decoder.Decoder, tokens: Int[jax.Array, " T"]) -> jax.Array:
    segment = jnp.zeros((1, CHUNK), jnp.int32)
    return decoder.read_chunk(weights, cfg, tokens[None], segment, read.empty_state(cfg, 1))[2]


def apart(loads: Sequence[Load]) -> Float[np.ndarray, "K K"]:
    """How differently two kinds are served: half the sum of what differs, mean over layers."""
    shares = np.array([load.shares for load in loads])
    return np.abs(shares[:, None] - shares[None]).sum(-1).mean(-1) / 2


def save(loads: Sequence[Load], settings: dict[str, Any], directory: Path) -> None:
    """routing.json and routing.png."""
    directory.mkdir(parents=True, exist_ok=True)
    made: dict[str, Any] = {"format": FORMAT, "settings": settings, "machine": machine()}
    made |= {"kinds": [asdict(load) for load in loads], "apart": apart(loads).round(4).tolist()}
    text = json.dumps(made, ensure_ascii=False, indent=1)
    replace(directory / "routing.json", text.encode("utf-8", "replace"))
    replace(directory / "routing.png", picture(loads))


def picture(loads: Sequence[Load]) -> bytes:
    """A panel a layer: a row for each kind, a column for each expert."""
    from matplotlib.figure import Figure

    shares = np.array([load.shares for load in loads])
    kinds, layers, experts = shares.shape
    figure = Figure((2.4 * layers + 1.6, 0.42 * kinds + 1.3), dpi=120, layout="constrained")
    panels = figure.subplots(1, layers, squeeze=False, sharey=True)[0]
    for number, axes in enumerate(panels):
        shown = axes.imshow(shares[:, number], "Greens", vmin=0, vmax=shares.max(), aspect="auto")
        axes.set(title=f"read layer {number + 1}", xlabel="expert", xticks=range(experts))
        axes.set_xticklabels(range(1, experts + 1))
    panels[0].set_yticks(range(kinds), [load.kind for load in loads])
    figure.colorbar(shown, ax=panels[-1], label="share of the load")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
