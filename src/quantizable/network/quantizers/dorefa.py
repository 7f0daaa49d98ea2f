"""DoReFa: weights squeezed by tanh and divided by their largest, activations clipped to a fixed range.

Source: Zhou et al., DoReFa-Net, arXiv 1606.06160, sections 2.2 to 2.4. Levels for signed inputs, which the paper does not
have, lie evenly on [-1, 1].
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from quantizable.network.quantizers.estimate import check_finite
from quantizable.network.quantizers.interface import ActivationQuantizer, Codes, Integers, WeightQuantizer
from quantizable.network.quantizers.straight_through import LEAST_SCALE, LinearActivation


class DoReFaWeightQuantizer(WeightQuantizer):
    """Odd integers of tanh W; keeps nothing, whatever the mode.

        b > 1   v = 2 rint((tanh W / max|tanh W| + 1)/2 n) - n,  s = 1/n,  n = 2^b - 1
        b = 1   v = 1 where W >= 0, else -1,                     s = mean|W| over the whole weight

    Gradient: `TanhWeight` for b > 1; d(v s)/dW = 1 for one bit; none for s.

    Raises:
        RangeError: a weight is not finite.
    """

    def __init__(self, weight: Tensor, channel_rms: float | None) -> None:
        super().__init__(weight, channel_rms)
        check_finite(weight)

    def refresh(self, weight: Tensor) -> None:
        check_finite(weight)

    def forward(self, weight: Tensor, mode: str, bits: int) -> Integers:
        if bits == 1:
            return Integers(*_SignWeight.apply(weight))  # type: ignore[no-untyped-call]
        n = 2**bits - 1
        scale = torch.full((weight.shape[0],), 1 / n, dtype=torch.float32, device=weight.device)
        return Integers(TanhWeight.apply(weight, n), scale)  # type: ignore[no-untyped-call]


class DoReFaActivationQuantizer(ActivationQuantizer):
    """Codes on a fixed range: [0, 1] with d = 1/n and z = 0, or [-1, 1] with d = 2/n and z = n/2 for signed inputs.

    Nothing is estimated from values; the first batch only tells whether the input is signed (`zero_point` is NaN until then).
    Codes come from x (1/d) + z as the law has it, not from x n: in float32 1/d may be one unit in the last place off n.
    Gradient: dq/dx = 1/d inside the range, 0 outside.
    """

    def __init__(self, bits: int, n_channels: int, channel_dim: int) -> None:
        super().__init__(bits, n_channels, channel_dim)
        self.step: Tensor
        self.register_buffer("step", torch.ones(()))
        self.zero_point: Tensor
        self.register_buffer("zero_point", torch.full((), math.nan))

    @torch.no_grad()
    def estimate(self, x: Tensor, *, is_signed: bool) -> None:
        n = 2**self.bits - 1
        self.step.fill_(2 / n if is_signed else 1 / n)
        self.zero_point.fill_(n / 2 if is_signed else 0.0)

    @torch.no_grad()
    def forget(self) -> None:
        self._is_ready = False
        self.zero_point.fill_(math.nan)

    def _has_step(self) -> bool:
        return not bool(torch.isnan(self.zero_point))

    def forward(self, x: Tensor) -> Codes:
        codes = LinearActivation.apply(x, self.step, self.zero_point, 2**self.bits - 1)  # type: ignore[no-untyped-call]
        return Codes(codes, self.step, self.zero_point)


class TanhWeight(torch.autograd.Function):
    """(W, n) -> v = 2 rint((t/m + 1)/2 n) - n, float32, with t = tanh W and m = max|t| (at least 2^-30): odd, |v| <= n.

    Gradient, with rint taken as the identity, through tanh and through the largest:
        dv_i/dW_j = n (1 - t_j^2)/m ([i = j] - [j is the largest] sign(t_j) t_i/m)
    Equally large weights share the last term evenly. It vanishes where m is held at 2^-30.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, n: int) -> Tensor:
        tanh = torch.tanh(weight.to(torch.promote_types(weight.dtype, torch.float32)))
        largest = tanh.abs().amax().clamp(min=LEAST_SCALE)
        ctx.save_for_backward(tanh, largest)
        ctx.n = n
        return (2 * torch.round((tanh / largest + 1) / 2 * n) - n).to(torch.float32)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        tanh, largest = ctx.saved_tensors
        is_largest = tanh.abs() == largest
        share = (grads[0] * tanh).sum() / largest / is_largest.sum().clamp(min=1)
        grad: Tensor = grads[0] - torch.where(is_largest, tanh.sign() * share, 0)
        return grad * (ctx.n * (1 - tanh * tanh) / largest), None


class _SignWeight(torch.autograd.Function):
    """W -> (v, s): the sign, 1 at zero, and s = mean|W| (at least 2^-30), float32 (out,). Gradient: d(v s)/dW = 1, none for s."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> tuple[Tensor, Tensor]:
        mean = weight.double().abs().mean().clamp(min=LEAST_SCALE).float()
        scale = mean.repeat(weight.shape[0])
        ctx.save_for_backward(mean)
        ctx.mark_non_differentiable(scale)
        return torch.where(weight >= 0, 1.0, -1.0).to(torch.float32), scale

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (mean,) = ctx.saved_tensors
        grad: Tensor = grads[0] / mean
        return grad
