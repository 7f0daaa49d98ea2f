"""What a plan is made with: the tensors made so far, the steps that make them, and the arrays that they point to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantizable.engine.kernels import Kernels
from quantizable.engine.tensor import Buffer, Shape, Tensor
from quantizable.errors import EngineError

MOST_LOOPS = 8  # MAX_LOOPS in cpp/kernels/generic/nest.hpp
Array = NDArray[Any]
Operand = Tensor | tuple[Tensor, int] | Array  # a tensor; one from an element on; a constant


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a kernel: cpp/engine/arguments.hpp says which fields each operation reads.

    name: of the node that it begins with. items: how many pieces it falls into. macs: multiplications of weights, for the profile.
    scratch_bytes: of one thread. reads, writes: the operands by the names of their fields.
    """

    name: str
    kernel: str
    items: int
    integers: Mapping[str, list[int]]
    numbers: Mapping[str, float]
    reads: Mapping[str, Operand]
    writes: Mapping[str, Operand]
    scratch_bytes: int = 0
    macs: int = 0


@dataclass(slots=True)
class Builder:
    """Collects the steps of one plan."""

    kernels: Kernels
    steps: list[Step] = field(default_factory=list)

    def new(self, shape: Shape, order: tuple[int, ...] | None = None, element_bytes: int = 4) -> Tensor:
        """Return a tensor in the arena that nothing has written yet."""
        order = tuple(range(len(shape))) if order is None else order
        return Tensor(Buffer(prod(shape) * element_bytes), shape, order, element_bytes)

    def add(
        self, name: str, operation: str, operands: str, items: int, *, reads: Mapping[str, Operand], writes: Mapping[str, Operand],
        integers: Mapping[str, int | tuple[int, ...] | list[int]] | None = None, numbers: Mapping[str, float] | None = None,
        scratch_bytes: int = 0, macs: int = 0,
    ) -> None:  # fmt: skip
        """Append a step."""
        lists = {key: [value] if isinstance(value, int) else list(value) for key, value in (integers or {}).items()}
        kernel = self.kernels.name(operation, operands)
        self.steps.append(Step(name, kernel, items, lists, dict(numbers or {}), reads, writes, scratch_bytes, macs))

    def in_order(self, name: str, tensor: Tensor, order: tuple[int, ...]) -> Tensor:
        """Return `tensor` with its axes in `order`: itself where they lie so, else a copy."""
        wanted = tensor.seen_as(tensor.shape, order)
        if wanted.order == tensor.order or _same_memory(tensor, wanted):
            return wanted
        target = self.new(tensor.shape, order, tensor.element_bytes)
        self.copy(name, tensor, target, tensor.shape)
        return target

    def row_major(self, name: str, tensor: Tensor) -> Tensor:
        """Return `tensor` with its axes in the model's order."""
        return self.in_order(name, tensor, tuple(range(tensor.rank)))

    def copy(
        self, name: str, source: Tensor, target: Tensor, shape: Shape, *, source_strides: Shape | None = None,
        source_start: int = 0, target_start: int = 0,
    ) -> None:  # fmt: skip
        """Append a copy of a block of `shape`, in the order of the target's memory."""
        from_strides = source.strides_for(shape) if source_strides is None else source_strides
        sizes, (from_, to) = loops(shape, target.order, (from_strides, target.strides))
        self.add(
            name, "copy", "any", prod(sizes[:-1]),
            integers={"element_bytes": source.element_bytes, "sizes": sizes, "source_strides": from_, "target_strides": to},
            reads={"source": (source, source_start)}, writes={"target": (target, target_start)},
        )  # fmt: skip


def loops(shape: Shape, order: tuple[int, ...], strides: tuple[Shape, ...]) -> tuple[list[int], list[list[int]]]:
    """Return (sizes, strides per operand) of a nest of loops over `shape` in `order`; axes that lie behind one another are joined."""
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for axis in order:
        if shape[axis] == 1:
            continue
        here = [operand[axis] for operand in strides]
        if sizes and all(step[-1] == stride * shape[axis] for step, stride in zip(steps, here, strict=True)):
            sizes[-1] *= shape[axis]
            for step, stride in zip(steps, here, strict=True):
                step[-1] = stride
        else:
            sizes.append(shape[axis])
            for step, stride in zip(steps, here, strict=True):
                step.append(stride)
    if len(sizes) > MOST_LOOPS:
        raise EngineError(f"a tensor of shape {shape}: moving it takes {len(sizes)} loops, the engine has {MOST_LOOPS}; use fewer axes")
    return (sizes, steps) if sizes else ([1], [[0] for _ in strides])


def buffer_of(operand: Operand) -> Buffer | None:
    """Return the buffer of an operand; None for a constant."""
    if isinstance(operand, Tensor):
        return operand.buffer
    return operand[0].buffer if isinstance(operand, tuple) else None


def constant(values: Array, dtype: type) -> Array:
    """Return `values` as a dense array of `dtype`."""
    return np.ascontiguousarray(values, dtype=dtype)


def _same_memory(left: Tensor, right: Tensor) -> bool:
    """True where two orders of one shape differ in axes of size 1 alone."""
    kept = [[axis for axis in tensor.order if tensor.shape[axis] != 1] for tensor in (left, right)]
    return kept[0] == kept[1]
