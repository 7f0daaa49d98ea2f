"""Batches of image files, decoded by worker processes that run ahead of the training.

Workers hand over bytes, a quarter of the traffic of floats; normalisation happens here, as for images in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from quantizable.data.augment import normalize
from quantizable.data.decode import ResizedCrop
from quantizable.data.folder import FolderImages
from quantizable.data.labels import Labels
from quantizable.data.sampling import Sampling
from quantizable.errors import DataError

_PREFETCH = 3  # batches a worker keeps ready: covers a slow file without holding much memory
_Item = TypeVar("_Item")


def folder_batches(
    images: FolderImages, sampling: Sampling, *, epoch: int, start: int, crop: ResizedCrop | None, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (images, labels): float32 (n, 3, size, size), normalised, channels last in memory, and int64 (n,).

    What is yielded depends on (seed, epoch, batch) alone, not on the number of workers.

    Args:
        workers: processes; 0 decodes in this one.

    Raises:
        DataError: a file is broken (its path is named), or a worker was lost.
    """
    decoder = _Decoder(images, crop, sampling.seed, epoch)
    steps = [step.ours for step in sampling.steps(len(images), epoch=epoch, start=start)]
    loader: DataLoader[tuple[Tensor, Tensor] | DataError] = DataLoader(
        decoder,
        batch_size=None,  # an item of the dataset is a batch already
        sampler=steps,
        num_workers=min(workers, len(steps)),
        prefetch_factor=_PREFETCH if workers and steps else None,
        collate_fn=_unchanged,
    )
    try:
        for item in loader:
            if isinstance(item, DataError):
                raise item
            pixels, labels = item
            yield normalize(pixels.numpy(), mean=images.mean, std=images.std), labels
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise  # not about a worker: not ours to explain
        raise DataError(
            f"{images.name}: a loader process was lost ({str(error).splitlines()[0]}); use fewer workers, or more (shared) memory"
        ) from error


class _Decoder(Dataset[tuple[Tensor, Tensor] | DataError]):
    """Maps the indices of a batch to its bytes and labels. An error comes back as a value: raised in a worker, torch would
    wrap it into a page of traceback."""

    def __init__(self, images: FolderImages, crop: ResizedCrop | None, seed: int, epoch: int) -> None:
        self.images, self.crop, self.seed, self.epoch = images, crop, seed, epoch

    def __getitem__(self, indices: Labels) -> tuple[Tensor, Tensor] | DataError:
        size = self.images.size
        pixels = np.empty((len(indices), size, size, 3), dtype=np.uint8)
        try:
            for row, index in enumerate(indices):
                pixels[row] = self.images.decode(int(index), crop=self.crop, seed=self.seed, epoch=self.epoch)
        except DataError as error:
            return error
        return torch.from_numpy(pixels), torch.from_numpy(self.images.y[indices])


def _unchanged(item: _Item) -> _Item:
    return item
