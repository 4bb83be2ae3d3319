# SPDX-License-Identifier: Apache-2.0
"""Pictures as files."""

import io

import numpy as np
from jaxtyping import UInt8

from pollux.errors import InputError


def png(pixels: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """A PNG; InputError where Pillow is not installed."""
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise InputError("pictures are saved by Pillow: pip install 'pollux[media]'") from None
    beside = io.BytesIO()
    Image.fromarray(pixels).save(beside, "PNG")
    return beside.getvalue()
