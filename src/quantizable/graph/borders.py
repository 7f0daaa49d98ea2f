"""Border classes: output positions of a convolution that see the same taps, and the offset t of each class.

Padded positions are no taps, so with a zero point z other than 0 the offset depends on the class (docs/arithmetic.md).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quantizable.graph.nodes import IntegerConv, UnitTable


class Borders(NamedTuple):
    """class_of: int32, the output's shape over space. valid: bool (classes, *kernel), which taps a class sees."""

    class_of: NDArray[np.int32]
    valid: NDArray[np.bool_]


def out_size(conv: IntegerConv, in_size: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, ...]:
    """Return the size of the output over space; a value below 1 means that the kernel does not fit."""
    axes = zip(in_size, kernel, conv.stride, conv.padding, conv.dilation, strict=True)
    return tuple((size + before + after - dilation * (k - 1) - 1) // stride + 1 for size, k, stride, (before, after), dilation in axes)


def borders_of(conv: IntegerConv, in_size: tuple[int, ...], kernel: tuple[int, ...]) -> Borders:
    """Return the border classes of a convolution over an input of `in_size`, numbered by their first output per axis."""
    class_of: NDArray[np.int32] = np.zeros((), np.int32)
    valid: NDArray[np.bool_] = np.ones((1,), np.bool_)
    for axis, n_outputs in enumerate(out_size(conv, in_size, kernel)):
        start = np.arange(n_outputs)[:, None] * conv.stride[axis] - conv.padding[axis][0]
        position = start + np.arange(kernel[axis]) * conv.dilation[axis]
        taps = [tuple(row) for row in ((position >= 0) & (position < in_size[axis])).tolist()]
        kinds = list(dict.fromkeys(taps))
        index = np.array([kinds.index(row) for row in taps], np.int32)
        class_of = class_of[..., None] * np.int32(len(kinds)) + index
        n_classes = len(valid) * len(kinds)
        rows = np.array(kinds).reshape((1, len(kinds)) + (1,) * axis + (kernel[axis],))
        valid = (valid[:, None, ..., None] & rows).reshape(n_classes, *valid.shape[1:], kernel[axis])
    return Borders(class_of, valid)


def int_weights(codes: NDArray[np.uint8], bits: int) -> NDArray[np.int16]:
    """Return v = 2 (code >> (8 - b)) + 1 - 2^b, the odd integers that the top `bits` bits of codes stand for."""
    shifted = (codes >> np.uint8(8 - bits)).astype(np.int16)
    return np.int16(2) * shifted + np.int16(1 - 2**bits)


def offsets(table: UnitTable, weight: NDArray[np.int16], zero_point: float, borders: Borders) -> NDArray[np.float32]:
    """Return t, float32 (classes, out): float32(o - m z V[class]) in float64, left to right, or the table's own t for every class.

    weight: v, int16 (out, in / groups, *kernel). V[class]: the sum of v over the taps that the class sees, rounded to float32.
    """
    if table.exact is None:
        return np.repeat(table.offset[None], len(borders.valid), axis=0)
    by_tap = weight.astype(np.int64).sum(1).reshape(len(weight), -1)
    taps = borders.valid.reshape(len(borders.valid), -1).astype(np.int64) @ by_tap.T
    multiplier, offset = table.exact
    exact: NDArray[np.float64] = offset - multiplier * np.float64(zero_point) * taps.astype(np.float32).astype(np.float64)
    return exact.astype(np.float32)
