"""The three parts of a data set: one to learn from, one to choose by, one to report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from quantizable.data.augment import Augment
from quantizable.data.decode import ResizedCrop
from quantizable.data.folder import FolderImages
from quantizable.data.images import Images
from quantizable.data.labels import held_out
from quantizable.errors import DataError

ImageSet = Images | FolderImages


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """Training, validation and test images. Choose everything by `validation`; `test` is for reporting only."""

    train: ImageSet
    validation: ImageSet | None = None
    test: ImageSet | None = None
    augment: Augment | ResizedCrop | None = None  # what training on this set usually does

    def __post_init__(self) -> None:
        for part in (self.validation, self.test):
            if part is not None and part.class_names != self.train.class_names:
                raise DataError(
                    f"{part.name}: has {part.n_classes} classes that differ from the {self.train.n_classes} of {self.train.name}; "
                    "list the same classes in the same order"
                )

    def hold_out(self, count: int, *, seed: int) -> Splits:
        """Return the same splits with `count` training images moved to `validation`, every class by its share.

        Raises:
            DataError: count is not 0 to n - 1.
        """
        stay, out = held_out(self.train.y, count, seed=seed, where=self.train.name)
        if count == 0:
            return replace(self, validation=None)
        return replace(self, train=self.train.subset(stay), validation=self.train.subset(out, name=f"{self.train.name} (held out)"))

    def normalized_by(self, mean: tuple[float, ...], std: tuple[float, ...]) -> Splits:
        """Return the same splits with other moments, for float weights that were trained with them (per channel, scale 0 to 1)."""
        return self._with_each(lambda part: replace(part, mean=mean, std=std))

    def at_size(self, size: int) -> Splits:
        """Return the same splits with folder images decoded to `size` x `size` pixels.

        Raises:
            DataError: the images are in memory, where they have one size.
        """
        return self._with_each(lambda part: _at_size(part, size))

    def _with_each(self, change: Callable[[ImageSet], ImageSet]) -> Splits:
        return replace(
            self,
            train=change(self.train),
            validation=None if self.validation is None else change(self.validation),
            test=None if self.test is None else change(self.test),
        )


def _at_size(part: ImageSet, size: int) -> FolderImages:
    if isinstance(part, Images):
        raise DataError(f"{part.name}: images are {part.x.shape[1]} x {part.x.shape[2]} and in memory; leave image_size out")
    return part.at_size(size)
