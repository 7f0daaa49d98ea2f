"""The shape of every edge of a model, found without running it; each operation says here what it needs of its sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from quantizable.errors import GraphError
from quantizable.graph.borders import out_size
from quantizable.graph.model import INPUT, IntegerModel
from quantizable.graph.nodes import (
    Activation,
    AdaptiveAvgPool,
    Add,
    Affine,
    AvgPool,
    Clip,
    Concat,
    Constant,
    Div,
    Flatten,
    GlobalMean,
    IntegerConv,
    IntegerLinear,
    LayerNorm,
    MaxPool,
    Mul,
    Node,
    Pad,
    Quantize,
    Reshape,
    Slice,
    Softmax,
    Transpose,
    sources_of,
)
from quantizable.graph.windows import n_windows

Shape = tuple[int, ...]
LARGEST_EDGE = 2**31 - 1  # values of one edge for one image: more is a mistake, or an attack


def shapes_of(model: IntegerModel, input_shape: Shape | None = None) -> dict[str, Shape]:
    """Return the shape of every edge for a batch of one, the input's first.

    input_shape: without the batch; None: that of the model.

    Raises:
        GraphError: an operation does not take the shapes that reach it.
    """
    weights = {weight.name: weight.codes.shape for weight in model.weights}
    shapes: dict[str, Shape] = {INPUT: (1, *(model.input.shape if input_shape is None else input_shape))}
    constants = {node.name for node in model.nodes if isinstance(node, Constant)}
    for node in model.nodes:
        sources = [shapes[name] for name in sources_of(node)]
        try:
            if isinstance(node, Add | Mul | Div):
                _needs_batches([shape for name, shape in zip(sources_of(node), sources, strict=True) if name not in constants], sources)
            shape = _RULES[type(node)](node, *sources, weights)
        except _Misfit as misfit:
            raise GraphError(f"{model.name}: {node.name}: {misfit}; found {_words(sources)}") from None
        if not isinstance(node, Constant) and (not shape or shape[0] != 1):
            raise GraphError(f"{model.name}: {node.name}: axis 0 must stay the batch; found {_words(sources)} to {shape}")
        if not 0 < prod(shape) <= LARGEST_EDGE:
            raise GraphError(f"{model.name}: {node.name}: an edge holds 1 to {LARGEST_EDGE} values, found shape {shape}; give other images")
        shapes[node.name] = shape
    return shapes


class _Misfit(Exception):
    """What a node needs of its sources."""


Weights = Mapping[str, Shape]


def _same(node: Node, x: Shape, weights: Weights) -> Shape:
    return x


def _conv(node: IntegerConv, x: Shape, weights: Weights) -> Shape:
    out, per_group, *kernel = weights[node.weight]
    if len(x) != 2 + len(kernel) or x[1] != per_group * node.groups:
        raise _Misfit(f"needs (N, {per_group * node.groups}) and {len(kernel)} axes of space")
    size = out_size(node, x[2:], tuple(kernel))
    if min(size) < 1:
        raise _Misfit(f"a kernel of {tuple(kernel)} does not fit")
    return (x[0], out, *size)


def _linear(node: IntegerLinear, x: Shape, weights: Weights) -> Shape:
    out, features = weights[node.weight]
    if len(x) < 2 or x[-1] != features:
        raise _Misfit(f"needs (N, ..., {features})")
    return (*x[:-1], out)


def _affine(node: Affine, x: Shape, weights: Weights) -> Shape:
    channels = len(next(iter(node.tables.values())).multiplier)
    if len(x) < 2 or x[1] != channels:
        raise _Misfit(f"needs (N, {channels}, ...)")
    return x


def _constant(node: Constant, weights: Weights) -> Shape:
    return node.values.shape


def _broadcast(node: Add | Mul | Div, left: Shape, right: Shape, weights: Weights) -> Shape:
    try:
        return np.broadcast_shapes(left, right)
    except ValueError:
        raise _Misfit("needs shapes that broadcast") from None


def _concat(node: Concat, *sources: Any) -> Shape:
    shapes: tuple[Shape, ...] = sources[:-1]  # the last is the weights
    first, axis = shapes[0], node.axis
    if any(len(shape) <= axis or _without(shape, axis) != _without(first, axis) for shape in shapes):
        raise _Misfit(f"needs shapes that differ in axis {axis} alone")
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


def _pool(node: MaxPool | AvgPool, x: Shape, weights: Weights) -> Shape:
    _needs_space(x, len(node.kernel))
    size = tuple(n_windows(node, axis, length) for axis, length in enumerate(x[2:]))
    if min(size) < 1:
        raise _Misfit(f"a window of {node.kernel} does not fit")
    if isinstance(node, MaxPool) and any(p and d > n for p, d, n in zip(node.padding, node.dilation, x[2:], strict=True)):
        raise _Misfit(f"with dilation {node.dilation} a window would see padding alone")
    return (*x[:2], *size)


def _adaptive(node: AdaptiveAvgPool, x: Shape, weights: Weights) -> Shape:
    _needs_space(x, len(node.size))
    return (*x[:2], *node.size)


def _mean(node: GlobalMean, x: Shape, weights: Weights) -> Shape:
    if len(x) < 3:
        raise _Misfit("needs axes of space")
    return (*x[:2], *((1,) * (len(x) - 2) if node.keep_axes else ()))


def _flatten(node: Flatten, x: Shape, weights: Weights) -> Shape:
    return (x[0], prod(x[1:]))


def _reshape(node: Reshape, x: Shape, weights: Weights) -> Shape:
    total, known = prod(x[1:]), prod(size for size in node.shape if size != -1)
    shape = tuple(total // known if size == -1 else size for size in node.shape)
    if prod(shape) != total:
        raise _Misfit(f"needs as many values as {node.shape} has")
    return (x[0], *shape)


def _transpose(node: Transpose, x: Shape, weights: Weights) -> Shape:
    if sorted(node.axes) != list(range(len(x))):
        raise _Misfit(f"needs {len(node.axes)} axes")
    return tuple(x[axis] for axis in node.axes)


def _layer_norm(node: LayerNorm, x: Shape, weights: Weights) -> Shape:
    if len(x) <= node.n_axes:
        raise _Misfit(f"needs more than {node.n_axes} axes")
    for values in (node.weight, node.bias):
        if values is not None and values.shape != x[len(x) - node.n_axes :]:
            raise _Misfit(f"needs (N, ..., {', '.join(map(str, values.shape))})")
    return x


def _softmax(node: Softmax, x: Shape, weights: Weights) -> Shape:
    _needs_axis(x, node.axis)
    return x


def _pad(node: Pad, x: Shape, weights: Weights) -> Shape:
    if len(x) != 1 + len(node.padding):
        raise _Misfit(f"needs {1 + len(node.padding)} axes")
    return (x[0], *(size + before + after for size, (before, after) in zip(x[1:], node.padding, strict=True)))


def _slice(node: Slice, x: Shape, weights: Weights) -> Shape:
    _needs_axis(x, node.axis)
    return (*x[: node.axis], len(range(x[node.axis])[node.start : node.stop : node.step]), *x[node.axis + 1 :])


def _needs_space(x: Shape, n_axes: int) -> None:
    if len(x) != 2 + n_axes:
        raise _Misfit(f"needs (N, C) and {n_axes} axes of space")


def _needs_batches(edges: list[Shape], sources: list[Shape]) -> None:
    """Check that the batches of two edges meet: they have as many axes as one another, and constants have no more."""
    rank = max(map(len, sources))
    if not edges or any(len(shape) != rank for shape in edges):
        raise _Misfit("needs edges of as many axes as one another, and constants of no more")


def _needs_axis(x: Shape, axis: int) -> None:
    if len(x) <= axis:
        raise _Misfit(f"needs an axis {axis}")


def _without(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])


def _words(sources: list[Shape]) -> str:
    return " and ".join(map(str, sources)) or "no source"


_RULES: dict[type, Callable[..., Shape]] = {
    **dict.fromkeys((Quantize, Clip, Activation), _same),
    **dict.fromkeys((Add, Mul, Div), _broadcast),
    **dict.fromkeys((MaxPool, AvgPool), _pool),
    IntegerConv: _conv,
    IntegerLinear: _linear,
    Affine: _affine,
    Constant: _constant,
    Concat: _concat,
    AdaptiveAvgPool: _adaptive,
    GlobalMean: _mean,
    Flatten: _flatten,
    Reshape: _reshape,
    Transpose: _transpose,
    LayerNorm: _layer_norm,
    Softmax: _softmax,
    Pad: _pad,
    Slice: _slice,
}
