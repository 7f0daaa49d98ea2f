"""A plan made ready to run: places for its tensors, the compiled steps, and what those point to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quantizable import _native
from quantizable.engine.arena import ALIGNMENT, Arena, arrange
from quantizable.engine.builder import Operand
from quantizable.engine.lower import Plan
from quantizable.engine.tensor import SPACES, Tensor

CONSTANT = 3  # the space of addresses, in cpp/engine/frame.hpp


class StepTime(NamedTuple):
    """One step of the last run: node (its first), kernel, ms, and GMAC/s, 0 where it multiplies no weights."""

    node: str
    kernel: str
    ms: float
    gmac_per_s: float


class Program:
    """One mode of a network for inputs of one shape; may run in several threads at once."""

    def __init__(self, plan: Plan, threads: int) -> None:
        arena = arrange(plan.steps, threads)
        self.arena_bytes = arena.size_bytes + ALIGNMENT
        self.out_shape = plan.output.shape
        self._steps = [(step.name, step.kernel, step.macs) for step in plan.steps]
        self._kept: list[NDArray[Any]] = []  # the compiled steps hold the addresses of these
        self._native = _native.EngineProgram(threads, arena.scratch, arena.scratch_bytes)
        for step in plan.steps:
            places = {name: self._place(operand, arena) for name, operand in (*step.reads.items(), *step.writes.items())}
            self._native.add(step.kernel, step.items, {**step.integers, **places}, dict(step.numbers))

    def run(self, x: NDArray[Any], arena: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the output for `x`, dense, of the plan's shape and order; arena: at least `arena_bytes` that no other run uses."""
        out = np.empty(self.out_shape, np.float32)
        self._native.run(arena, x, out)
        return out

    def times(self) -> list[StepTime]:
        """Return what each step of the last run took; zeros before one."""
        found = []
        for (name, kernel, macs), ns in zip(self._steps, self._native.last_ns(), strict=True):
            found.append(StepTime(name, kernel, ns / 1e6, macs / ns if ns else 0.0))
        return found

    def _place(self, operand: Operand, arena: Arena) -> list[int]:
        if isinstance(operand, np.ndarray):
            self._kept.append(operand)
            return [CONSTANT, operand.ctypes.data]
        tensor, start = (operand, 0) if isinstance(operand, Tensor) else operand
        base = arena.offsets[tensor.buffer] if tensor.buffer.space == "arena" else 0
        return [SPACES.index(tensor.buffer.space), base + start * tensor.element_bytes]
