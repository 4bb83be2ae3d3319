# SPDX-License-Identifier: Apache-2.0
"""Sound to log-mel frames, as it comes: what came before is forgotten, what comes is not known.

A frame every 10 ms looks at the 25 ms that begin there; its bins are triangles on Slaney's mel
scale. No frame depends on how loud the rest is, so a chunk gives what the whole would give.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float32
from numpy.lib.stride_tricks import sliding_window_view

RATE = 16_000  # samples a second
HOP = 160
WINDOW = 400
BINS = 64
TOKEN_FRAMES = 4  # 40 ms
SECOND = RATE // HOP  # frames
FLOOR = 1e-5  # added to the energy of a bin: some 30 dB above the noise of 16 bits
_FFT = 512
_STRIPS = 10  # a product so small is left to one core: waiting for others took ten times as long


def log_mel(samples: Float32[np.ndarray, "N"]) -> Float32[np.ndarray, f"T {BINS}"]:
    """Of a whole recording; T is ceil(N / HOP), up to a whole token."""
    blocks = [*mel_blocks([samples])]
    return np.concatenate(blocks) if blocks else np.zeros((0, BINS), np.float32)


def mel_blocks(
    chunks: Iterable[Float32[np.ndarray, "_"]],
) -> Iterator[Float32[np.ndarray, f"T {BINS}"]]:
    """A second at a time, however the samples come; silence fills up the last token.

    The same samples give the same bits, since it is always a second that is computed at once.
    """
    size = (SECOND - 1) * HOP + WINDOW
    rest = np.zeros(0, np.float32)
    for chunk in chunks:
        rest = np.concatenate([rest, chunk])
        while len(rest) >= size:
            yield _block(rest[:size])
            rest = rest[SECOND * HOP :]
    while len(rest):
        tokens = -(-len(rest) // (HOP * TOKEN_FRAMES))
        missing = max(0, size - len(rest))
        yield _block(np.pad(rest, (0, missing))[:size])[: tokens * TOKEN_FRAMES]
        rest = rest[SECOND * HOP :]


def _block(samples: Float32[np.ndarray, "N"]) -> Float32[np.ndarray, f"T {BINS}"]:
    frames = sliding_window_view(samples, WINDOW)[::HOP] * _HANN
    spectrum = np.fft.rfft(frames, _FFT)
    energy = (spectrum.real**2 + spectrum.imag**2).reshape(_STRIPS, -1, _FFT // 2 + 1)
    return np.log(energy @ _FILTERS + np.float32(FLOOR)).reshape(-1, BINS)


def _filters() -> Float32[np.ndarray, f"F {BINS}"]:
    """Triangles with peak 1, their corners evenly strewn over the mel scale up to 8 kHz."""
    corners = _hertz(np.linspace(0, _mel(RATE / 2), BINS + 2))
    at = np.fft.rfftfreq(_FFT, 1 / RATE)[:, None]
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (at - left) / (middle - left), (right - at) / (right - middle)
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def _mel(hertz: float) -> float:
    """Slaney's scale: 15 mel up to 1 kHz, and from there 27 for every factor of 6.4."""
    return 15 + 27 * float(np.log(hertz / 1000) / np.log(6.4))


def _hertz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 1000 / 15, 1000 * 6.4 ** ((mel - 15) / 27))


_HANN = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
_FILTERS = _filters()
