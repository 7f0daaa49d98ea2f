"""Which images make which batch: a function of (seed, epoch), the same for every number of processes.

A step takes `batch_size * world_size` images of one permutation; every rank takes its own equal part of them. So two ranks
with batches of 64 see together what one process with batches of 128 sees, step by step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quantizable.data.labels import Labels
from quantizable.data.seeding import Purpose, generator
from quantizable.errors import DataError


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an epoch: the images of all ranks, and which of them are ours."""

    index: int  # of the step in its epoch
    members: Labels  # int64 (images of all ranks,), indices into the set
    part: slice  # ours, within members

    @property
    def ours(self) -> Labels:
        """Indices of this rank's images."""
        return self.members[self.part]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a set is cut into batches."""

    batch_size: int  # images of one rank in one step
    seed: int = 0
    shuffle: bool = True
    rank: int = 0
    world_size: int = 1
    drop_last: bool = True  # leave out the last, smaller step; without it ranks share it, their parts differ by at most one image

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise DataError(f"batches: batch_size must be 1 or more, found {self.batch_size}; choose for example 128")
        if not 0 <= self.rank < self.world_size:
            raise DataError(
                f"batches: rank must be 0 to world_size - 1, found rank {self.rank} of {self.world_size}; pass both from one process group"
            )

    def n_batches(self, n: int) -> int:
        """Return how many batches this rank gets from n images.

        Raises:
            DataError: not one full step, where only full steps are wanted.
        """
        step = self.batch_size * self.world_size
        full, rest = divmod(n, step)
        if self.drop_last and full == 0:
            raise DataError(
                f"batches: {n} images do not fill one step of {step} ({self.world_size} x {self.batch_size}); "
                "lower batch_size, or keep the last step"
            )
        part = _part(rest, self.rank, self.world_size)
        return full + int(not self.drop_last and part.stop > part.start)

    def steps(self, n: int, *, epoch: int, start: int = 0) -> Iterator[Step]:
        """Yield the steps of an epoch from step `start` on."""
        order = generator(Purpose.ORDER, self.seed, epoch).permutation(n) if self.shuffle else np.arange(n)
        size = self.batch_size * self.world_size
        for index in range(start, self.n_batches(n)):
            members = order[index * size : (index + 1) * size]
            yield Step(index, members, _part(len(members), self.rank, self.world_size))


def _part(n: int, rank: int, world_size: int) -> slice:
    return slice(n * rank // world_size, n * (rank + 1) // world_size)
