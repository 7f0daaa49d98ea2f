"""Hypothesis strategies that several rooms draw from: numbers inside the law's limits, modes, and small arrays of both."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from numpy.typing import NDArray

BITS = st.integers(1, 8)
MAGNITUDES = st.floats(2.0**-30, 2.0**30, width=32)  # beyond these 128 W / r may underflow: its sign is lost
WEIGHTS = st.just(0.0) | st.builds(lambda size, sign: size * sign, MAGNITUDES, st.sampled_from((-1.0, 1.0)))
STEPS = st.floats(2.0**-10, 2.0**10, width=32)  # steps that occur; 1/d and every level d (q - z) are then far from overflow
ZERO_POINTS = st.integers(0, 510).map(lambda halves: halves / 2)  # multiples of 1/2 among the levels of 8 bits
MODE_NAMES = st.just("fp32") | st.builds("w{}a{}".format, BITS, BITS)
MODE_LISTS = st.lists(MODE_NAMES, min_size=1, max_size=6, unique=True)


@st.composite
def weights_and_ranges(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """W, float32 (out, in) with 1 to 4 channels of 1 to 9 weights, zeros included; r > 0, float32 (out,)."""
    out, size = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    weight = draw(arrays_of.arrays(np.float32, (out, size), elements=WEIGHTS))
    channel_range = draw(arrays_of.arrays(np.float32, (out,), elements=MAGNITUDES))
    return weight, channel_range
