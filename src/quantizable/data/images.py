"""Images held in memory as bytes; they check themselves when they are made."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from quantizable.data.labels import Labels, check_labels
from quantizable.errors import DataError

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """n images of one size with one label each, and how their bytes become numbers: (x / 255 - mean) / std.

    Raises:
        DataError: a wrong shape or dtype, no image at all, or a label out of range (its index and value are named).
    """

    x: Pixels  # uint8 (n, H, W, C)
    y: Labels  # int64 (n,), 0 to len(class_names) - 1
    class_names: tuple[str, ...]
    mean: tuple[float, ...]  # per channel, of x / 255
    std: tuple[float, ...]  # per channel, of x / 255; > 0
    name: str = "images"  # for messages: "cifar10 train"

    def __post_init__(self) -> None:
        if self.x.dtype != np.uint8 or self.x.ndim != 4:
            raise DataError(
                f"{self.name}: images must be uint8 (n, H, W, C), found {self.x.dtype} of shape {self.x.shape}; store bytes, channels last"
            )
        if 0 in self.x.shape:
            raise DataError(f"{self.name}: holds no images, found shape {self.x.shape}; give at least one")
        if self.y.dtype != np.int64 or self.y.shape != self.x.shape[:1]:
            raise DataError(
                f"{self.name}: labels must be int64 of shape ({len(self.x)},), "
                f"found {self.y.dtype} of shape {self.y.shape}; give one label an image"
            )
        check_labels(self.y, n_classes=self.n_classes, where=self.name)
        check_moments(self.mean, self.std, n_channels=self.x.shape[3], where=self.name)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    def subset(self, indices: Labels, *, name: str = "") -> Images:
        """Return the images at these indices, in that order (the pixels are copied)."""
        return replace(self, x=self.x[indices], y=self.y[indices], name=name or self.name)


def check_moments(mean: tuple[float, ...], std: tuple[float, ...], *, n_channels: int, where: str) -> None:
    """Return nothing when mean and std hold one finite number a channel and every std is above 0.

    Raises:
        DataError: otherwise.
    """
    if len(mean) != n_channels or len(std) != n_channels:
        raise DataError(
            f"{where}: mean and std need {n_channels} values, one a channel, found {len(mean)} and {len(std)}; give one a channel"
        )
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and min(std) > 0):
        raise DataError(f"{where}: mean must be finite and std above 0, found {mean} and {std}; give them on the scale 0 to 1")


def moments(x: Pixels) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return (mean, std) of every channel of x / 255; a constant channel gets std 1, so that it normalises to zero.

    Counted from histograms: exact, and no float copy of the set is made.
    """
    level = np.arange(256) / 255
    counts = np.stack([np.bincount(x[..., c].ravel(), minlength=256) for c in range(x.shape[-1])]) / (x.size // x.shape[-1])
    mean = counts @ level
    std = np.sqrt((counts * (level - mean[:, None]) ** 2).sum(1))
    return tuple(map(float, mean)), tuple(float(s) if s > 1e-6 else 1.0 for s in std)
