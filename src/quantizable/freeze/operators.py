"""Traced operations -> nodes of the graph. A new operation is one function here and one row in OPERATORS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import fx

from quantizable.errors import FreezeError
from quantizable.freeze.lower import Lowering, per_axis
from quantizable.freeze.trace import arguments_of
from quantizable.graph import (
    Activation,
    AdaptiveAvgPool,
    Add,
    AvgPool,
    Clip,
    Concat,
    Constant,
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

_HIGHEST = float(np.finfo(np.float32).max)
Arguments = dict[str, Any]
Operator = Callable[[Lowering, fx.Node, Arguments], str]  # adds nodes, returns the edge of the result


class Unsupported(Exception):
    """Why an operation has no node in the graph, as half a sentence."""


def lower_operation(lowering: Lowering, node: fx.Node, path: str) -> None:
    """Add what a traced operation computes.

    Raises:
        FreezeError: the graph has no operation for it; names it, the module around it, and what to do.
    """
    where = path or "the network"
    op = operation_name(node)
    operator = OPERATORS.get(op)
    try:
        if operator is None:
            raise Unsupported("no operation of an IntegerModel computes it")
        lowering.edges[node] = operator(lowering, node, {} if op == "getitem" else arguments_of(node))
    except Unsupported as reason:
        known = _ADVICE.get(op, "write that part with operations that freeze (docs/integer_model.md lists them)")
        raise FreezeError(f"{where}: {op}: {reason}; {known}") from None


def operation_name(node: fx.Node) -> str:
    """Return ``relu.default`` for aten.relu.default, ``getitem`` for taking one of several results."""
    return "getitem" if "getitem" in str(node.target) else str(node.target).removeprefix("aten.")


def _same(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    out = node.meta.get("val")
    if out is not None and out.dtype != torch.float32:
        raise Unsupported(f"the result is {out.dtype}, edges carry float32")
    return lowering.edge(a["self"] if "self" in a else a["input"])


def _function(name: str) -> Operator:
    def operator(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
        return lowering.emit(Activation(_name(lowering, node), lowering.edge(a["self"]), name))

    return operator


def _gelu(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    return _function("gelu_tanh" if a["approximate"] == "tanh" else "gelu")(lowering, node, a)


def _clip(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    low, high = a.get("min", a.get("min_val")), a.get("max", a.get("max_val"))
    bounds = (-_HIGHEST if low is None else float(np.float32(low)), _HIGHEST if high is None else float(np.float32(high)))
    return lowering.emit(Clip(_name(lowering, node), lowering.edge(a["self"]), *bounds))


def _relu6(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    return _clip(lowering, node, {**a, "min": 0, "max": 6})


def _binary(kind: type[Add] | type[Mul] | type[Div]) -> Operator:
    def operator(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
        if a.get("rounding_mode") is not None:
            raise Unsupported(f"rounds the quotient ({a['rounding_mode']})")
        right = _scaled(lowering, _operand(lowering, a["other"]), a.get("alpha", 1))
        return lowering.emit(kind(_name(lowering, node), _operand(lowering, a["self"]), right))

    return operator


def _subtract(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    right = _scaled(lowering, _operand(lowering, a["other"]), -a.get("alpha", 1))  # times -1 is exact: a - b = a + (-b)
    return lowering.emit(Add(_name(lowering, node), _operand(lowering, a["self"]), right))


def _negate(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    return _scaled(lowering, lowering.edge(a["self"]), -1)


def _concat(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    sources = tuple(lowering.edge(tensor) for tensor in a["tensors"])
    return lowering.emit(Concat(_name(lowering, node), sources, _axis(node, a["dim"])))


def _max_pool(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    rank = _rank(node) - 2
    kernel = per_axis(a["kernel_size"], rank)
    stride, padding, dilation = per_axis(a["stride"] or kernel, rank), per_axis(a["padding"], rank), per_axis(a["dilation"], rank)
    source = lowering.edge(a["self"])
    return lowering.emit(MaxPool(_name(lowering, node), source, kernel, stride, padding, dilation, bool(a["ceil_mode"])))


def _avg_pool(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    if a.get("divisor_override") is not None:
        raise Unsupported(f"divides by a number of its own ({a['divisor_override']})")
    rank = _rank(node) - 2
    kernel = per_axis(a["kernel_size"], rank)
    stride, padding = per_axis(a["stride"] or kernel, rank), per_axis(a["padding"], rank)
    flags = (bool(a["ceil_mode"]), bool(a["count_include_pad"]))
    return lowering.emit(AvgPool(_name(lowering, node), lowering.edge(a["self"]), kernel, stride, padding, *flags))


def _adaptive_avg_pool(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    size, name, source = per_axis(a["output_size"], _rank(node) - 2), _name(lowering, node), lowering.edge(a["self"])
    return lowering.emit(GlobalMean(name, source, True) if set(size) == {1} else AdaptiveAvgPool(name, source, size))


def _mean(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    rank = len(a["self"].meta["val"].shape)
    axes = sorted(axis % rank for axis in (a["dim"] if a["dim"] is not None else range(rank)))
    source = lowering.edge(a["self"])
    if axes == list(range(2, rank)):
        return lowering.emit(GlobalMean(_name(lowering, node), source, bool(a["keepdim"])))
    kept = [axis for axis in range(1, rank) if axis not in axes]
    if axes and axes[0] > 0 and len(kept) == 1 and not a["keepdim"]:  # channels last: bring them second
        name = _name(lowering, node)
        moved = lowering.emit(Transpose(lowering.name(f"{name}.transpose"), source, (0, *kept, *axes)))
        return lowering.emit(GlobalMean(name, moved, False))
    raise Unsupported(f"takes the mean over axes {axes} of {rank}, GlobalMean over all but batch and channels")


def _flatten(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    before, after = _shape(a["self"]), _shape(node)
    if before[:1] != after[:1]:
        raise Unsupported(f"mixes the batch with other axes, {before} to {after}")
    name, source = _name(lowering, node), lowering.edge(a["self"])
    if len(after) == 2:
        return lowering.emit(Flatten(name, source))
    is_tail = before[: len(after) - 1] == after[:-1]  # the last axes become one: true for images of any size
    return lowering.emit(Reshape(name, source, (*after[1:-1], -1 if is_tail else after[-1])))


def _transpose(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    axes = list(range(_rank(node)))
    if "dims" in a:
        axes = [axis % len(axes) for axis in a["dims"]]
    else:
        first, second = a["dim0"] % len(axes), a["dim1"] % len(axes)
        axes[first], axes[second] = second, first
    if axes[0] != 0:
        raise Unsupported("moves the batch axis")
    return lowering.emit(Transpose(_name(lowering, node), lowering.edge(a["self"]), tuple(axes)))


def _layer_norm(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    weight, bias = lowering.array(a["weight"]), lowering.array(a["bias"])
    epsilon = float(np.float32(a["eps"]))
    return lowering.emit(LayerNorm(_name(lowering, node), lowering.edge(a["input"]), len(a["normalized_shape"]), epsilon, weight, bias))


def _softmax(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    return lowering.emit(Softmax(_name(lowering, node), lowering.edge(a["self"]), _axis(node, a["dim"])))


def _pad(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    if a.get("mode", "constant") != "constant":
        raise Unsupported(f"pads with mode {a['mode']!r}, Pad with a number")
    pads, rank = a["pad"], _rank(node)
    pairs = [(0, 0)] * (rank - len(pads) // 2) + [(pads[2 * i], pads[2 * i + 1]) for i in reversed(range(len(pads) // 2))]
    if min(map(min, pairs)) < 0 or pairs[0] != (0, 0):
        raise Unsupported(f"pads by {pairs}, Pad by 0 or more and not the batch")
    value = float(np.float32(a.get("value") or 0))
    return lowering.emit(Pad(_name(lowering, node), lowering.edge(a["self"]), tuple(pairs[1:]), value))


def _slice(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    axis = _axis(node, a["dim"])
    size = _shape(a["self"])[axis]
    start, stop, _ = slice(a["start"], a["end"]).indices(size)
    end = None if stop == size else stop
    return lowering.emit(Slice(_name(lowering, node), lowering.edge(a["self"]), axis, start, end, int(a["step"])))


def _getitem(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    """Take one part of a split: a slice."""
    split, index = node.args
    assert isinstance(split, fx.Node)
    assert isinstance(index, int)
    if operation_name(split) not in _SPLITS:
        raise Unsupported(f"takes result {index} of {operation_name(split)}")
    of = arguments_of(split)
    axis = _axis(node, of["dim"])
    starts = np.cumsum([0, *(_size(part.shape, axis) for part in split.meta["val"])])
    start, stop = int(starts[index]), int(starts[index + 1])
    return lowering.emit(Slice(_name(lowering, node), lowering.edge(of["self"]), axis, start, stop, 1))


def _nothing(lowering: Lowering, node: fx.Node, a: Arguments) -> str:
    return ""  # no result, or several: `_getitem` takes those


def _operand(lowering: Lowering, value: Any) -> str:
    if isinstance(value, fx.Node):
        return lowering.edge(value)
    return lowering.emit(Constant(lowering.name(f"{lowering.path}.number".lstrip(".")), np.array(value, np.float32)))


def _scaled(lowering: Lowering, edge: str, factor: float) -> str:
    if factor == 1:
        return edge
    return lowering.emit(Mul(lowering.name(f"{lowering.path}.scaled".lstrip(".")), edge, _operand(lowering, factor)))


def _name(lowering: Lowering, node: fx.Node) -> str:
    """Return the module's path for what a module without children does, else the path and the operation."""
    module = lowering.network.get_submodule(lowering.path)
    is_alone = bool(lowering.path) and next(module.children(), None) is None
    op = operation_name(node).partition(".")[0]
    return lowering.name(lowering.path if is_alone else f"{lowering.path}.{op}".lstrip("."))


def _axis(node: fx.Node, axis: int) -> int:
    found = axis % _rank(node)
    if found == 0:
        raise Unsupported("works along the batch axis")
    return found


def _rank(node: fx.Node) -> int:
    return len(_shape(node))


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(int(size) for size in node.meta["val"].shape)


def _size(shape: Any, axis: int) -> int:
    return int(shape[axis])


_SPLITS = ("split.Tensor", "split_with_sizes.default", "chunk.default")
OPERATORS: dict[str, Operator] = {
    **dict.fromkeys(("clone.default", "contiguous.default", "alias.default", "detach.default", "dropout.default"), _same),
    **dict.fromkeys(("_to_copy.default", "to.dtype", "lift_fresh_copy.default", "identity.default"), _same),
    **{f"{name}.default": _function(name) for name in ("relu", "hardsigmoid", "hardswish", "sigmoid", "silu", "tanh")},
    "gelu.default": _gelu,
    "relu6.default": _relu6,
    **dict.fromkeys(("clamp.default", "clamp_min.default", "clamp_max.default", "hardtanh.default"), _clip),
    **dict.fromkeys(("add.Tensor", "add.Scalar"), _binary(Add)),
    **dict.fromkeys(("mul.Tensor", "mul.Scalar"), _binary(Mul)),
    **dict.fromkeys(("div.Tensor", "div.Scalar", "div.Tensor_mode"), _binary(Div)),
    **dict.fromkeys(("sub.Tensor", "sub.Scalar"), _subtract),
    "neg.default": _negate,
    "cat.default": _concat,
    **dict.fromkeys(("max_pool1d.default", "max_pool2d.default"), _max_pool),
    **dict.fromkeys(("avg_pool1d.default", "avg_pool2d.default"), _avg_pool),
    **dict.fromkeys(("adaptive_avg_pool1d.default", "adaptive_avg_pool2d.default"), _adaptive_avg_pool),
    "mean.dim": _mean,
    **dict.fromkeys(("view.default", "_unsafe_view.default", "reshape.default", "flatten.using_ints"), _flatten),
    **dict.fromkeys(("unsqueeze.default", "squeeze.dim", "squeeze.dims"), _flatten),
    **dict.fromkeys(("permute.default", "transpose.int"), _transpose),
    "layer_norm.default": _layer_norm,
    **dict.fromkeys(("softmax.int", "_softmax.default"), _softmax),
    **dict.fromkeys(("pad.default", "constant_pad_nd.default"), _pad),
    "slice.Tensor": _slice,
    **dict.fromkeys((*_SPLITS, "_assert_tensor_metadata.default"), _nothing),
    "getitem": _getitem,
}
_ADVICE = {
    "linear.default": "let convert quantize this layer: an IntegerModel multiplies by weights in integers",
    "conv1d.default": "let convert quantize this layer: an IntegerModel multiplies by weights in integers",
    "conv2d.default": "let convert quantize this layer: an IntegerModel multiplies by weights in integers",
}
