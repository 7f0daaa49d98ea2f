"""The exact integer convolution: uint8 codes by int8 weights, summed in int32 by oneDNN, returned as float32(A).

Exact on CPUs with AVX512 VNNI; older ones add pairs of products in 16 bits, which saturate (why `fused.is_available` asks).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

EXACT = 2**24  # integers up to here are exact in float32
Pair = tuple[int, int]


class Geometry(NamedTuple):
    """How the kernel of a 2-d convolution moves: (vertical, horizontal) pairs, and groups."""

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    def out_size(self, in_size: Pair, kernel: Pair) -> Pair:
        """Return (height, width) of the output."""
        reach = [self.dilation[i] * (kernel[i] - 1) + 1 for i in (0, 1)]
        height, width = ((in_size[i] + 2 * self.padding[i] - reach[i]) // self.stride[i] + 1 for i in (0, 1))
        return height, width


class Borders(NamedTuple):
    """Border classes: output pixels of a class have the same valid taps.

    class_of: int32 (out height * out width,), in row-major order.
    valid: bool (classes, kernel height, kernel width): which taps are inside the input.
    """

    class_of: Tensor
    valid: Tensor

    def tap_sums(self, weight: Tensor) -> Tensor:
        """Return V, the sum of the valid taps' weights, float32 (classes, out); exact for integers below 2^24 / taps."""
        by_tap = weight.double().sum(1).flatten(1)
        return (self.valid.flatten(1).double() @ by_tap.t()).float()


@lru_cache(maxsize=256)
def borders_of(in_size: Pair, kernel: Pair, geometry: Geometry) -> Borders:
    """Return the border classes of a convolution over images of `in_size`."""
    classes, valid = [], []
    for axis in (0, 1):
        outputs = geometry.out_size(in_size, kernel)[axis]
        position = torch.arange(outputs)[:, None] * geometry.stride[axis] - geometry.padding[axis]
        position = position + torch.arange(kernel[axis]) * geometry.dilation[axis]
        rows, index = torch.unique((position >= 0) & (position < in_size[axis]), dim=0, return_inverse=True)
        classes.append(index)
        valid.append(rows)
    class_of = classes[0][:, None] * len(valid[1]) + classes[1]
    both = valid[0][:, None, :, None] & valid[1][None, :, None, :]
    return Borders(class_of.flatten().int(), both.flatten(0, 1))


def pack(integers: Tensor, geometry: Geometry, input_shape: torch.Size) -> Tensor:
    """Return int8 weights (out, in / groups, kh, kw) in oneDNN's layout for inputs of that shape."""
    ones, _ = _unit_scale(len(integers))
    stride, padding, dilation, groups = geometry
    return torch.ops.onednn.qconv_prepack(integers, ones, 1.0, 0, stride, padding, dilation, groups, input_shape)  # type: ignore[no-any-return]


def integer_sums(q: Tensor, packed: Tensor, out_channels: int, geometry: Geometry) -> Tensor:
    """Return float32(A) (N, out, H, W) channels last, A = sum of v q over the valid taps, |A| < 2^31, rounded once.

    q: uint8 (N, in, H, W) channels last. packed: from `pack`.
    """
    ones, zeros = _unit_scale(out_channels)
    stride, padding, dilation, groups = geometry
    sums: Tensor = torch.ops.onednn.qconv2d_pointwise(
        q, 1.0, 0, packed, ones, zeros, None, stride, padding, dilation, groups, 1.0, 0, torch.float32, "none", [], ""
    )
    return sums.contiguous(memory_format=torch.channels_last)


@lru_cache(maxsize=256)
def _unit_scale(channels: int) -> tuple[Tensor, Tensor]:
    return torch.ones(channels), torch.zeros(channels, dtype=torch.int32)
