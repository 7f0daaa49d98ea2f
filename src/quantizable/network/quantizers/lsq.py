"""LSQ: learned steps for weights and activations, with the gradient that sees the rounding error.

Source: Esser et al., Learned Step Size Quantization, arXiv 1902.08153, section 2; the zero point of signed inputs after
Bhalgat et al., LSQ+, arXiv 2004.09576, but calibrated and then held, since it must stay a multiple of 1/2. One bit, which the
paper does not have, is the sign.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from quantizable.network.quantizers.estimate import check_finite, estimate_step
from quantizable.network.quantizers.interface import ActivationQuantizer, Codes, Integers, WeightQuantizer
from quantizable.network.quantizers.straight_through import LEAST_SCALE, LinearActivation, per_row


class LsqWeightQuantizer(WeightQuantizer):
    """Integers of W / s with a learned step s per channel and mode.

        b > 1   v = clip(rint(W / s), -2^(b-1), Qp),  Qp = 2^(b-1) - 1
        b = 1   v = 1 where W >= 0, else -1,          Qp = 1

    `log_step[mode]` is log s, float32 (out,): s stays positive. It starts at s = 2 mean|W| / sqrt(Qp), for one bit at mean|W|
    (its least squares). The gradient of s is multiplied by 1/sqrt(N Qp), with N weights in a channel.

    Raises:
        RangeError: a weight is not finite.
    """

    def __init__(self, weight: Tensor, channel_rms: float | None) -> None:
        super().__init__(weight, channel_rms)
        self.log_step = nn.ParameterDict()
        self._bits: dict[str, int] = {}
        self.mean_magnitude: Tensor  # of each channel, float32 (out,): where the steps of a new mode start
        self.register_buffer("mean_magnitude", _mean_magnitude(weight), persistent=False)

    def add_mode(self, mode: str, bits: int) -> None:
        self._bits[mode] = bits
        self.log_step[mode] = nn.Parameter(_start(self.mean_magnitude, bits).log())

    @torch.no_grad()
    def refresh(self, weight: Tensor) -> None:
        self.mean_magnitude.copy_(_mean_magnitude(weight))
        for mode, bits in self._bits.items():
            self.log_step[mode].copy_(_start(self.mean_magnitude, bits).log())

    def forward(self, weight: Tensor, mode: str, bits: int) -> Integers:
        step = _scaled_gradient(self.log_step[mode].exp(), weight[0].numel() * _largest_integer(bits))
        return Integers(LsqWeight.apply(weight, step, bits), step)  # type: ignore[no-untyped-call]


class LsqActivationQuantizer(ActivationQuantizer):
    """Codes with a learned step d (`log_step` is log d, NaN until estimated), gradient times 1/sqrt(N Qp).

    N is the number of values per image and Qp = 2^bits - 1. The step starts with the least squared error, as in LSQ+.
    """

    def __init__(self, bits: int, n_channels: int, channel_dim: int) -> None:
        super().__init__(bits, n_channels, channel_dim)
        self.log_step = nn.Parameter(torch.full((), math.nan))
        self.zero_point: Tensor
        self.register_buffer("zero_point", torch.zeros(()))

    @torch.no_grad()
    def estimate(self, x: Tensor, *, is_signed: bool) -> None:
        step, zero_point = estimate_step(x, self.bits, is_signed=is_signed)
        self.log_step.fill_(math.log(step))
        self.zero_point.fill_(zero_point)

    @torch.no_grad()
    def forget(self) -> None:
        self._is_ready = False
        self.log_step.fill_(math.nan)

    def _has_step(self) -> bool:
        return not bool(torch.isnan(self.log_step))

    def forward(self, x: Tensor) -> Codes:
        n = 2**self.bits - 1
        step = _scaled_gradient(self.log_step.exp(), x[0].numel() * n)
        return Codes(LinearActivation.apply(x, step, self.zero_point, n), step, self.zero_point)  # type: ignore[no-untyped-call]


class LsqWeight(torch.autograd.Function):
    """(W, s, bits) -> v = clip(rint(W / s), -2^(b-1), Qp), or the sign for one bit; float32, s per row.

    Gradient, with u = W/s and the window w = 1 where -2^(b-1) < u < Qp (|u| < 1 for one bit), else 0:
        dv/dW = w/s        dv/ds = -u w / s
    Together with the layer's product: d(v s)/ds = v - u inside the window, v outside.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, step: Tensor, bits: int) -> Tensor:
        u = weight / per_row(step, weight)
        ctx.save_for_backward(u, step)
        ctx.bits = bits
        if bits == 1:
            return torch.where(weight >= 0, 1.0, -1.0).to(torch.float32)
        return torch.round(u).clamp(-(2 ** (bits - 1)), _largest_integer(bits)).to(torch.float32)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        u, step = ctx.saved_tensors
        lowest = -1 if ctx.bits == 1 else -(2 ** (ctx.bits - 1))
        inside = (u > lowest) & (u < _largest_integer(ctx.bits))
        grad = torch.where(inside, grads[0] / per_row(step, u), 0)
        return grad, -(grad * u).flatten(1).sum(1), None


class _ScaledGradient(torch.autograd.Function):
    """(x, factor) -> x, with `factor` as its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.factor, None


def _scaled_gradient(step: Tensor, product: int) -> Tensor:
    """Return `step`, its gradient times 1/sqrt(N Qp); product: N Qp."""
    scaled: Tensor = _ScaledGradient.apply(step, 1 / math.sqrt(max(product, 1)))  # type: ignore[no-untyped-call]
    return scaled


def _largest_integer(bits: int) -> int:
    largest: int = 2 ** (bits - 1) - 1
    return max(largest, 1)


def _mean_magnitude(weight: Tensor) -> Tensor:
    check_finite(weight)
    return weight.detach().flatten(1).double().abs().mean(1).float()


def _start(mean_magnitude: Tensor, bits: int) -> Tensor:
    """Return the first step of each channel; a channel of zeros keeps standing for zeros."""
    if bits == 1:
        return mean_magnitude.clamp(min=LEAST_SCALE)
    start = 2 * mean_magnitude / math.sqrt(_largest_integer(bits))
    return torch.where(start < LEAST_SCALE, 1.0, start)
