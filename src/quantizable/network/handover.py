"""Codes made where a value is made, in the same pass over memory, for the quantized layer that will read the value.

The value itself is handed on as ever: whoever else reads it sees no difference. With it go, as an attribute,

    q       its codes, uint8
    node    what stands for them in the graph: a tensor of the value's shape that holds nothing. Its gradient is that of the
            codes, in the dtype of the gradients' convolutions; it goes to the maker of the value, which opens the quantizer's
            window inside its own backward pass. Without this the reader would write that gradient, and the maker read it again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from quantizable.errors import RangeError
from quantizable.network.quantizers.estimate import LARGEST_STEP, LEAST_STEP

with suppress(ImportError):  # built without the compiled part: nothing here is called then
    from quantizable.network import passes

Window = tuple[float, float] | Tensor
_CODES = "_quantizable_codes"


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The activation quantizer of a layer: log d, z, bits, and its gradient's window (see `fused_unit`)."""

    log_step: Tensor
    zero_point: float
    bits: int
    window: Window

    def inverse(self) -> float:
        """Return 1 / d; a pass rounds it to float32, which is the same as dividing in float32.

        Raises:
            RangeError: d left 2^-30 to 2^30, as it does when training diverges.
        """
        step = float(self.log_step.exp())
        if not LEAST_STEP <= step <= LARGEST_STEP:
            raise RangeError(f"activation step: must be 2^-30 to 2^30, found {step}; training diverged, lower its rates or clip gradients")
        return 1 / step

    def opening(self, inverse: float, channels: int) -> passes.Opening:
        """Return the window as the passes take it."""
        return passes.Opening.of(inverse, self.zero_point, self.window, channels)


@dataclass(frozen=True, slots=True, eq=False)
class HandedCodes:
    """Codes of a value on the grid with this log d; are_numbers: False where a value was NaN. node: None without gradients."""

    q: Tensor
    are_numbers: bool
    node: Tensor | None
    log_step: Tensor
    versions: tuple[int, int]  # of the value and of log d when the codes were made


def hand_over(value: Tensor, grid: Grid, q: Tensor, are_numbers: bool, node: Tensor | None) -> None:
    """Let `value` carry its codes."""
    versions = (value._version, grid.log_step._version)
    setattr(value, _CODES, HandedCodes(q, are_numbers, node, grid.log_step, versions))


def handed_codes(value: Tensor, log_step: Tensor) -> HandedCodes | None:
    """Return the codes that `value` carries for the quantizer with this log d; None where there are none or something changed."""
    found: HandedCodes | None = getattr(value, _CODES, None)
    if found is None or found.log_step is not log_step or found.versions != (value._version, log_step._version):
        return None
    wants_gradient = torch.is_grad_enabled() and (value.requires_grad or log_step.requires_grad)
    return None if wants_gradient and found.node is None else found


def has_codes(value: Tensor) -> bool:
    """Return True where `value` already carries codes of its present content."""
    found: HandedCodes | None = getattr(value, _CODES, None)
    return found is not None and found.versions[0] == value._version


def empty_node(like: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a tensor of the shape of `like` that takes the memory of one number."""
    return torch.empty_strided(like.shape, (0,) * like.ndim, dtype=dtype)


def relu_with_codes(x: Tensor, grid: Grid, dtype: torch.dtype) -> Tensor:
    """Return max(x, 0), channels last; `x` then carries its codes on `grid`.

    Args:
        x: float32 (N, C, H, W) on the CPU.
        dtype: of the gradient of the codes.
    """
    keeps = torch.is_grad_enabled() and (x.requires_grad or grid.log_step.requires_grad)
    out, q, are_numbers, node = _ReluWithCodes.apply(x, grid.log_step, grid, dtype if keeps else None)  # type: ignore[no-untyped-call]
    hand_over(x, grid, q, are_numbers, node)
    result: Tensor = out
    return result


class _ReluWithCodes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, log_step: Tensor, grid: Grid, dtype: torch.dtype | None) -> tuple[Tensor, Tensor, bool, Tensor | None]:
        x = x.contiguous(memory_format=torch.channels_last)
        inverse = grid.inverse()
        out, q, are_numbers = passes.relu_quantize(x, inverse, grid.zero_point, grid.bits)
        ctx.mark_non_differentiable(q)
        ctx.set_materialize_grads(False)
        if dtype is None:
            return out, q, are_numbers, None
        ctx.save_for_backward(x)
        ctx.opening, ctx.dtype = grid.opening(inverse, x.shape[1]), dtype
        return out, q, are_numbers, empty_node(x, dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        by_value, by_codes = grads[0], grads[3]
        if by_codes is None:
            return (None if by_value is None else by_value * (x > 0)), None, None, None
        by_codes = by_codes.contiguous(memory_format=torch.channels_last)
        skip = None if by_value is None else by_value.contiguous(memory_format=torch.channels_last)
        g_x, by_step = passes.window(by_codes, x, ctx.opening, skip)
        return g_x, torch.full((), -by_step), None, None
