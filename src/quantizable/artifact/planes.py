"""Bit planes: plane 1 holds the most significant bit of every code of a layer, plane 8 the least.

A plane of n codes takes ceil(n / 8) bytes; code i is bit i % 8 of byte i // 8, counted from the least significant bit, and the
bits past the last code are 0. Eight codes in a row and one byte of each of the eight planes are the same 8x8 bits, turned over
the diagonal: one routine packs and unpacks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

N_PLANES = 8
_BLOCK = 2**14  # words of 8 bytes turned at a time: they stay in the cache
_TURNS = ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0))  # swap 1x1, 2x2, 4x4 corners


def plane_bytes(n_codes: int) -> int:
    """Return the bytes of one plane of `n_codes` codes."""
    return -(-n_codes // 8)


def pack_planes(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the eight planes of `codes` (any shape, n codes in C order), most significant first: uint8 (8, ceil(n / 8))."""
    octets = np.zeros((plane_bytes(codes.size), 8), np.uint8)
    octets.reshape(-1)[: codes.size] = codes.reshape(-1)
    _turn(octets)
    return np.ascontiguousarray(octets.T[::-1])


def unpack_planes(planes: Sequence[NDArray[np.uint8]], n_codes: int) -> NDArray[np.uint8]:
    """Return the `n_codes` codes whose first planes these are, uint8 (n_codes,); the bits of the planes not given are 0.

    Args:
        planes: plane 1, plane 2, ...: up to eight uint8 arrays of ceil(n_codes / 8) bytes.
    """
    octets = np.zeros((plane_bytes(n_codes), 8), np.uint8)
    for number, plane in enumerate(planes, start=1):
        octets[:, N_PLANES - number] = plane
    _turn(octets)
    return octets.reshape(-1)[:n_codes]


def _turn(octets: NDArray[np.uint8]) -> None:
    """Exchange bit i of byte j with bit j of byte i in every row of `octets`, uint8 (n, 8), in place."""
    words = octets.view("<u8").reshape(-1)
    for start in range(0, words.size, _BLOCK):
        block = words[start : start + _BLOCK]
        for shift, mask in _TURNS:
            swapped = (block ^ (block >> np.uint64(shift))) & np.uint64(mask)
            block ^= swapped ^ (swapped << np.uint64(shift))
