"""Bit planes, against numpy's own packing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from quantizable.artifact.planes import pack_planes, plane_bytes, unpack_planes

CODES = arrays_of.arrays(np.uint8, st.integers(1, 70))  # across several bytes of a plane, every remainder


@given(codes=CODES)
def test_plane_b_holds_bit_b_of_every_code(codes):
    """Law, the file: code i is bit i % 8 of byte i // 8, least significant first; plane 1 is the most significant bit."""
    planes = pack_planes(codes)
    assert planes.shape == (8, plane_bytes(codes.size))
    for number, plane in enumerate(planes, start=1):
        assert np.array_equal(plane, np.packbits((codes >> (8 - number)) & 1, bitorder="little"))


@given(codes=CODES, bits=st.integers(0, 8))
def test_planes_give_the_top_bits_back(codes, bits):
    """Law, the file: b planes give the top b bits of every code."""
    assert np.array_equal(unpack_planes(list(pack_planes(codes)[:bits]), codes.size), codes & (0xFF00 >> bits & 0xFF))


@pytest.mark.parametrize("n_codes", [8 * 2**14 - 1, 8 * 2**14, 8 * 2**14 + 1])
def test_blocks_meet(n_codes):
    """The work goes block by block: nothing is lost one before and one past a block."""
    codes = np.random.default_rng(0).integers(0, 256, n_codes, dtype=np.uint8)
    assert np.array_equal(unpack_planes(list(pack_planes(codes)), n_codes), codes)
