"""The data sets that a recipe can name: one line each."""

from __future__ import annotations

import difflib
from functools import partial
from pathlib import Path
from typing import Protocol

from quantizable.data.cifar import CIFAR10, CIFAR100, load_cifar
from quantizable.data.digits import load_digits
from quantizable.data.folder_layout import load_folder, load_tiny_imagenet
from quantizable.data.npz import load_npz
from quantizable.data.splits import Splits
from quantizable.errors import DataError


class Source(Protocol):
    """Loads the training and test sets of one data set."""

    def __call__(self, root: Path | None, *, download: bool) -> Splits: ...


_SOURCES: dict[str, Source] = {
    "digits": load_digits,
    "cifar10": partial(load_cifar, CIFAR10),
    "cifar100": partial(load_cifar, CIFAR100),
    "npz": load_npz,
    "tiny-imagenet": load_tiny_imagenet,
    "folder": load_folder,
}


def data_names() -> tuple[str, ...]:
    """Return the names that `load_data` knows."""
    return tuple(_SOURCES)


def load_data(
    name: str, *, root: Path | None = None, validation: int = 0, seed: int = 0, download: bool = True, image_size: int | None = None
) -> Splits:
    """Return the training, validation and test images of a data set; labels are checked against the classes.

    Args:
        name: digits, cifar10, cifar100, npz, tiny-imagenet or folder.
        root: folder with the data (npz: the file). Only digits needs none; CIFAR then uses the user's cache folder.
        validation: this many training images are held out, every class by its share; 0: none.
        seed: of that choice.
        download: fetch a CIFAR archive that is not there.
        image_size: side in pixels to which image files are decoded; None: the set's own.

    Raises:
        DataError: an unknown name, or data that is missing, damaged, or has labels out of range.
    """
    source = _SOURCES.get(name)
    if source is None:
        near = difflib.get_close_matches(name, _SOURCES, n=1)
        advice = f"the nearest is '{near[0]}'; known are" if near else "known are"
        raise DataError(f"data: no data set is named {name!r}; {advice} {', '.join(_SOURCES)}")
    splits = source(None if root is None else Path(root).expanduser(), download=download)
    if image_size is not None:
        splits = splits.at_size(image_size)
    return splits.hold_out(validation, seed=seed) if validation else splits
