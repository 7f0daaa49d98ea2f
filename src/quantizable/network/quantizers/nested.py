"""The shared grid: one stored 8-bit code serves every bit width of a weight; activations have a learned step.

Law: docs/arithmetic.md. Idea of one weight set for all widths: Du, Zhang, Guan, arXiv 2004.05284. The sign of one bit with a
wide triangular gradient window: measured in results/, after Courbariaux et al., arXiv 1602.02830.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from quantizable.errors import RangeError
from quantizable.network.quantizers.estimate import estimate_step
from quantizable.network.quantizers.interface import ActivationQuantizer, Codes, Integers, WeightQuantizer
from quantizable.network.quantizers.straight_through import NestedActivation, NestedWeight

_SMALLEST, _LARGEST = 2.0**-30, 2.0**30  # beyond these W * 128 / r may underflow: its sign is lost
_LEAST_HALF_WIDTH = 0.25  # of the one-bit window, in steps


class NestedWeightQuantizer(WeightQuantizer):
    """Odd integers of the shared grid; keeps `channel_range` (r), float32 (out,), shared by all modes.

    Raises:
        RangeError: a weight is not finite or beyond 2^30.
    """

    def __init__(self, weight: Tensor, channel_rms: float | None) -> None:
        super().__init__(weight, channel_rms)
        self.channel_rms = channel_rms
        self.channel_range: Tensor
        self.register_buffer("channel_range", _channel_range(weight.detach(), channel_rms))

    @torch.no_grad()
    def refresh(self, weight: Tensor) -> None:
        self.channel_range.copy_(_channel_range(weight.detach(), self.channel_rms))

    def forward(self, weight: Tensor, mode: str, bits: int) -> Integers:
        return Integers(*NestedWeight.apply(weight, self.channel_range, bits))  # type: ignore[no-untyped-call]


class NestedActivationQuantizer(ActivationQuantizer):
    """Codes with a learned step d (its logarithm is the parameter `log_step`; NaN until estimated)."""

    reads_pre_activation = True

    def __init__(self, bits: int, n_channels: int, channel_dim: int) -> None:
        super().__init__(bits, n_channels, channel_dim)
        self.log_step = nn.Parameter(torch.full((), math.nan))
        self.zero_point: Tensor
        self.register_buffer("zero_point", torch.zeros(()))
        self.half_width: Tensor
        self.register_buffer("half_width", torch.ones(n_channels if bits == 1 else 1))

    @torch.no_grad()
    def estimate(self, x: Tensor, *, is_signed: bool) -> None:
        step, zero_point = estimate_step(x, self.bits, is_signed=is_signed)
        self.log_step.fill_(math.log(step))
        self.zero_point.fill_(zero_point)
        if self.bits == 1:
            dims = [i for i in range(x.ndim) if i != self.channel_dim % x.ndim]
            spread = x.float().std(dims, unbiased=False) if x.numel() > self.n_channels else x.float().abs().flatten()
            self.half_width.copy_((spread / step).clamp(min=_LEAST_HALF_WIDTH))

    @torch.no_grad()
    def forget(self) -> None:
        self._is_ready = False
        self.log_step.fill_(math.nan)

    @property
    def window(self) -> tuple[float, float] | Tensor:
        """Where the gradient passes, in u = x/d + z: an interval, or for one bit the half width of a triangle around 1/2."""
        return self.half_width if self.bits == 1 else (0.0, float(2**self.bits - 1))

    def _has_step(self) -> bool:
        return not bool(torch.isnan(self.log_step))

    def forward(self, x: Tensor) -> Codes:
        half_width = self.half_width
        if self.bits == 1 and self.channel_dim == 1:
            half_width = half_width.view((1, -1) + (1,) * (x.ndim - 2))
        n = 2**self.bits - 1
        codes = NestedActivation.apply(x, self.log_step, self.zero_point, half_width, n)  # type: ignore[no-untyped-call]
        return Codes(codes, self.log_step.exp(), self.zero_point)


def _channel_range(weight: Tensor, channel_rms: float | None) -> Tensor:
    rows = weight.flatten(1).double()
    largest = float(rows.abs().max()) if rows.numel() else 0.0
    if not largest <= _LARGEST:  # also catches NaN
        raise RangeError(f"weight: magnitudes must be at most 2^30, found {largest}; check the float network")
    ranges = rows.abs().amax(1) if channel_rms is None else channel_rms * rows.square().mean(1).sqrt()
    return torch.where(ranges < _SMALLEST, 1.0, ranges).float()
