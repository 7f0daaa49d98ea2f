"""The compiled passes of a unit, over tensors: the only callers of `_native.unit_*`, which take addresses.

Activations are (N, C, H, W) channels last, float32 unless said; "rows" are pixels. What each pass computes stands in
cpp/training/*.hpp. The checks here are asserts: a wrong dtype or layout is our own mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from quantizable import _native
from quantizable.network.convolution import Borders, Geometry, Pair


class Scales(NamedTuple):
    """What makes m and t of a unit: step d, scale s (out,), bias (out,), zero point z, tap sums V (classes, out)."""

    step: float
    scale: Tensor
    bias: Tensor | None
    zero_point: float
    taps: Tensor | None  # None where z is 0


class NormState(NamedTuple):
    """A batch norm's tensors, float32 (out,) or None, and eps."""

    gamma: Tensor | None
    beta: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None
    eps: float


class Folded(NamedTuple):
    """y = A multiplier + offset: float32 (out,) and (classes, out); saved: float64 (3, out) for the gradient."""

    multiplier: Tensor
    offset: Tensor
    saved: Tensor


class NormGradient(NamedTuple):
    """Coefficients float32 (2 + classes, out) of the gradient of A; gradients float32 (3, out) of gamma, beta, and bias."""

    coefficients: Tensor
    gradients: Tensor
    direct: float  # gradient of log d that does not go through A
    by_step: float  # sum of (gradient of y) y where g is that of codes, else 0


class Opening(NamedTuple):
    """Where the gradient of codes passes to their value x, in u = x inverse + z.

    peak: float32 (channels,), 1 / half width of a triangle around 1/2; None: a box, 1 for low <= u <= high.
    """

    inverse: float
    zero_point: float
    low: float
    high: float
    peak: Tensor | None

    @classmethod
    def of(cls, inverse: float, zero_point: float, shape: tuple[float, float] | Tensor, channels: int) -> Opening:
        """Return the opening of this shape: (low, high) of the box, or the triangle's half width, (channels,) or (1,)."""
        if not isinstance(shape, Tensor):
            return cls(inverse, zero_point, *shape, None)
        return cls(inverse, zero_point, 0.0, 0.0, shape.reciprocal().expand(channels).contiguous())


class Coded(NamedTuple):
    """y = A m + t and the opening of the codes of y."""

    folded: Folded
    opening: Opening


def quantize(x: Tensor, inverse: float, zero_point: float, bits: int) -> tuple[Tensor, bool]:
    """Return codes q = clip(rint(x inverse + z), 0, 2^bits - 1), uint8, and whether all values are numbers."""
    q = torch.empty_like(x, dtype=torch.uint8)
    are_numbers = _native.unit_quantize(*_rows(x), _at(x, torch.float32), inverse, zero_point, 2.0**bits - 1, q.data_ptr())
    return q, are_numbers


def relu_quantize(x: Tensor, inverse: float, zero_point: float, bits: int) -> tuple[Tensor, Tensor, bool]:
    """Return max(x, 0), float32, and what `quantize` returns."""
    out, q = torch.empty_like(x), torch.empty_like(x, dtype=torch.uint8)
    grid = (inverse, zero_point, 2.0**bits - 1)
    are_numbers = _native.unit_relu_quantize(*_rows(x), _at(x, torch.float32), *grid, out.data_ptr(), q.data_ptr())
    return out, q, are_numbers


def widen(q: Tensor, zero_point: float, dtype: torch.dtype) -> Tensor:
    """Return q - z in bfloat16 (exact where |2 (q - z)| <= 256) or float32."""
    out = torch.empty_like(q, dtype=dtype)
    _native.unit_widen(*_rows(q), _at(q, torch.uint8), zero_point, _at(out, dtype), dtype is torch.bfloat16)
    return out


def window_sums(q: Tensor, kernel: Pair, geometry: Geometry) -> Tensor:
    """Return the sum of the codes under each window and group, int32 (N, H, W, groups)."""
    images, channels, *in_size = q.shape
    out_size = geometry.out_size((in_size[0], in_size[1]), kernel)
    stride, padding, dilation, groups = geometry
    out = torch.empty((images, *out_size, groups), dtype=torch.int32)
    at = (_at(q, torch.uint8), out.data_ptr())
    sizes = ((in_size[0], in_size[1]), out_size, kernel, stride, padding, dilation)
    _native.unit_window_sums(images, channels, groups, torch.get_num_threads(), *sizes, *at)
    return out


def add_window_sums(sums: Tensor, window: Tensor) -> float:
    """Set A := 2 A + window sum in place; return the largest |A| before."""
    groups = window.shape[3]
    assert window.numel() // groups == sums.numel() // sums.shape[1]
    return _native.unit_add_window_sums(*_rows(sums), groups, window.data_ptr(), _at(sums, torch.float32))


def statistics(sums: Tensor, shift: Tensor | None, borders: Borders | None) -> Tensor:
    """Return sum and sum of squares of A' = A - shift over the pixels, float64 (2, out)."""
    total = torch.empty((2, sums.shape[1]), dtype=torch.float64)
    at = (_at(sums, torch.float32), _vector_at(shift, torch.float32), *_borders_at(borders, sums))
    _native.unit_statistics(*_rows(sums), *at, total.data_ptr())
    return total


def epilogue(sums: Tensor, folded: Folded, borders: Borders | None, out: Tensor) -> None:
    """Set out = A m + t; `out` may be `sums`."""
    at = (_at(sums, torch.float32), *_epilogue_at(folded), *_borders_at(borders, sums))
    _native.unit_epilogue(*_rows(sums), *at, _at(out, torch.float32))


def epilogue_codes(sums: Tensor, folded: Folded, borders: Borders | None, out: Tensor, inverse: float, zero_point: float, bits: int
                   ) -> tuple[Tensor, bool]:  # fmt: skip
    """Do what `epilogue` does, and return what `quantize` would return for `out`."""
    q = torch.empty_like(sums, dtype=torch.uint8)
    at = (_at(sums, torch.float32), *_epilogue_at(folded), *_borders_at(borders, sums))
    grid = (inverse, zero_point, 2.0**bits - 1)
    return q, _native.unit_epilogue_codes(*_rows(sums), *at, *grid, _at(out, torch.float32), q.data_ptr())


def fold_batch(scales: Scales, norm: NormState, total: Tensor, count: int, momentum: float) -> Folded:
    """Return m and t of the norm with the batch's statistics; running statistics move in place by `momentum`."""
    folded = _empty_fold(scales)
    at = [tensor.data_ptr() for tensor in folded]
    _native.unit_fold_batch(_scales_at(scales), _norm_at(norm), total.data_ptr(), count, momentum, *at)
    return folded


def fold_running(scales: Scales, norm: NormState) -> Folded:
    """Return m and t of the norm with its running statistics; without running_mean there is no norm."""
    folded = _empty_fold(scales)
    _native.unit_fold_running(_scales_at(scales), _norm_at(norm), *(tensor.data_ptr() for tensor in folded))
    return folded


def norm_gradient(g: Tensor, sums: Tensor, scales: Scales, norm: NormState, saved: Tensor, shift: Tensor | None,
                  borders: Borders | None, *, is_batch: bool, coded: Coded | None = None) -> NormGradient:  # fmt: skip
    """Return what the gradient g of y becomes, for the norm's parameters and as coefficients for `norm_input`.

    With `coded`, g is the gradient of the codes of y, bfloat16 or float32.
    """
    rows, channels, threads = _rows(sums)
    by_step = 0.0
    behind = (_vector_at(shift, torch.float32), *_borders_at(borders, sums))
    if coded is None:
        total = torch.empty((2, channels), dtype=torch.float64)
        _native.unit_norm_sums(rows, channels, threads, _at(g, torch.float32), _at(sums, torch.float32), *behind, total.data_ptr())
    else:
        total = torch.empty((3, channels), dtype=torch.float64)
        at = (_at(g, g.dtype), g.dtype is torch.bfloat16, _at(sums, torch.float32), *_coded_at(coded))
        _native.unit_coded_sums(rows, channels, threads, *at, *behind, total.data_ptr())
        by_step = float(total[2].sum())
    coefficients, gradients = torch.empty((2 + _n_classes(scales), channels)), torch.empty((3, channels))
    what = (_scales_at(scales), _norm_at(norm), saved.data_ptr(), total.data_ptr())
    out = (coefficients.data_ptr(), gradients.data_ptr())
    if is_batch:
        direct = _native.unit_norm_gradient_batch(*what, sums.numel() // channels, *out)
    else:
        direct = _native.unit_norm_gradient_running(*what, *out)
    return NormGradient(coefficients, gradients, direct, by_step)


def norm_input(g: Tensor, sums: Tensor, coefficients: Tensor, borders: Borders | None, dtype: torch.dtype, coded: Coded | None = None
               ) -> Tensor:  # fmt: skip
    """Return the gradient of A, in `dtype` (bfloat16 or float32); with `coded`, g has that dtype too."""
    out = torch.empty_like(sums, dtype=dtype)
    by_g = _vector_at(coefficients, torch.float32)
    row = 4 * sums.shape[1]
    behind = (by_g, by_g + row, by_g + 2 * row, *_borders_at(borders, sums))
    is_bf16 = dtype is torch.bfloat16
    rows, channels, threads = _rows(sums)
    if coded is None:
        _native.unit_norm_input(rows, channels, threads, _at(g, torch.float32), _at(sums, torch.float32), *behind, _at(out, dtype), is_bf16)
    else:
        at = (_at(g, dtype), is_bf16, _at(sums, torch.float32), *_coded_at(coded))
        _native.unit_coded_input(rows, channels, threads, *at, *behind, _at(out, dtype))
    return out


def window(g: Tensor, x: Tensor, opening: Opening, skip: Tensor | None = None) -> tuple[Tensor, float]:
    """Return (gradient of x, sum of w(u) g (u - z)) with u = x inverse + z.

    g: bfloat16 or float32. skip: float32 gradient of max(x, 0), which is added.
    """
    out = torch.empty_like(x)
    rows, channels, threads = _rows(x)
    beside = 0 if skip is None else _at(skip, torch.float32)
    at = (_at(g, g.dtype), g.dtype is torch.bfloat16, _at(x, torch.float32), _opening_at(opening), beside)
    total = _native.unit_window(rows, channels, threads, *at, out.data_ptr())
    return out, total


def code_weights(weight: Tensor, channel_range: Tensor, bits: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return (int8, bfloat16) integer weights (bits, *weight.shape), in the layout of `weight`, and scales (bits, out)."""
    out_channels, k = len(weight), weight[0].numel()
    assert weight.dtype is torch.float32
    assert weight.stride(0) == k
    strides = (weight.numel(), *weight.stride())
    integer, wide = (torch.empty_strided((len(bits), *weight.shape), strides, dtype=t) for t in (torch.int8, torch.bfloat16))
    scale = torch.empty((len(bits), out_channels))
    at = (weight.data_ptr(), _vector_at(channel_range, torch.float32), list(bits), integer.data_ptr(), wide.data_ptr(), scale.data_ptr())
    _native.unit_code_weights(out_channels, k, torch.get_num_threads(), *at)
    return integer, wide, scale


def divide_rows(g: Tensor, scale: Tensor, like: Tensor) -> Tensor:
    """Return g / scale per row, float32, in the shape and layout of `like`; g is bfloat16 or float32."""
    if g.stride() != like.stride():
        g = torch.empty_like(like, dtype=g.dtype).copy_(g)
    out = torch.empty_like(like, dtype=torch.float32)
    k = g[0].numel()
    assert g.stride(0) == k
    at = (g.data_ptr(), g.dtype is torch.bfloat16, _vector_at(scale, torch.float32), out.data_ptr())
    _native.unit_divide_rows(len(g), k, torch.get_num_threads(), *at)
    return out


def checksum(tensor: Tensor, seed: int = 0) -> int:
    """Return a 64-bit number that changes with any value of a float32 tensor without gaps, whatever wrote it."""
    assert tensor.dtype is torch.float32
    return _native.unit_checksum(tensor.numel(), tensor.data_ptr(), seed)


def _rows(x: Tensor) -> tuple[int, int, int]:
    channels = x.shape[1]
    return x.numel() // channels, channels, torch.get_num_threads()


def _at(x: Tensor, dtype: torch.dtype) -> int:
    assert x.dtype is dtype, x.dtype
    assert x.is_contiguous(memory_format=torch.channels_last), x.stride()
    return x.data_ptr()


def _vector_at(values: Tensor | None, dtype: torch.dtype) -> int:
    if values is None:
        return 0
    assert values.dtype is dtype, values.dtype
    assert values.is_contiguous(), values.stride()
    return values.data_ptr()


def _borders_at(borders: Borders | None, sums: Tensor) -> tuple[int, int]:
    if borders is None:
        return 0, 1
    assert borders.class_of.numel() == sums.shape[2] * sums.shape[3]
    return borders.class_of.data_ptr(), borders.class_of.numel()


def _epilogue_at(folded: Folded) -> tuple[int, int]:
    return _vector_at(folded.multiplier, torch.float32), _vector_at(folded.offset, torch.float32)


def _opening_at(opening: Opening) -> tuple[float, float, float, float, int]:
    inverse, zero_point, low, high, peak = opening
    return inverse, zero_point, low, high, _vector_at(peak, torch.float32)


def _coded_at(coded: Coded) -> tuple[tuple[int, int], tuple[float, float, float, float, int]]:
    return _epilogue_at(coded.folded), _opening_at(coded.opening)


def _n_classes(scales: Scales) -> int:
    return 1 if scales.taps is None else len(scales.taps)


def _empty_fold(scales: Scales) -> Folded:
    channels = len(scales.scale)
    saved = torch.empty((3, channels), dtype=torch.float64)
    return Folded(torch.empty(channels), torch.empty((_n_classes(scales), channels)), saved)


def _scales_at(scales: Scales) -> tuple[int, int, float, int, int, float, int]:
    f32 = torch.float32
    vectors = (_vector_at(scales.scale, f32), _vector_at(scales.bias, f32))
    return len(scales.scale), _n_classes(scales), scales.step, *vectors, scales.zero_point, _vector_at(scales.taps, f32)


def _norm_at(norm: NormState) -> tuple[int, int, int, int, float]:
    f32 = torch.float32
    gamma, beta = _vector_at(norm.gamma, f32), _vector_at(norm.beta, f32)
    return gamma, beta, _vector_at(norm.running_mean, f32), _vector_at(norm.running_var, f32), norm.eps
