"""Functions whose gradient is chosen, not derived: the codes of weights and activations.

Law: docs/arithmetic.md. They are autograd Functions because ``x + (y - x).detach()`` need not return y in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LEAST_SCALE = 2.0**-30


def rounded_ste(x: Tensor) -> Tensor:
    """Return rint(x), half to even; gradient 1."""
    rounded: Tensor = _Rounded.apply(x)  # type: ignore[no-untyped-call]
    return rounded


def integer_weight(code: Tensor, bits: int) -> Tensor:
    """Return the odd integer 2 (code >> (8 - b)) + 1 - 2^b that the top `bits` bits of 8-bit codes stand for, float32.

    code: uint8 values held in any float or integer dtype.
    """
    integers: Tensor = torch.floor(code / 2 ** (8 - bits)) * 2 + (1 - 2**bits)
    return integers.to(torch.float32)


def weight_code(weight: Tensor, channel_range: Tensor) -> Tensor:
    """Return code = clip(floor(W * 128 / r) + 128, 0, 255) as float32; `channel_range` is r, one value per row of W."""
    return (torch.floor(weight * 128 / per_row(channel_range, weight)) + 128).clamp(0, 255)


def least_squares_scale(weight: Tensor, integers: Tensor) -> Tensor:
    """Return s[c] = sum(W v) / sum(v v) over each row, at least 2^-30; float32 (out,)."""
    w, v = weight.flatten(1).double(), integers.flatten(1).double()
    return ((w * v).sum(1) / (v * v).sum(1)).clamp(min=LEAST_SCALE).float()


def per_row(values: Tensor, like: Tensor) -> Tensor:
    """Return `values` (out,) shaped to broadcast along the first axis of `like`."""
    return values.view((-1,) + (1,) * (like.ndim - 1))


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


class NestedWeight(torch.autograd.Function):
    """(W, r, bits) -> (v, s): odd integers of the shared grid and their least-squares scale.

    Gradient: d(v s)/dW = 1, hence dv/dW = 1/s; none for r and s.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, channel_range: Tensor, bits: int) -> tuple[Tensor, Tensor]:
        integers = integer_weight(weight_code(weight, channel_range), bits)
        scale = least_squares_scale(weight, integers)
        ctx.save_for_backward(scale)
        ctx.mark_non_differentiable(scale)
        return integers, scale

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (scale,) = ctx.saved_tensors
        return grads[0] / per_row(scale, grads[0]), None, None


class NestedActivation(torch.autograd.Function):
    """(x, log d, z, h, n) -> q = clip(rint(x (1/d) + z), 0, n), float32.

    Gradient, with u = x/d + z and the window w(u):
        dq/dx = w(u)/d        dq/d(log d) = -(u - z) w(u)
    The window is 1 for 0 <= u <= n; for one bit it is a triangle of area 1 around the threshold 1/2 whose half width is
    h (per channel, in steps), which lets values far from the threshold learn.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, log_step: Tensor, zero_point: Tensor, half_width: Tensor, n: int) -> Tensor:
        inverse = 1 / log_step.exp()
        u = x * inverse + zero_point
        ctx.save_for_backward(u, inverse, zero_point, half_width)
        ctx.n = n
        return torch.round(u).clamp(0, n)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        u, inverse, zero_point, half_width = ctx.saved_tensors
        if ctx.n == 1:
            window = (1 - (u - 0.5).abs() / half_width).clamp(min=0) / half_width
        else:
            window = ((u >= 0) & (u <= ctx.n)).to(u.dtype)
        grad = grads[0] * window
        return grad * inverse, -(grad * (u - zero_point)).sum(), None, None, None


class LinearActivation(torch.autograd.Function):
    """(x, d, z, n) -> q = clip(rint(x (1/d) + z), 0, n), float32, with rint taken as the identity in the gradient.

    Gradient, with u = x/d + z and the window w = 1 where 0 <= u < n, else 0:
        dq/dx = w/d        dq/dd = -(u - z) w / d
    Together with the layer's product, value = d (q - z): d value/dd = q - u inside the window, q - z outside.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, zero_point: Tensor, n: int) -> Tensor:
        inverse = 1 / step
        u = x * inverse + zero_point
        ctx.save_for_backward(u, inverse, zero_point)
        ctx.n = n
        return torch.round(u).clamp(0, n)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        u, inverse, zero_point = ctx.saved_tensors
        inside = (u >= 0) & (u < ctx.n)
        grad = torch.where(inside, grads[0] * inverse, 0)
        return grad, -(grad * (u - zero_point)).sum(), None, None
