"""Batches of images in memory, made in this process: no loader processes, no copy of the set."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from quantizable.data.augment import Augment, apply, draw, normalize
from quantizable.data.images import Images
from quantizable.data.sampling import Sampling
from quantizable.data.seeding import Purpose, generator


def batches(
    images: Images,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    shuffle: bool = True,
    augment: Augment | None = None,
    rank: int = 0,
    world_size: int = 1,
    drop_last: bool = True,
    start_batch: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (images, labels): float32 (n, C, H, W), normalised, channels last in memory, and int64 (n,).

    Order and augmentation depend on (seed, epoch, batch) alone: starting at `start_batch` gives the same numbers as running
    up to it. Ranks take disjoint parts of the same permutation.

    Raises:
        DataError: sizes, ranks or seeds out of range, or too few images for one step.
    """
    sampling = Sampling(batch_size, seed, shuffle, rank, world_size, drop_last)
    sampling.n_batches(len(images))  # fails here, not at the first batch
    return memory_batches(images, sampling, epoch=epoch, start=start_batch, augment=augment)


def memory_batches(
    images: Images, sampling: Sampling, *, epoch: int, start: int, augment: Augment | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield what `batches` does, from a Sampling."""
    _, height, width, _ = images.x.shape
    for step in sampling.steps(len(images), epoch=epoch, start=start):
        x = images.x[step.ours]
        if augment is not None:
            rng = generator(Purpose.AUGMENT, sampling.seed, epoch, step.index)
            draws = draw(augment, len(step.members), height=height, width=width, rng=rng)
            x = apply(x, draws.part(step.part), augment, mean=images.mean)
        yield normalize(x, mean=images.mean, std=images.std), torch.from_numpy(images.y[step.ours])
