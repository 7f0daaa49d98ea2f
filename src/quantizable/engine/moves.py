"""Steps of the nodes that no epilogue takes in: broadcasting, moved values, pooling, norms over axes, softmax."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from quantizable.engine.builder import Builder, Operand, constant, loops
from quantizable.engine.tensor import Shape, Tensor, channels_last
from quantizable.errors import EngineError
from quantizable.graph import (
    AdaptiveAvgPool,
    Add,
    AvgPool,
    Concat,
    Constant,
    Div,
    Flatten,
    GlobalMean,
    LayerNorm,
    MaxPool,
    Mul,
    Node,
    Pad,
    Reshape,
    Slice,
    Softmax,
    Transpose,
    Window,
    adaptive_windows,
    pool_windows,
)


def add(builder: Builder, node: Node, sources: list[Tensor], shape: Shape) -> Tensor:
    """Return the tensor of `shape` that `node` makes of its sources, its steps added to the builder."""
    made: Tensor = _RULES[type(node)](builder, node, *sources, shape)
    return made


def _constant(builder: Builder, node: Constant, shape: Shape) -> Tensor:
    """Return a copy of a constant in the arena; it is small, and read as any other tensor is."""
    target = builder.new(shape)
    sizes, (strides,) = loops(shape, target.order, (target.strides,))
    builder.add(
        node.name, "copy", "any", prod(sizes[:-1]),
        integers={"element_bytes": 4, "sizes": sizes, "source_strides": strides, "target_strides": strides},
        reads={"source": constant(node.values, np.float32)}, writes={"target": target},
    )  # fmt: skip
    return target


def _binary(builder: Builder, node: Add | Mul | Div, left: Tensor, right: Tensor, shape: Shape) -> Tensor:
    order = next((source.order for source in (left, right) if source.shape == shape), tuple(range(len(shape))))
    target = builder.new(shape, order)
    sizes, strides = loops(shape, order, (left.strides_for(shape), right.strides_for(shape), target.strides))
    of_left, of_right, of_target = strides
    builder.add(
        node.name, "binary", "f32", prod(sizes[:-1]),
        integers={"operator": (Add, Mul, Div).index(type(node)), "sizes": sizes, "left_strides": of_left, "right_strides": of_right,
                  "target_strides": of_target},
        reads={"left": left, "right": right}, writes={"target": target},
    )  # fmt: skip
    return target


def _concat(builder: Builder, node: Concat, *sources: Any) -> Tensor:
    *parts, shape = sources
    target = builder.new(shape, parts[0].order)
    start = 0
    for part in parts:
        block = tuple(part.shape[axis] if axis == node.axis else size for axis, size in enumerate(shape))
        builder.copy(node.name, part, target, block, target_start=start * target.strides[node.axis])
        start += part.shape[node.axis]
    return target


def _slice(builder: Builder, node: Slice, x: Tensor, shape: Shape) -> Tensor:
    target = builder.new(shape, x.order)
    strides = tuple(stride * node.step if axis == node.axis else stride for axis, stride in enumerate(x.strides))
    builder.copy(node.name, x, target, shape, source_strides=strides, source_start=node.start * x.strides[node.axis])
    return target


def _pad(builder: Builder, node: Pad, x: Tensor, shape: Shape) -> Tensor:
    target = builder.new(shape, x.order)
    builder.add(node.name, "fill", "f32", target.size, numbers={"value": node.value}, reads={}, writes={"target": target})
    start = sum(before * stride for (before, _), stride in zip(((0, 0), *node.padding), target.strides, strict=True))
    builder.copy(node.name, x, target, x.shape, target_start=start)
    return target


def _reshape(builder: Builder, node: Flatten | Reshape, x: Tensor, shape: Shape) -> Tensor:
    return builder.row_major(node.name, x).seen_as(shape)


def _transpose(builder: Builder, node: Transpose, x: Tensor, shape: Shape) -> Tensor:
    """Return the same memory: axis i of the result is axis axes[i] of the source."""
    return x.seen_as(shape, tuple(node.axes.index(axis) for axis in x.order))


def _pool(builder: Builder, node: MaxPool | AvgPool | AdaptiveAvgPool, x: Tensor, shape: Shape) -> Tensor:
    if isinstance(node, AdaptiveAvgPool):
        windows = [adaptive_windows(size, outputs) for size, outputs in zip(x.shape[2:], node.size, strict=True)]
    else:
        windows = [pool_windows(node, axis, size) for axis, size in enumerate(x.shape[2:])]
    return _windows(builder, node, x, shape, x.shape[2:], windows)


def _mean(builder: Builder, node: GlobalMean, x: Tensor, shape: Shape) -> Tensor:
    """Return the mean over one window, all axes of space as one."""
    area = prod(x.shape[2:])
    return _windows(builder, node, x, shape, (area,), [adaptive_windows(area, 1)])


def _windows(builder: Builder, node: Node, x: Tensor, shape: Shape, size: Shape, windows: list[list[Window]]) -> Tensor:
    if len(size) > 2:
        raise EngineError(f"{node.name}: pools over {len(size)} axes, the engine has windows over 1 or 2; reshape before it")
    whole = Window(slice(0, 1), 1)
    rows, columns = [[whole]] * (2 - len(windows)) + windows
    height, width = (1,) * (2 - len(size)) + size
    source = builder.in_order(node.name, x, channels_last(x.rank))
    target = builder.new(shape, channels_last(len(shape)))
    builder.add(
        node.name, "max_pool" if isinstance(node, MaxPool) else "mean_pool", "f32", shape[0] * len(rows),
        integers={"height": height, "width": width, "out_height": len(rows), "out_width": len(columns), "channels": x.shape[1]},
        reads={"source": source, "row_windows": _table(rows), "column_windows": _table(columns)}, writes={"target": target},
    )  # fmt: skip
    return target


def _table(windows: list[Window]) -> Any:
    """Return windows as int32 (n, 4): first, last + 1, step, divisor."""
    return np.array([(w.inside.start, w.inside.stop, w.inside.step or 1, w.divisor) for w in windows], np.int32)


def _layer_norm(builder: Builder, node: LayerNorm, x: Tensor, shape: Shape) -> Tensor:
    last = tuple(range(x.rank - node.n_axes, x.rank))
    source = x if x.order[-node.n_axes :] == last else builder.row_major(node.name, x)
    target = builder.new(shape, source.order)
    reads: dict[str, Operand] = {"source": source}
    reads |= {what: constant(values, np.float32) for what, values in (("weight", node.weight), ("bias", node.bias)) if values is not None}
    n = prod(shape[-node.n_axes :])
    items = prod(shape) // n
    integers = {"n": n}
    builder.add(
        node.name, "layer_norm", "f32", items, integers=integers, numbers={"epsilon": node.epsilon}, reads=reads, writes={"target": target}
    )
    return target


def _softmax(builder: Builder, node: Softmax, x: Tensor, shape: Shape) -> Tensor:
    target = builder.new(shape, x.order)
    n = shape[node.axis]
    integers = {"n": n, "inner": x.strides[node.axis]}
    builder.add(node.name, "softmax", "f32", prod(shape) // n, integers=integers, reads={"source": x}, writes={"target": target})
    return target


_RULES: dict[type, Callable[..., Tensor]] = {
    **dict.fromkeys((Add, Mul, Div), _binary),
    **dict.fromkeys((MaxPool, AvgPool, AdaptiveAvgPool), _pool),
    **dict.fromkeys((Flatten, Reshape), _reshape),
    Constant: _constant,
    Concat: _concat,
    Slice: _slice,
    Pad: _pad,
    Transpose: _transpose,
    GlobalMean: _mean,
    LayerNorm: _layer_norm,
    Softmax: _softmax,
}
