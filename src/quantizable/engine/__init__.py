"""A frozen network that runs in compiled kernels, at any of its modes, equal to graph.reference. Page: docs/engine.md.

session: the public face; lower, chains, moves: IntegerModel -> steps; arena, weights, program: memory; kernels: the choice.
"""

from __future__ import annotations

from quantizable.engine.kernels import KernelRow, kernel_rows
from quantizable.engine.program import StepTime
from quantizable.engine.session import Session

__all__ = ["KernelRow", "Session", "StepTime", "kernel_rows"]
