"""The arithmetic of one unit: integer sums, then one multiplication and one addition in float32.

This is the plain form of the law (docs/arithmetic.md) for any device; fused.py computes the same faster on some CPUs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quantizable.network.quantizers import Codes, Integers

EXACT = 2**24  # integers up to here are exact in float32
Operation = Callable[[Tensor, Tensor], Tensor]  # (input, weight) -> output, without bias
Norm = nn.modules.batchnorm._BatchNorm


def unit(
    operate: Operation, codes: Codes, weight: Integers, bias: Tensor | None, norm: Norm | None, *, bound: int, bits: int, axis: int
) -> Tensor:
    """Return y = float32(A) m + t, with A = sum over the valid taps of v q.

    Where the norm takes its statistics from the batch, y is that norm of ``d s (A - z V) + bias`` instead: m and t are not
    constants then.

    Args:
        operate: the convolution or product, without bias; its padding adds zeros.
        codes: q, d, z of the input (z None where it is 0).
        weight: v, s.
        bias: float32 (out,) or None.
        norm: the bit-specific norm computed together with the layer, or None.
        bound: largest sum of |v| over the taps of an output.
        bits: of the codes.
        axis: axis of the output channels in y.
    """
    q, step, zero_point = codes
    factor = step * weight.scale
    if norm is not None and uses_batch_statistics(norm):
        centred = q if zero_point is None else q - zero_point
        total = operate(centred, weight.values)  # rounded sums: far below the noise of a batch
        y = total * _along(factor, total, axis)
        return batch_norm(norm, y if bias is None else y + _along(bias, y, axis))
    total = _sum(operate, q, weight.values, bound=bound, bits=bits)
    multiplier, offset = fold(step, weight.scale, bias, norm)
    if zero_point is None:
        return total * _along(multiplier.float(), total, axis) + _along(offset.float(), total, axis)
    taps = _sum(operate, torch.ones_like(q[:1]), weight.values, bound=bound, bits=1)  # V: sum of the weights of the valid taps
    border = _along(offset, taps, axis) - _along(multiplier, taps, axis) * zero_point.double() * taps.double()
    return total * _along(multiplier.float(), total, axis) + border.float()


def fold(step: Tensor, scale: Tensor, bias: Tensor | None, norm: Norm | None) -> tuple[Tensor, Tensor]:
    """Return (m, t) of a unit, float64 (out,): y = A m + t, where the norm uses its running statistics."""
    multiplier = step.double() * scale.double()
    offset = torch.zeros_like(multiplier) if bias is None else bias.double()
    if norm is None:
        return multiplier, offset
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = 1 / torch.sqrt(norm.running_var.double() + norm.eps)
    if norm.weight is not None:
        gain = gain * norm.weight.double()
    offset = (offset - norm.running_mean.double()) * gain
    if norm.bias is not None:
        offset = offset + norm.bias.double()
    return multiplier * gain, offset


def normalize(norm: Norm, x: Tensor) -> Tensor:
    """Return `x` normalised by a norm that no layer computes with its sums: x m + t in float32 with running statistics."""
    if uses_batch_statistics(norm):
        return norm(x)  # type: ignore[no-any-return]
    one = torch.ones((), device=x.device)
    multiplier, offset = fold(one, one.expand(x.shape[1]), None, norm)
    return (x.float() * _along(multiplier.float(), x, 1) + _along(offset.float(), x, 1)).to(x.dtype)


def uses_batch_statistics(norm: Norm) -> bool:
    """Return True where `norm` normalises with the statistics of the batch."""
    return norm.training or norm.running_mean is None


def batch_norm(norm: Norm, x: Tensor) -> Tensor:
    """Return `x` normalised as `norm` would, its running statistics updated when it trains."""
    momentum = 0.0 if norm.momentum is None else norm.momentum
    if norm.training and norm.track_running_stats and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if norm.momentum is None:  # a plain average over all batches
            momentum = 1.0 / float(norm.num_batches_tracked)
    tracks = not norm.training or norm.track_running_stats
    mean, variance = (norm.running_mean, norm.running_var) if tracks else (None, None)
    own = next((tensor.dtype for tensor in (norm.running_mean, norm.weight) if tensor is not None), x.dtype)
    y = F.batch_norm(x.to(own), mean, variance, norm.weight, norm.bias, uses_batch_statistics(norm), momentum, norm.eps)
    return y.to(x.dtype)


def _sum(operate: Operation, q: Tensor, v: Tensor, *, bound: int, bits: int) -> Tensor:
    """Return float32(A) for A = sum v q, with codes q of `bits` bits and sums of |v| up to `bound`.

    Sums of integers below 2^24 are exact in float32 in any order. Codes that could go beyond are cut into digits of fewer bits
    whose sums cannot; float64 adds those and rounds once.
    """
    if bound >= EXACT:  # more than 65,793 taps of 8 bits
        return operate(q.double(), v.double()).float()
    digits = bits
    while digits > 1 and bound * (2**digits - 1) >= EXACT:
        digits -= 1
    with _exact_products(q):
        if digits == bits:
            return operate(q, v)
        rounded = operate(q, v) if torch.is_grad_enabled() and (q.requires_grad or v.requires_grad) else None
        with torch.no_grad():
            total = torch.zeros((), dtype=torch.float64, device=q.device)
            for shift in range(0, bits, digits):
                digit = torch.floor(q / 2**shift).remainder(2**digits)
                total = total + operate(digit, v).double() * 2**shift
    exact = total.float()
    return exact if rounded is None else _Replaced.apply(rounded, exact)  # type: ignore[no-untyped-call]


class _Replaced(torch.autograd.Function):
    """(y, better) -> better, with the gradient of y: digits of a code have none."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, better: Tensor) -> Tensor:
        return better.view_as(better)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def _exact_products(q: Tensor) -> AbstractContextManager[None]:
    if not q.is_cuda:
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=torch.backends.cudnn.benchmark, allow_tf32=False)


def _along(values: Tensor, like: Tensor, axis: int) -> Tensor:
    shape = [1] * like.ndim
    shape[axis] = -1
    return values.view(shape)
