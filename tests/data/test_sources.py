"""load_data: one table of names, the same promises for every set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantizable.data import Images, Loader, data_names, load_data
from quantizable.errors import DataError


def test_digits_are_there_without_any_file() -> None:
    """1,797 images; a third is the test set, which no seed changes; classes are balanced in all parts."""
    splits, other = (load_data("digits", validation=200, seed=seed) for seed in (0, 1))
    assert isinstance(splits.train, Images)
    assert isinstance(splits.test, Images)
    assert isinstance(other.test, Images)
    assert splits.validation is not None
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (998, 200, 599)
    assert splits.train.x.shape[1:] == (8, 8, 1)
    assert splits.train.x.max() == 255
    for part in (splits.train, splits.validation, splits.test):
        counts = np.bincount(part.y, minlength=10) / len(part)
        assert np.all(np.abs(counts - 0.1) < 0.01)
    assert np.array_equal(splits.test.x, other.test.x)
    assert not np.array_equal(splits.validation.y, load_data("digits", validation=200, seed=3).validation.y)  # type: ignore[union-attr]


def test_held_out_digits_are_not_trained_on() -> None:
    """Validation comes from the training images: together they are the whole training set, and none is in both."""
    whole = load_data("digits").train
    splits = load_data("digits", validation=300)
    assert isinstance(whole, Images)
    assert isinstance(splits.train, Images)
    assert isinstance(splits.validation, Images)
    parts = [image.tobytes() for part in (splits.train, splits.validation) for image in part.x]
    assert sorted(parts) == sorted(image.tobytes() for image in whole.x)


def test_batches_of_digits_are_normalised() -> None:
    """Over the training set: mean 0, deviation 1."""
    splits = load_data("digits")
    x, _ = next(iter(Loader.in_order(splits.train, batch_size=2000)))
    assert abs(float(x.mean())) < 1e-5
    assert abs(float(x.std()) - 1) < 1e-3


def test_other_moments_reach_every_part() -> None:
    """Float weights come with the moments they were trained with."""
    splits = load_data("digits", validation=100).normalized_by((0.25,), (0.5,))
    for part in (splits.train, splits.validation, splits.test):
        assert part is not None
        assert (part.mean, part.std) == ((0.25,), (0.5,))


@pytest.mark.parametrize(("name", "near"), [("cifr10", "cifar10"), ("tiny_imagenet", "tiny-imagenet"), ("digit", "digits")])
def test_an_unknown_name_gets_the_nearest_and_the_list(name: str, near: str) -> None:
    """Advice is a statement."""
    with pytest.raises(DataError, match=f"the nearest is '{near}'; known are digits, cifar10, cifar100, npz, tiny-imagenet, folder"):
        load_data(name)
    with pytest.raises(DataError, match="named 'zzz'; known are digits"):
        load_data("zzz")


@pytest.mark.parametrize("name", ["npz", "folder", "tiny-imagenet"])
def test_a_set_that_needs_a_root_says_so(name: str) -> None:
    """There is no default place for anybody's own data."""
    with pytest.raises(DataError, match="root"):
        load_data(name)


@pytest.mark.parametrize("name", [name for name in data_names() if name != "digits"])
def test_a_root_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    """Every source tells its path and what it wants there."""
    with pytest.raises(DataError, match="nowhere"):
        load_data(name, root=tmp_path / "nowhere", download=False)


def test_sizes_of_images_in_memory_cannot_be_chosen() -> None:
    """Not ignored in silence."""
    with pytest.raises(DataError, match="8 x 8 and in memory; leave image_size out"):
        load_data("digits", image_size=16)
