"""Generators: a function of purpose and numbers, and no two of them alike."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from quantizable.data.seeding import Purpose, generator
from quantizable.errors import DataError


def test_no_two_seeds_share_a_stream() -> None:
    """Every purpose and every short list of numbers, padded ones and large ones too, starts with another draw."""
    lists = [numbers for length in (1, 2, 3) for numbers in itertools.product((0, 1, 2, 2**32, 2**40), repeat=length)]
    first = [int(generator(purpose, *numbers).integers(2**63)) for purpose in Purpose for numbers in lists]
    assert len(set(first)) == len(first) == 4 * 155


def test_the_same_numbers_give_the_same_stream() -> None:
    """Also when they come as other integer types, as from NumPy's arrays."""
    assert generator(Purpose.ORDER, 3, 4).random() == generator(Purpose.ORDER, np.int64(3), np.uint8(4)).random()


@pytest.mark.parametrize("numbers", [(-1,), (0, -2), (2**64,)])
def test_numbers_out_of_range_are_refused(numbers: tuple[int, ...]) -> None:
    """Seeds, epochs and batches count from 0."""
    with pytest.raises(DataError, match="must be 0 or more and below"):
        generator(Purpose.ORDER, *numbers)
