# SPDX-License-Identifier: Apache-2.0
"""Arrays that grow are the same as put together at once, and leave nothing behind."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pollux.memory import arrays


@given(st.lists(st.integers(0, 40), min_size=1, max_size=9).filter(any), st.integers(1, 16))
def test_growing_is_joining(sizes, grown):
    before, arrays.GROWN = arrays.GROWN, grown
    try:
        pieces = [np.arange(3 * size, dtype=np.int16).reshape(size, 3) for size in sizes]
        growing = arrays.Growing()
        for piece in pieces:
            growing.append(piece)
        whole = growing.whole()
    finally:
        arrays.GROWN = before
    assert np.array_equal(whole, np.concatenate(pieces)) and whole.dtype == np.int16
    assert whole.ctypes.data % arrays.ALIGNED == 0
    assert not growing.blocks
