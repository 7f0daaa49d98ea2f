"""Images from an .npz file with x_train, y_train, x_test, y_test (and class_names, if the classes have names)."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quantizable.data.augment import Augment
from quantizable.data.images import Images, moments
from quantizable.data.labels import as_labels
from quantizable.data.splits import Splits
from quantizable.errors import DataError

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def load_npz(root: Path | None, *, download: bool = False) -> Splits:
    """Return the sets of the file at `root`, normalised by the mean and std of its training images; `download` is not used.

    Without `class_names` in the file the training labels say how many classes there are. Pickled objects are refused.

    Raises:
        DataError: no such file, not an .npz, an array is missing or has a wrong shape, or a label is out of range.
    """
    if root is None:
        raise DataError("npz: no file named; give its path as root, for example root='photos.npz'")
    arrays = read_arrays(root)
    mean, std = moments(_pixels(arrays["x_train"], where=f"{root}: x_train"))
    labels = as_labels(arrays["y_train"], where=f"{root}: y_train")
    names = arrays.get("class_names")
    class_names = tuple(map(str, range(int(labels.max(initial=0)) + 1))) if names is None else tuple(map(str, names))
    return splits_of(arrays, class_names=class_names, mean=mean, std=std, where=str(root))


def splits_of(
    arrays: dict[str, npt.NDArray[Any]], *, class_names: tuple[str, ...], mean: tuple[float, ...], std: tuple[float, ...], where: str
) -> Splits:
    """Return the training and test sets of the four arrays.

    Raises:
        DataError: a wrong shape or dtype, or a label out of range.
    """
    train, test = (
        Images(
            _pixels(arrays[f"x_{part}"], where=f"{where}: x_{part}"),
            as_labels(arrays[f"y_{part}"], where=f"{where}: y_{part}"),
            class_names,
            mean,
            std,
            name=f"{where} {part}",
        )
        for part in ("train", "test")
    )
    if train.x.shape[1:] != test.x.shape[1:]:
        raise DataError(f"{where}: training images are {train.x.shape[1:]}, test images {test.x.shape[1:]}; bring them to one size")
    return Splits(train=train, test=test, augment=Augment())


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the four arrays of the file, and `class_names` where it has them, as they are stored.

    Raises:
        DataError: the file is missing, damaged, or lacks an array.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; write one with numpy.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)")
    try:
        with path.open("rb") as raw:  # opened here: NumPy leaves a damaged file open
            file = np.load(raw, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: holds one array, not four; write it with numpy.savez")
            missing = [name for name in _ARRAYS if name not in file.files]
            if missing:
                raise DataError(f"{path}: has no array {missing[0]!r}, found {', '.join(file.files) or 'none'}; store {', '.join(_ARRAYS)}")
            return {name: file[name] for name in (*_ARRAYS, "class_names") if name in file.files}
    except DataError:
        raise
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: not a whole .npz of plain arrays ({reason}); write or copy it again") from error


def _pixels(array: npt.NDArray[Any], *, where: str) -> npt.NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim != 4 or array.size == 0:
        raise DataError(f"{where}: must be uint8 (n, H, W, C), found {array.dtype} of shape {array.shape}; store bytes, channels last")
    return array
