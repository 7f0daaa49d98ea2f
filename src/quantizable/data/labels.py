"""Class labels: made int64, checked against the number of classes, and split so that every class keeps its share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quantizable.data.seeding import Purpose, generator
from quantizable.errors import DataError

Labels = npt.NDArray[np.int64]


def as_labels(raw: npt.ArrayLike, *, where: str) -> Labels:
    """Return the labels as int64 of shape (n,); no value is changed.

    Raises:
        DataError: not integers, or not one number an image.
    """
    labels = np.asarray(raw)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            f"{where}: labels must be integers of shape (n,), found {labels.dtype} of shape {labels.shape}; store class numbers"
        )
    return labels.astype(np.int64)


def check_labels(labels: Labels, *, n_classes: int, where: str) -> None:
    """Return nothing when all labels are 0 to n_classes - 1.

    Raises:
        DataError: names the first index whose label is not, and its value.
    """
    bad = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if bad.size:
        first = int(bad[0])
        raise DataError(
            f"{where}: labels out of range: index {first} has label {int(labels[first])}, {n_classes} classes allow 0 to {n_classes - 1} "
            f"({bad.size} of {labels.size} labels are wrong); mend the labels or name every class"
        )


def held_out(labels: Labels, count: int, *, seed: int, where: str) -> tuple[Labels, Labels]:
    """Return the indices that stay and the `count` indices that are held out, both rising; every class gives its share.

    The share of a class of m images is `count * m / n`, rounded by largest remainder (first class first).

    Args:
        labels: int64 (n,).
        count: 0 to n - 1.

    Raises:
        DataError: count out of range.
    """
    if not 0 <= count < labels.size:
        raise DataError(f"{where}: cannot hold out {count} of {labels.size} images; choose 0 to {labels.size - 1}")
    classes, sizes = np.unique(labels, return_counts=True)
    quota, rest = np.divmod(count * sizes, labels.size)
    quota[np.argsort(-rest, kind="stable")[: count - int(quota.sum())]] += 1
    rng = generator(Purpose.SPLIT, seed)
    out = [rng.permutation(np.flatnonzero(labels == c))[:q] for c, q in zip(classes, quota, strict=True)]
    is_out = np.zeros(labels.size, dtype=np.bool_)
    is_out[np.concatenate(out)] = True
    return np.flatnonzero(~is_out), np.flatnonzero(is_out)
