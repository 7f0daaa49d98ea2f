"""Tensors of a plan: the shape that the model means, and the order in which its axes lie in memory."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

Shape = tuple[int, ...]
SPACES = ("arena", "input", "output")  # as numbered in cpp/engine/frame.hpp


@dataclass(slots=True, eq=False)
class Buffer:
    """Memory of one run: a piece of the arena, the caller's input, or the result."""

    size_bytes: int
    space: Literal["arena", "input", "output"] = "arena"


@dataclass(frozen=True, slots=True)
class Tensor:
    """shape: per axis of the model, (N, C, ...). order: those axes as they lie in memory, the outermost first; dense.

    element_bytes: 4 for float32, 1 for codes and for the bytes of images.
    """

    buffer: Buffer
    shape: Shape
    order: tuple[int, ...]
    element_bytes: int = 4

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many elements there are."""
        return prod(self.shape)

    @property
    def is_row_major(self) -> bool:
        """True where memory is in the order of the model's axes; axes of size 1 may lie anywhere."""
        moved = [axis for axis in self.order if self.shape[axis] != 1]
        return moved == sorted(moved)

    @property
    def strides(self) -> Shape:
        """The distance of neighbours along each axis of the model, in elements."""
        found, step = [0] * self.rank, 1
        for axis in reversed(self.order):
            found[axis] = step
            step *= self.shape[axis]
        return tuple(found)

    def strides_for(self, shape: Shape) -> Shape:
        """The strides that broadcast this tensor to `shape`, which may have more axes in front: 0 where it repeats."""
        missing = len(shape) - self.rank
        strides = [0 if size == 1 else stride for size, stride in zip(self.shape, self.strides, strict=True)]
        return (0,) * missing + tuple(strides)

    def seen_as(self, shape: Shape, order: tuple[int, ...] | None = None) -> Tensor:
        """The same memory with other axes; without an order in row-major order."""
        return Tensor(self.buffer, shape, tuple(range(len(shape))) if order is None else order, self.element_bytes)


def channels_last(rank: int) -> tuple[int, ...]:
    """Return the order of (N, C, ...) in which the channels of a position are neighbours."""
    return (0, *range(2, rank), 1) if rank > 1 else tuple(range(rank))
