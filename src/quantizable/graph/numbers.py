"""Checks of the numbers that nodes hold for all modes: sizes, strides, axes, constants."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantizable.errors import GraphError
from quantizable.graph.model import IntegerModel
from quantizable.graph.nodes import (
    AdaptiveAvgPool,
    AvgPool,
    Clip,
    Concat,
    Constant,
    IntegerConv,
    LayerNorm,
    MaxPool,
    Node,
    Pad,
    Reshape,
    Slice,
    Softmax,
    Transpose,
)

LARGEST = 2**31 - 1  # of any size, stride, or padding


def check_fields(model: IntegerModel, node: Node) -> None:
    """Return nothing where the fields of `node` that no mode changes are sound by themselves.

    Raises:
        GraphError: a size or an axis is no integer, or out of range, or a number is not finite.
    """
    rule = _RULES.get(type(node))
    if rule is not None:
        rule(f"{model.name}: {node.name}", node, model)


def _conv(where: str, node: IntegerConv, model: IntegerModel) -> None:
    codes = next(weight.codes for weight in model.weights if weight.name == node.weight)
    rank = codes.ndim - 2
    _sizes(where, "stride", node.stride, rank)
    _sizes(where, "dilation", node.dilation, rank)
    _pairs(where, node.padding, rank)
    _size(where, "groups", node.groups)
    if len(codes) % node.groups:
        raise GraphError(f"{where}: groups must divide the {len(codes)} output channels, found {node.groups}")


def _pool(where: str, node: MaxPool | AvgPool, model: IntegerModel) -> None:
    rank = len(node.kernel)
    if rank not in (1, 2):
        raise GraphError(f"{where}: kernel must have 1 or 2 sizes, found {node.kernel}")
    _sizes(where, "kernel", node.kernel, rank)
    _sizes(where, "stride", node.stride, rank)
    _sizes(where, "padding", node.padding, rank, least=0)
    if isinstance(node, MaxPool):
        _sizes(where, "dilation", node.dilation, rank)
    if any(2 * padding > kernel for padding, kernel in zip(node.padding, node.kernel, strict=True)):
        raise GraphError(f"{where}: padding must be at most half the kernel {node.kernel}, found {node.padding}")


def _adaptive(where: str, node: AdaptiveAvgPool, model: IntegerModel) -> None:
    _sizes(where, "size", node.size, len(node.size))


def _clip(where: str, node: Clip, model: IntegerModel) -> None:
    _number(where, "low", node.low)
    _number(where, "high", node.high)
    if node.low > node.high:
        raise GraphError(f"{where}: low must not be above high, found {node.low} and {node.high}")


def _constant(where: str, node: Constant, model: IntegerModel) -> None:
    _array(where, "values", node.values)


def _concat(where: str, node: Concat, model: IntegerModel) -> None:
    if not node.sources:
        raise GraphError(f"{where}: needs sources, found none")
    _axis(where, node.axis)


def _reshape(where: str, node: Reshape, model: IntegerModel) -> None:
    known = [size for size in node.shape if size != -1]
    _sizes(where, "shape", known, len(known))
    if len(known) < len(node.shape) - 1:
        raise GraphError(f"{where}: one size may be -1, found {node.shape}")


def _transpose(where: str, node: Transpose, model: IntegerModel) -> None:
    if not node.axes or node.axes[0] != 0 or sorted(node.axes) != list(range(len(node.axes))):
        raise GraphError(f"{where}: axes must be 0 and then the others in any order, found {node.axes}")


def _layer_norm(where: str, node: LayerNorm, model: IntegerModel) -> None:
    _size(where, "n_axes", node.n_axes)
    _number(where, "epsilon", node.epsilon)
    if not node.epsilon > 0:
        raise GraphError(f"{where}: epsilon must be above 0, found {node.epsilon}")
    for what, values in (("weight", node.weight), ("bias", node.bias)):
        if values is not None:
            _array(where, what, values)


def _softmax(where: str, node: Softmax, model: IntegerModel) -> None:
    _axis(where, node.axis)


def _pad(where: str, node: Pad, model: IntegerModel) -> None:
    _pairs(where, node.padding, len(node.padding))
    _number(where, "value", node.value)


def _slice(where: str, node: Slice, model: IntegerModel) -> None:
    _axis(where, node.axis)
    _size(where, "step", node.step)
    _size(where, "start", node.start, least=0)
    if node.stop is not None:
        _size(where, "stop", node.stop)


def _size(where: str, what: str, value: object, *, least: int = 1) -> None:
    if type(value) is not int or not least <= value <= LARGEST:  # type() because True is an int
        raise GraphError(f"{where}: {what} must be an integer from {least} to 2^31 - 1, found {value!r}")


def _axis(where: str, value: object) -> None:
    _size(where, "axis", value)  # 0 is the batch


def _sizes(where: str, what: str, values: Iterable[object], rank: int, *, least: int = 1) -> None:
    found = tuple(values)
    if len(found) != rank:
        raise GraphError(f"{where}: {what} needs {rank} values, one an axis, found {found}")
    for value in found:
        _size(where, what, value, least=least)


def _pairs(where: str, values: tuple[tuple[int, int], ...], rank: int) -> None:
    if len(values) != rank or any(len(pair) != 2 for pair in values):
        raise GraphError(f"{where}: padding needs (before, after) for {rank} axes, found {values}")
    for pair in values:
        _sizes(where, "padding", pair, 2, least=0)


def _number(where: str, what: str, value: object) -> None:
    is_float32 = isinstance(value, float) and math.isfinite(value) and abs(value) <= np.finfo(np.float32).max
    if not (is_float32 and float(np.float32(value)) == value):  # type: ignore[arg-type]
        raise GraphError(f"{where}: {what} must be a finite float32 number, found {value!r}")


def _array(where: str, what: str, values: NDArray[np.float32]) -> None:
    if values.dtype != np.float32 or not np.isfinite(values).all():
        raise GraphError(f"{where}: {what} must be finite float32, found {values.dtype}; train the network again")


_RULES: dict[type, Callable[[str, Any, IntegerModel], None]] = {
    IntegerConv: _conv,
    MaxPool: _pool,
    AvgPool: _pool,
    AdaptiveAvgPool: _adaptive,
    Clip: _clip,
    Constant: _constant,
    Concat: _concat,
    Reshape: _reshape,
    Transpose: _transpose,
    LayerNorm: _layer_norm,
    Softmax: _softmax,
    Pad: _pad,
    Slice: _slice,
}
