"""Random generators that depend on nothing but the numbers they are made from.

Every draw of this room is a pure function of (purpose, seed, epoch, index), so a run that is resumed in the middle of an
epoch, or spread over other processes, sees the same pictures.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from quantizable.errors import DataError


class Purpose(IntEnum):
    """What a generator is for: two purposes never share a stream, whatever their other numbers are."""

    SPLIT = 1  # which images are held out
    ORDER = 2  # the order of an epoch
    AUGMENT = 3  # crops and flips of a batch in memory
    CROP = 4  # crop and flip of one file


def generator(purpose: Purpose, *numbers: int) -> np.random.Generator:
    """Return a fresh generator of this purpose and these numbers, each 0 to 2^64 - 1.

    Each number takes two words of 32 bits, and their count is part of the seed: NumPy cuts large numbers into words and pads
    short seeds with zeros, so that (2^32 + 1, 0) and (1, 1), or (1, 2) and (1, 2, 0), could coincide.

    Raises:
        DataError: a number is out of range.
    """
    words = [int(purpose), len(numbers)]
    for number in map(int, numbers):
        if not 0 <= number < 2**64:
            raise DataError(f"data: seeds, epochs and batch numbers must be 0 or more and below 2^64, found {number}; use a seed from 0 up")
        words += [number & 0xFFFFFFFF, number >> 32]
    return np.random.default_rng(words)
