"""The handwritten digits that scikit-learn brings: 1,797 images of 8 x 8, ten classes, nothing to download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quantizable.data.augment import Augment
from quantizable.data.images import Images, moments
from quantizable.data.labels import as_labels, held_out
from quantizable.data.splits import Splits
from quantizable.errors import DataError

_TEST_SEED = 0  # the test third never depends on the seed of a run: figures of two runs can be compared


def load_digits(root: Path | None = None, *, download: bool = False) -> Splits:
    """Return 1,198 training and 599 test images, uint8 (n, 8, 8, 1); `root` and `download` are not used.

    Raises:
        DataError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits as bundled
    except ImportError as error:
        raise DataError("digits: needs scikit-learn, which is not installed; pip install scikit-learn") from error
    found = bundled()
    x = np.rint(found.images[..., None] * (255 / 16)).astype(np.uint8)  # stored as 0 to 16
    y = as_labels(found.target, where="digits")
    train, test = held_out(y, len(y) // 3, seed=_TEST_SEED, where="digits")
    mean, std = moments(x[train])
    everything = Images(x, y, tuple("0123456789"), mean, std, name="digits")
    return Splits(
        train=everything.subset(train, name="digits train"),
        test=everything.subset(test, name="digits test"),
        augment=Augment(crop_padding=1, flip=False),
    )
