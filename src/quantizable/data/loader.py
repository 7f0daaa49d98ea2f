"""A loader that any training loop can iterate again and again, over images in memory or in folders."""

from __future__ import annotations

import os
from collections.abc import Iterator

from torch import Tensor

from quantizable.data.augment import Augment
from quantizable.data.batches import memory_batches
from quantizable.data.decode import ResizedCrop
from quantizable.data.folder import FolderImages
from quantizable.data.folder_batches import folder_batches
from quantizable.data.images import Images
from quantizable.data.sampling import Sampling
from quantizable.errors import DataError

_MOST_WORKERS = 8  # of one rank, by default: several ranks share a machine, and each worker holds batches in memory


class Loader:
    """Yields (images float32 (n, C, H, W), labels int64 (n,)) of one epoch whenever it is iterated.

    An epoch that runs to its end is followed by the next one, with a new order and new crops; `set_epoch` says which epoch
    comes next, `seek` at which batch it starts.

    Args:
        images: Images, or FolderImages.
        batch_size: images of this rank in one step.
        augment: Augment for images in memory, ResizedCrop for folders; None: every image as it is (centre crop for folders).
        workers: processes that decode folder images, default one a core, at most 8; images in memory need none and take none.

    Raises:
        DataError: sizes or ranks out of range, too few images for one step, or an `augment` of the other kind.
    """

    def __init__(
        self,
        images: Images | FolderImages,
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        augment: Augment | ResizedCrop | None = None,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = True,
        workers: int | None = None,
    ) -> None:
        wanted = Augment if isinstance(images, Images) else ResizedCrop
        if augment is not None and not isinstance(augment, wanted):
            raise DataError(
                f"{images.name}: takes {wanted.__name__} as augment, found {type(augment).__name__}; pass {wanted.__name__}() or None"
            )
        self.images = images
        self.augment = augment
        self.sampling = Sampling(batch_size, seed, shuffle, rank, world_size, drop_last)
        self.workers = min(_n_cores(), _MOST_WORKERS) if workers is None else workers
        self.epoch = 0
        self._start = 0
        self._n_batches = self.sampling.n_batches(len(images))

    @classmethod
    def in_order(
        cls, images: Images | FolderImages, *, batch_size: int, rank: int = 0, world_size: int = 1, workers: int | None = None
    ) -> Loader:
        """Return a loader for evaluation: every image once, in the order of the set, not augmented."""
        return cls(images, batch_size=batch_size, shuffle=False, drop_last=False, rank=rank, world_size=world_size, workers=workers)

    def __len__(self) -> int:
        """The number of batches of a whole epoch."""
        return self._n_batches

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` (0 or more) the one that the next iteration runs, from its first batch."""
        if epoch < 0:
            raise DataError(f"{self.images.name}: epoch must be 0 or more, found {epoch}; count epochs from 0")
        self.epoch = epoch
        self._start = 0

    def seek(self, batch: int) -> None:
        """Make the next iteration start at this batch (0 to len): it yields what the epoch holds from there on."""
        if not 0 <= batch <= len(self):
            raise DataError(f"{self.images.name}: cannot start at batch {batch} of {len(self)}; choose 0 to {len(self)}")
        self._start = batch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        start, self._start = self._start, 0
        return self._run(self.epoch, start)  # not a generator itself: epoch and start are those of this moment

    def _run(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        if isinstance(self.images, Images):
            assert not isinstance(self.augment, ResizedCrop)
            yield from memory_batches(self.images, self.sampling, epoch=epoch, start=start, augment=self.augment)
        else:
            assert not isinstance(self.augment, Augment)
            yield from folder_batches(self.images, self.sampling, epoch=epoch, start=start, crop=self.augment, workers=self.workers)
        self.epoch = epoch + 1


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
