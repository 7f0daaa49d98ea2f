"""Held-out images: the right number of each class, none twice, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantizable.data.labels import as_labels, held_out
from quantizable.errors import DataError


@given(labels=st.lists(st.integers(0, 6), min_size=2, max_size=60), data=st.data(), seed=st.integers(0, 2**40))
def test_every_class_gives_its_share_and_no_image_is_lost(labels: list[int], data: st.DataObject, seed: int) -> None:
    """The two parts are a partition; no class is more than one image from its exact share."""
    y = np.asarray(labels, dtype=np.int64)
    count = data.draw(st.integers(0, len(y) - 1))
    stay, out = held_out(y, count, seed=seed, where="test")
    assert len(out) == count
    assert sorted([*stay, *out]) == list(range(len(y)))
    for label in set(labels):
        assert abs(np.sum(y[out] == label) - count * np.sum(y == label) / len(y)) < 1


def test_the_seed_alone_decides() -> None:
    """Same seed, same split; another seed, another."""
    y = np.arange(1000) % 10
    first, again, other = (held_out(y, 100, seed=seed, where="test")[1] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("count", [-1, 4, 5])
def test_holding_out_all_images_or_more_is_refused(count: int) -> None:
    """Something must stay to learn from."""
    with pytest.raises(DataError, match=f"cannot hold out {count} of 4 images; choose 0 to 3"):
        held_out(np.zeros(4, np.int64), count, seed=0, where="test")


@pytest.mark.parametrize("raw", [[0.0, 1.0], [[0], [1]], ["cat"]])
def test_labels_that_are_not_whole_numbers_are_refused(raw: list[object]) -> None:
    """A float is not rounded in silence."""
    with pytest.raises(DataError, match="labels must be integers"):
        as_labels(raw, where="test")
