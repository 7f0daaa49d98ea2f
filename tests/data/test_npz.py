"""An .npz of four arrays is a data set; anything else is refused with its reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantizable.data import Images, load_data
from quantizable.errors import DataError


def arrays(n_classes: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (12, 4, 5, 3), dtype=np.uint8),
        "y_train": (np.arange(12) % n_classes).astype(np.uint8),
        "x_test": rng.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8),
        "y_test": (np.arange(6) % n_classes).astype(np.int32),
    }


def test_the_four_arrays_come_back(tmp_path: Path) -> None:
    """Bytes unchanged, labels int64, classes counted, moments those of the training images."""
    given = arrays()
    np.savez_compressed(tmp_path / "a.npz", **given)
    splits = load_data("npz", root=tmp_path / "a.npz")
    assert isinstance(splits.train, Images)
    assert isinstance(splits.test, Images)
    assert np.array_equal(splits.train.x, given["x_train"])
    assert np.array_equal(splits.test.y, given["y_test"])
    assert splits.train.class_names == ("0", "1", "2")
    assert np.allclose(splits.test.mean, (given["x_train"] / 255).mean((0, 1, 2)))


def test_class_names_are_read(tmp_path: Path) -> None:
    """A class that no training image has needs its name in the file."""
    np.savez(tmp_path / "a.npz", **arrays(), class_names=np.array(["cat", "dog", "elk", "fox"]))
    assert load_data("npz", root=tmp_path / "a.npz").train.class_names == ("cat", "dog", "elk", "fox")


def test_a_truncated_file_is_refused_at_every_length(tmp_path: Path) -> None:
    """Each prefix is a DataError in one line."""
    np.savez_compressed(tmp_path / "a.npz", **arrays())
    raw = (tmp_path / "a.npz").read_bytes()
    for size in range(0, len(raw), 7):
        (tmp_path / "b.npz").write_bytes(raw[:size])
        with pytest.raises(DataError, match=r"b\.npz: not a whole \.npz") as caught:
            load_data("npz", root=tmp_path / "b.npz")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x_test": None}, "has no array 'x_test', found x_train, y_train, y_test"),
        ({"x_train": np.zeros((12, 4, 5, 3), np.float32)}, "x_train: must be uint8"),
        ({"x_train": np.zeros((12, 4, 5), np.uint8)}, r"x_train: must be uint8 \(n, H, W, C\), found uint8 of shape \(12, 4, 5\)"),
        ({"x_train": np.zeros((0, 4, 5, 3), np.uint8)}, "x_train: must be uint8"),
        ({"x_test": np.zeros((6, 4, 4, 3), np.uint8)}, "bring them to one size"),
        ({"y_train": np.zeros(12)}, "y_train: labels must be integers"),
        ({"y_train": np.full(12, -1)}, r"labels out of range: index 0 has label -1"),
        ({"y_test": np.array([0, 1, 2, 3, 0, 0])}, "test: labels out of range: index 3 has label 3, 3 classes allow 0 to 2"),
        ({"y_test": np.array([{}] * 6, dtype=object)}, "not a whole .npz of plain arrays"),
    ],
)
def test_a_wrong_array_is_named(tmp_path: Path, change: dict[str, np.ndarray | None], words: str) -> None:
    """Each check has its message; a pickled array is refused, not run."""
    given = {name: array for name, array in (arrays() | change).items() if array is not None}
    np.savez(tmp_path / "a.npz", **given)
    with pytest.raises(DataError, match=words):
        load_data("npz", root=tmp_path / "a.npz")


def test_a_single_array_is_no_data_set(tmp_path: Path) -> None:
    """An .npy under the wrong name is told apart."""
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(DataError, match="holds one array, not four"):
        load_data("npz", root=tmp_path / "a.npy")
