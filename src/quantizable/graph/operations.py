"""The float32 operations of a model in numpy, one function a node kind; what each means stands in nodes.py.

Arrays in, an array out, every operation rounded on its own.
Sums run in row-major order, one rounded addition after another: `_sum_in_order`.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantizable.graph.functions import FUNCTIONS, exp
from quantizable.graph.nodes import (
    Activation,
    AdaptiveAvgPool,
    Add,
    AvgPool,
    Clip,
    Concat,
    Div,
    Flatten,
    GlobalMean,
    LayerNorm,
    MaxPool,
    Mul,
    Pad,
    Reshape,
    Slice,
    Softmax,
    Transpose,
)
from quantizable.graph.windows import Window, adaptive_windows, pool_windows

F32 = NDArray[np.float32]


def add(node: Add, left: F32, right: F32) -> F32:
    return left + right


def mul(node: Mul, left: F32, right: F32) -> F32:
    return left * right


def div(node: Div, left: F32, right: F32) -> F32:
    return left / right


def concat(node: Concat, *sources: F32) -> F32:
    joined: F32 = np.concatenate(sources, axis=node.axis)
    return joined


def clip(node: Clip, x: F32) -> F32:
    return np.minimum(np.maximum(x, np.float32(node.low)), np.float32(node.high))


def activation(node: Activation, x: F32) -> F32:
    return FUNCTIONS[node.function](x)


def max_pool(node: MaxPool, x: F32) -> F32:
    windows = [pool_windows(node, axis, size) for axis, size in enumerate(x.shape[2:])]
    out = np.empty((*x.shape[:2], *map(len, windows)), np.float32)
    for place in product(*(range(len(axis)) for axis in windows)):
        inside = _under(x, windows, place)
        out[_at(place)] = inside.reshape(*x.shape[:2], -1).max(-1)
    return out


def avg_pool(node: AvgPool | AdaptiveAvgPool, x: F32) -> F32:
    if isinstance(node, AvgPool):
        windows = [pool_windows(node, axis, size) for axis, size in enumerate(x.shape[2:])]
    else:
        windows = [adaptive_windows(size, outputs) for size, outputs in zip(x.shape[2:], node.size, strict=True)]
    out = np.empty((*x.shape[:2], *map(len, windows)), np.float32)
    for place in product(*(range(len(axis)) for axis in windows)):
        count = np.prod([axis[j].divisor for axis, j in zip(windows, place, strict=True)])
        out[_at(place)] = _sum_in_order(_under(x, windows, place).reshape(*x.shape[:2], -1)) / np.float32(count)
    return out


def global_mean(node: GlobalMean, x: F32) -> F32:
    rows = x.reshape(*x.shape[:2], -1)
    mean = _sum_in_order(rows) / np.float32(rows.shape[-1])
    return mean.reshape(mean.shape + (1,) * (x.ndim - 2)) if node.keep_axes else mean


def flatten(node: Flatten, x: F32) -> F32:
    return x.reshape(len(x), -1)


def reshape(node: Reshape, x: F32) -> F32:
    return x.reshape(len(x), *node.shape)


def transpose(node: Transpose, x: F32) -> F32:
    return np.ascontiguousarray(x.transpose(node.axes))


def layer_norm(node: LayerNorm, x: F32) -> F32:
    """Return (x - mean) (1 / sqrt(variance + epsilon)) weight + bias, with mean = sum x / n, variance = sum (x - mean)^2 / n."""
    rows = x.reshape(*x.shape[: x.ndim - node.n_axes], -1)
    n = np.float32(rows.shape[-1])
    centred = rows - (_sum_in_order(rows) / n)[..., None]
    variance = _sum_in_order(centred * centred) / n
    gain = np.float32(1) / np.sqrt(variance + np.float32(node.epsilon))
    out: F32 = (centred * gain[..., None]).reshape(x.shape)
    if node.weight is not None:
        out = out * node.weight
    if node.bias is not None:
        out = out + node.bias
    return out


def softmax(node: Softmax, x: F32) -> F32:
    powers = exp(x - x.max(node.axis, keepdims=True))
    total = np.expand_dims(_sum_in_order(np.moveaxis(powers, node.axis, -1)), node.axis)
    return powers / total


def pad(node: Pad, x: F32) -> F32:
    padded: F32 = np.pad(x, ((0, 0), *node.padding), constant_values=np.float32(node.value))
    return padded


def slice_of(node: Slice, x: F32) -> F32:
    where = (slice(None),) * node.axis + (slice(node.start, node.stop, node.step),)
    return np.ascontiguousarray(x[where])


def _under(x: F32, windows: list[list[Window]], place: tuple[int, ...]) -> F32:
    values: F32 = x[_at(tuple(axis[j].inside for axis, j in zip(windows, place, strict=True)))]
    return values


def _at(place: tuple[int | slice, ...]) -> Any:
    """Return the index of a place in the axes after the first two."""
    return (slice(None), slice(None), *place)


def _sum_in_order(rows: F32) -> F32:
    """Return the sum over the last axis: ((x0 + x1) + x2) + ..., each addition rounded to float32."""
    total: F32 = np.add.accumulate(rows, axis=-1, dtype=np.float32)[..., -1]
    return total
