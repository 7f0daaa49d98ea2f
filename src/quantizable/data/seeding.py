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

    SPLIT = 1      # which images are held out
    ORDER = 2      # the order of an epoch
    AUGMENT = 3    # crops and flips of a batch in memory
    CROP = 4       # crop and flip of one file


def generator(purpose: Purpose, *numbers: int) -> np.random.Generator:
    """Return a fresh generator of this purpose and these numbers (each 0 or more).

    The count of numbers is part of the seed: NumPy pads short seeds with zeros, so (1, 2) and (1, 2, 0) would coincide.

    Raises:
        DataError: a number is negative.
    """
    if any(number < 0 for number in numbers):
        raise DataError(f"data: seeds, epochs and batch numbers must be 0 or more, found {tuple(map(int, numbers))}; use a seed from 0 up")
    return np.random.default_rng([int(purpose), len(numbers), *(int(number) for number in numbers)])
