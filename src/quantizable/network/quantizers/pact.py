"""PACT: activations with a learned clip level; weights are DoReFa's, as in the paper.

Source: Choi et al., PACT, arXiv 1805.06085, section 3. Signed inputs, which the paper does not have, are clipped on both sides.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from quantizable.network.quantizers.estimate import estimate_clip_level
from quantizable.network.quantizers.interface import ActivationQuantizer, Codes


class PactActivation(torch.autograd.Function):
    """(x, d, z, n) -> q = clip(rint(x (1/d) + z), 0, n), float32, with the paper's gradient for the clip level a = (n - z) d.

    Gradient, with u = x/d + z and the window w = 1 where 0 <= u < n, else 0:
        dq/dx = w/d        dq/dd = -(q - z) w / d
    Together with the layer's product, value = d (q - z): d value/da = 0 inside the window; 1 above and -1 below it
    (0 below for z = 0), whatever the rounding did inside.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, zero_point: Tensor, n: int) -> Tensor:
        inverse = 1 / step
        u = x * inverse + zero_point
        codes = torch.round(u).clamp(0, n)
        ctx.save_for_backward((u >= 0) & (u < n), codes, inverse, zero_point)
        return codes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        inside, codes, inverse, zero_point = ctx.saved_tensors
        grad = torch.where(inside, grads[0] * inverse, 0)
        return grad, -(grad * (codes - zero_point)).sum(), None, None


class PactActivationQuantizer(ActivationQuantizer):
    """Codes of x clipped to [0, a], or to [-a, a] for signed inputs, with a learned clip level a.

        d = a / (n - z),  z = 0, or n/2 for signed inputs,  n = 2^bits - 1

    The parameter `log_clip_level` is log a, NaN until estimated: a stays positive, and one learning rate suits every tensor.
    Its gradient is a times that of a. The paper's decay of a belongs to the optimizer.
    """

    codes_of: type[torch.autograd.Function] = PactActivation  # (x, d, z, n) -> q

    def __init__(self, bits: int, n_channels: int, channel_dim: int) -> None:
        super().__init__(bits, n_channels, channel_dim)
        self.log_clip_level = nn.Parameter(torch.full((), math.nan))
        self.zero_point: Tensor
        self.register_buffer("zero_point", torch.zeros(()))

    @torch.no_grad()
    def estimate(self, x: Tensor, *, is_signed: bool) -> None:
        self.log_clip_level.fill_(math.log(estimate_clip_level(x, self.bits, is_signed=is_signed)))
        self.zero_point.fill_((2**self.bits - 1) / 2 if is_signed else 0.0)

    @torch.no_grad()
    def forget(self) -> None:
        self._is_ready = False
        self.log_clip_level.fill_(math.nan)

    def _has_step(self) -> bool:
        return not bool(torch.isnan(self.log_clip_level))

    def forward(self, x: Tensor) -> Codes:
        n = 2**self.bits - 1
        step = self.log_clip_level.exp() / (n - self.zero_point)
        return Codes(self.codes_of.apply(x, step, self.zero_point, n), step, self.zero_point)  # type: ignore[no-untyped-call]
