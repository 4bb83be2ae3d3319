# SPDX-License-Identifier: Apache-2.0
"""The read stack, compiled (read.c): what model.read gives, from the same weights."""

import ctypes
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32

from pollux.config import Config
from pollux.model.read import ReadLayer
from pollux.native.library import THREADS, address, compiled
from pollux.ops.attention import MASKED

LANES, WIDE = 16, 64  # columns of a matrix: in a register, and side by side
HEAD, WINDOW, EXPERTS = 64, 256, 64  # of a model, at most
NUMBERS = {
    "MASKED": MASKED,
    "SMALL": 1e-6,  # what norms add to a square and shares to a sum
    "LANES": LANES,
    "WIDE": WIDE,
    "HEAD": HEAD,
    "WINDOW": WINDOW,
    "EXPERTS": EXPERTS,
}
PIECE = 512  # tokens that are worth a thread

_SIZES = "embed heads kv_heads head window taps experts top hidden shared".split()
_MATRICES = (
    "norm taps query_key_value query_norm key_norm out "
    "experts_norm router bias up down shared_up shared_down"
).split()


class _Shape(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in _SIZES]


class _Layer(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in _MATRICES]


def stack(layers: Sequence[ReadLayer], cfg: Config) -> "Stack | None":
    """None where it cannot be compiled or the model's sizes are none that it can do."""
    sizes = cfg.embed_dim, cfg.head_dim, cfg.window, cfg.experts.shared_dim
    even = not any(size % LANES for size in (*sizes, cfg.experts.expert_dim))
    few = cfg.head_dim <= HEAD and cfg.window <= WINDOW and cfg.experts.num_experts <= EXPERTS
    made = compiled("read.c", NUMBERS) if even and few else None
    return None if made is None else Stack(layers, cfg, made)


class Stack:
    """All read layers of a model, ready to run."""

    def __init__(self, layers: Sequence[ReadLayer], cfg: Config, library: ctypes.CDLL):
        experts = cfg.experts
        self.config = cfg
        self.shape = _Shape(
            embed=cfg.embed_dim,
            heads=cfg.num_heads,
            kv_heads=cfg.num_kv_heads,
            head=cfg.head_dim,
            window=cfg.window,
            taps=cfg.conv_width,
            experts=experts.num_experts,
            top=experts.top_k if experts.num_experts else 0,
            hidden=experts.expert_dim,
            shared=experts.shared_dim,
        )
        self.arrays = [_arrays(layer) for layer in layers]  # kept: the library has their addresses
        self.layers = [_Layer(**{k: address(v) for k, v in one.items()}) for one in self.arrays]
        half = cfg.head_dim // 2
        angle = np.arange(2 * cfg.window)[:, None] * cfg.rope_theta ** (-np.arange(half) / half)
        self.turn = np.concatenate([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
        pointer, count = ctypes.c_void_p, ctypes.c_int64
        self.layer: Any = library.pollux_read_layer
        shape = ctypes.POINTER(_Shape)
        self.layer.argtypes = (
            *(shape, ctypes.POINTER(_Layer), pointer, pointer),
            *(pointer, pointer, count, pointer, pointer, pointer),
        )
        self.room: Any = library.pollux_read_room
        self.room.argtypes = (shape, count)
        self.room.restype = count
        self.threads, self.own = ThreadPoolExecutor(THREADS), threading.local()

    def read(
        self,
        x: Float32[np.ndarray, "T D"],
        segment: Int32[np.ndarray, " L"],
        before: Float32[np.ndarray, "layers P D"],
    ) -> tuple[Float32[np.ndarray, "T D"], Float32[np.ndarray, "layers P D"]]:
        """What model.read.read gives of T tokens, whole windows; L = P + T.

        `before`: the last P inputs of each layer; as what comes second, for the next tokens.
        """
        tokens, window = len(x), self.config.window
        if tokens % window:
            raise ValueError(f"{tokens} tokens are no multiple of window {window}")
        x, segment = np.ascontiguousarray(x), np.ascontiguousarray(segment, np.int32)
        before, after = np.ascontiguousarray(before), np.empty_like(before)
        share = max(-(-PIECE // window), -(-self.config.state_tokens // window)) * window
        starts = range(0, tokens, share)
        for number in range(len(self.layers)):
            out = np.empty_like(x)

            def piece(start: int, x=x, out=out, number=number) -> int:
                end = min(start + share, tokens)
                return self.layer(
                    *(self.shape, self.layers[number], address(self.turn)),
                    None if start else address(before[number]),
                    *(address(x[start:]), address(segment[start:]), end - start, self._room(share)),
                    *(address(out[start:]), address(after[number]) if end == tokens else None),
                )

            if any(self.threads.map(piece, starts)):
                raise ValueError(f"read.c cannot do {self.config.name}")
            x = out
        return x, after

    def _room(self, tokens: int) -> int:
        """Where a thread keeps what it works on."""
        size = self.room(self.shape, tokens)
        if len(getattr(self.own, "room", ())) < size:
            self.own.room = np.empty(size, np.uint8)
        return address(self.own.room)


def _arrays(layer: ReadLayer) -> dict[str, np.ndarray]:
    """A layer's weights as read.c takes them."""
    experts, width = layer.experts, layer.query.shape[0]
    projections = [layer.query, layer.key, layer.value]
    columns = np.concatenate([np.asarray(one).reshape(width, -1) for one in projections], 1)
    arrays = {
        **{name: getattr(layer, name) for name in ("norm", "taps", "query_norm", "key_norm")},
        "query_key_value": packed(columns),
        "out": packed(np.asarray(layer.out).reshape(-1, width)),
        "experts_norm": layer.experts_norm,
        "shared_up": packed(np.asarray(experts.shared_up)),
        "shared_down": packed(np.asarray(experts.shared_down)),
    }
    if experts.router is not None:
        router = np.asarray(experts.router)
        arrays["router"] = packed(np.pad(router, ((0, 0), (0, -router.shape[1] % LANES))))
        arrays["bias"] = experts.bias
        for name in ("up", "down"):
            arrays[name] = np.stack([packed(one) for one in np.asarray(getattr(experts, name))])
    return {name: np.ascontiguousarray(a, np.float32) for name, a in arrays.items()}


def packed(matrix: Float32[np.ndarray, "rows columns"]) -> Float32[np.ndarray, " size"]:
    """WIDE columns after another, each as rows of WIDE."""
    starts = range(0, matrix.shape[1], WIDE)
    return np.concatenate([matrix[:, start : start + WIDE].ravel() for start in starts])
