"""CIFAR from the archive, from its unpacked folder, and from an .npz: the same images; whatever is damaged is named."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantizable.data import CIFAR10, CIFAR100, CifarArchive, load_cifar, load_data
from quantizable.data.images import Images
from quantizable.errors import DataError

Pack = Callable[[dict[str, bytes]], bytes]
Describe = Callable[[bytes], CifarArchive]


def unpack(root: Path, files: dict[str, bytes]) -> Path:
    folder = root / CIFAR10.folder
    folder.mkdir()
    for name, raw in files.items():
        (folder / name).write_bytes(raw)
    return folder


def test_archive_folder_and_npz_hold_the_same_images(
    tmp_path: Path, batch_files: dict[str, bytes], tar_of: Pack, archive_of: Describe
) -> None:
    """Three ways to the same bytes."""
    raw = tar_of(batch_files)
    roots = [tmp_path / name for name in ("tar", "folder", "npz")]
    for root in roots:
        root.mkdir()
    (roots[0] / "cifar-10-python.tar.gz").write_bytes(raw)
    unpack(roots[1], batch_files)
    first = load_cifar(archive_of(raw), roots[0], download=False)
    assert isinstance(first.train, Images)
    assert isinstance(first.test, Images)
    np.savez(roots[2] / "cifar10.npz", x_train=first.train.x, y_train=first.train.y, x_test=first.test.x, y_test=first.test.y)
    assert first.train.x.shape == (20, 32, 32, 3)
    assert first.test.y.tolist() == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]
    for root in (roots[1], roots[2], roots[2] / "cifar10.npz"):
        again = load_cifar(archive_of(raw), root, download=False)
        for one, other in ((first.train, again.train), (first.test, again.test)):
            assert isinstance(one, Images)
            assert isinstance(other, Images)
            assert np.array_equal(one.x, other.x)
            assert np.array_equal(one.y, other.y)
            assert other.class_names == CIFAR10.class_names


def test_an_archive_with_another_checksum_is_not_opened(
    tmp_path: Path, batch_files: dict[str, bytes], tar_of: Pack, archive_of: Describe
) -> None:
    """Half a download put there by hand is told from a whole one."""
    raw = tar_of(batch_files)
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(raw[:-100])
    with pytest.raises(DataError, match=f"md5 is {hashlib.md5(raw[:-100]).hexdigest()}, expected .* delete it and fetch it again"):
        load_cifar(archive_of(raw), tmp_path)


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_truncated_archive_with_a_fitting_checksum_is_refused(
    tmp_path: Path, batch_files: dict[str, bytes], tar_of: Pack, archive_of: Describe, keep: float
) -> None:
    """The archive itself is read with suspicion too."""
    raw = tar_of(batch_files)
    raw = raw[: int(keep * len(raw)) if keep < 1 else int(keep)]
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(raw)
    with pytest.raises(DataError, match=r"not a whole \.tar\.gz|lacks the file"):
        load_cifar(archive_of(raw), tmp_path)


def test_an_archive_without_a_batch_names_it(tmp_path: Path, batch_files: dict[str, bytes], tar_of: Pack, archive_of: Describe) -> None:
    """Not: KeyError."""
    del batch_files["data_batch_4"]
    raw = tar_of(batch_files)
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(raw)
    with pytest.raises(DataError, match="lacks the file 'data_batch_4'"):
        load_cifar(archive_of(raw), tmp_path)


def test_a_folder_without_a_batch_names_it(tmp_path: Path, batch_files: dict[str, bytes]) -> None:
    """The unpacked folder is checked as the archive is."""
    del batch_files["test_batch"]
    unpack(tmp_path, batch_files)
    with pytest.raises(DataError, match="lacks the file 'test_batch'; unpack cifar-10-python"):
        load_cifar(CIFAR10, tmp_path)


def test_a_label_out_of_range_in_a_batch_is_found(tmp_path: Path, batch_files: dict[str, bytes]) -> None:
    """Labels are checked against the ten classes when the set is loaded."""
    batch_files["data_batch_1"] = batch_files["data_batch_1"].replace(b"labels](K\x00", b"labels](K\x0a")
    unpack(tmp_path, batch_files)
    with pytest.raises(DataError, match="cifar10 train: labels out of range: index 0 has label 10, 10 classes"):
        load_cifar(CIFAR10, tmp_path)


def test_an_npz_of_other_images_is_not_taken_for_cifar(tmp_path: Path) -> None:
    """cifar10.npz must hold 32 x 32 colour images."""
    x, y = np.zeros((2, 8, 8, 1), np.uint8), np.zeros(2, np.uint8)
    np.savez(tmp_path / "cifar10.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(DataError, match=r"cifar10 images are \(32, 32, 3\), found \(8, 8, 1\)"):
        load_cifar(CIFAR10, tmp_path)


def test_nothing_there_says_what_to_put_where(tmp_path: Path) -> None:
    """Without a download the message holds the names, the folder and the address."""
    with pytest.raises(DataError) as caught:
        load_data("cifar100", root=tmp_path, download=False)
    for words in ("cifar100.npz", "cifar-100-python/", CIFAR100.url, str(tmp_path)):
        assert words in str(caught.value)


def test_the_tables_of_classes_are_whole() -> None:
    """Ten and a hundred distinct names, in alphabetical order as the authors list them."""
    for archive, count in ((CIFAR10, 10), (CIFAR100, 100)):
        assert len(set(archive.class_names)) == count
    assert list(CIFAR100.class_names) == sorted(CIFAR100.class_names)


def test_the_real_set_has_the_known_moments() -> None:
    """The committed mean and std are those of the 50,000 training images, and 5,000 are held out 500 a class."""
    named = os.environ.get("QUANTIZABLE_CIFAR10_NPZ")
    if not named:
        pytest.skip("QUANTIZABLE_CIFAR10_NPZ does not name a cifar10.npz")
    splits = load_data("cifar10", root=Path(named), validation=5000)
    assert splits.validation is not None
    assert np.bincount(splits.validation.y).tolist() == [500] * 10
    whole = load_data("cifar10", root=Path(named)).train
    assert isinstance(whole, Images)
    sample = replace(whole, x=whole.x[::10], y=whole.y[::10])
    assert np.allclose((sample.x / np.float32(255)).mean((0, 1, 2)), CIFAR10.mean, atol=5e-3)
    assert np.allclose((sample.x / np.float32(255)).std((0, 1, 2)), CIFAR10.std, atol=5e-3)
