"""Image files with labels, decoded when they are needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from quantizable.data.decode import ResizedCrop, read_image
from quantizable.data.images import Pixels, check_moments
from quantizable.data.labels import Labels, check_labels
from quantizable.data.seeding import Purpose, generator
from quantizable.errors import DataError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, eq=False)
class FolderImages:
    """n image files with one label each; every one becomes `size` x `size` RGB.

    Raises:
        DataError: no file, a label out of range, sizes that do not fit, or Pillow is not installed.
    """

    root: Path
    files: tuple[str, ...]  # relative to root
    y: Labels  # int64 (n,), 0 to len(class_names) - 1
    class_names: tuple[str, ...]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    size: int = 224  # side of the decoded images, pixels
    resize: int = 256  # the shorter side before the centre is cut out
    name: str = "image folder"  # for messages

    def __post_init__(self) -> None:
        if find_spec("PIL") is None:
            raise DataError(f"{self.name}: reading image files needs Pillow, which is not installed; pip install pillow")
        if not self.files:
            raise DataError(f"{self.name}: holds no images; give at least one")
        if self.y.dtype != np.int64 or self.y.shape != (len(self.files),):
            raise DataError(
                f"{self.name}: labels must be int64 of shape ({len(self.files)},), "
                f"found {self.y.dtype} of shape {self.y.shape}; give one label a file"
            )
        if not 1 <= self.size <= self.resize:
            raise DataError(f"{self.name}: size must be 1 to resize, found size {self.size}, resize {self.resize}; usual are 224 and 256")
        check_labels(self.y, n_classes=self.n_classes, where=self.name)
        check_moments(self.mean, self.std, n_channels=3, where=self.name)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    def subset(self, indices: Labels, *, name: str = "") -> FolderImages:
        """Return the files at these indices, in that order."""
        return replace(self, files=tuple(self.files[i] for i in indices), y=self.y[indices], name=name or self.name)

    def at_size(self, size: int) -> FolderImages:
        """Return the same files, decoded to `size` x `size`; the margin of the centre crop keeps its share."""
        return replace(self, size=size, resize=round(self.resize * size / self.size))

    def decode(self, index: int, *, crop: ResizedCrop | None = None, seed: int = 0, epoch: int = 0) -> Pixels:
        """Return image `index` as uint8 (size, size, 3); with `crop` a random part, a function of (seed, epoch, index) alone.

        Raises:
            DataError: the file is missing or broken; its path is named.
        """
        rng = generator(Purpose.CROP, seed, epoch, index) if crop is not None else None
        return read_image(self.root / self.files[index], size=self.size, resize=self.resize, crop=crop, rng=rng)
