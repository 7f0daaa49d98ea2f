"""What an IntegerModel computes, in numpy, slow and plain: the law that training and every engine are held to.

Float edges are (N, C, ...), float32. Integer sums are exact; then one multiplication and one addition, each rounded to float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantizable.errors import GraphError
from quantizable.graph import operations
from quantizable.graph.borders import borders_of, int_weights, offsets, out_size
from quantizable.graph.model import FLOAT_MODE, INPUT, InputSpec, IntegerModel
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
    Pad,
    Quantize,
    QuantizeTable,
    Reshape,
    Slice,
    Softmax,
    Transpose,
    sources_of,
)
from quantizable.graph.shapes import shapes_of

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Edge = NDArray[Any]  # float32, or the uint8 codes of a Quantize


def run(model: IntegerModel, x: NDArray[Any], mode: str) -> F32:
    """Return the output of `model` in `mode` for a batch: float32 (N, *model.input.shape), or uint8 images (N, H, W, C).

    Raises:
        GraphError: not a mode of the model, or an input of another shape or dtype.
    """
    return trace(model, x, mode)[model.output]


def trace(model: IntegerModel, x: NDArray[Any], mode: str) -> dict[str, Edge]:
    """Return every edge that `run` makes, by name, in the order of the nodes.

    Raises:
        GraphError: not a mode of the model, an input of another shape or dtype, or images of a size that some operation refuses.
    """
    if mode not in model.modes:
        raise GraphError(f"{model.name}: {mode!r} is none of its modes, which are {', '.join(model.modes)}; choose one of these")
    state = _State.of(model, mode)
    edges: dict[str, Edge] = {INPUT: ready_input(model, x)}
    shapes_of(model, edges[INPUT].shape[1:])  # says which operation an image of this size does not fit
    with np.errstate(all="ignore"):  # infinities and NaN go their way, as in any IEEE arithmetic
        for node in model.nodes:
            sources = [edges[name] for name in sources_of(node)]
            if isinstance(node, Quantize | IntegerConv | IntegerLinear | Affine):
                edges[node.name] = _IN_A_MODE[type(node)](node, *sources, state)
            else:
                edges[node.name] = _IN_FLOAT[type(node)](node, *sources)
    return edges


def input_table(spec: InputSpec) -> F32:
    """Return the number that each byte stands for, float32 (C, 256): u f + o, see InputSpec."""
    mean, std = np.array(spec.mean, np.float64), np.array(spec.std, np.float64)
    factor, offset = (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)
    return np.arange(256, dtype=np.float32) * factor[:, None] + offset[:, None]


def quantize(x: F32, table: QuantizeTable) -> NDArray[np.uint8]:
    """Return q = clip(rint(x (1/d) + z), 0, 2^bits - 1); 1/d, product, and sum are rounded to float32; NaN gets code 0."""
    inverse = np.float32(1) / np.float32(table.step)
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float32 is beyond the highest code
        levels = np.rint(x * inverse + np.float32(table.zero_point))
    codes: NDArray[np.uint8] = np.nan_to_num(np.clip(levels, 0, 2**table.bits - 1), nan=0.0).astype(np.uint8)
    return codes


def ready_input(model: IntegerModel, x: NDArray[Any]) -> F32:
    """Return the float32 input (N, *shape) that `x` stands for.

    Raises:
        GraphError: another shape or dtype, or bytes where the model does not say what they stand for.
    """
    spec, where = model.input, f"{model.name}: input"
    if x.dtype == np.uint8:
        if not spec.mean:
            raise GraphError(f"{where}: uint8 needs the mean and std of the images, the model has none; give float32, or freeze with them")
        if x.ndim != len(spec.shape) + 1 or x.shape[-1] != spec.shape[0]:
            raise GraphError(f"{where}: uint8 must be (N, H, W, {spec.shape[0]}), channels last, found {x.shape}")
        table = input_table(spec)
        channels = [table[c][x[..., c]] for c in range(spec.shape[0])]
        return np.stack(channels, axis=1)
    if x.dtype != np.float32:
        raise GraphError(f"{where}: must be float32 or uint8, found {x.dtype}; convert it")
    if x.ndim != len(spec.shape) + 1 or x.shape[1] != spec.shape[0]:
        expected = ", ".join(map(str, ("N", *spec.shape)))
        raise GraphError(f"{where}: float32 must be ({expected}), found {x.shape}; channels come second")
    return np.ascontiguousarray(x)


@dataclass(frozen=True, slots=True)
class _State:
    """What the nodes look up: the mode, the weights by name, and the zero point of each edge of codes."""

    mode: str
    codes: dict[str, NDArray[np.uint8]]
    floats: dict[str, F32]
    zero_points: dict[str, float]

    @classmethod
    def of(cls, model: IntegerModel, mode: str) -> _State:
        quantizes = [node for node in model.nodes if isinstance(node, Quantize) and mode in node.tables]
        zero_points = {node.name: node.tables[mode].zero_point for node in quantizes}
        return cls(mode, {w.name: w.codes for w in model.weights}, {w.name: w.values for w in model.float_weights}, zero_points)

    def weight(self, node: IntegerConv | IntegerLinear) -> NDArray[Any]:
        """Return the integer weights v of a layer, int16; in fp32 its float weight."""
        if self.mode == FLOAT_MODE:
            return self.floats[node.weight]
        return int_weights(self.codes[node.weight], node.tables[self.mode].weight_bits)


def _quantize(node: Quantize, x: F32, state: _State) -> Edge:
    return x if state.mode == FLOAT_MODE else quantize(x, node.tables[state.mode])


def _convolve(node: IntegerConv, q: Edge, state: _State) -> F32:
    table, weight = node.tables[state.mode], state.weight(node)
    total = _sums(node, q, weight)
    kernel = weight.shape[2:]
    multiplier = table.multiplier.reshape((-1,) + (1,) * len(kernel))
    if table.exact is None:
        return total * multiplier + table.offset.reshape(multiplier.shape)
    borders = borders_of(node, q.shape[2:], kernel)
    by_class = offsets(table, weight, state.zero_points[node.source], borders)
    return total * multiplier + np.moveaxis(by_class[borders.class_of], -1, 0)


def _sums(node: IntegerConv, q: Edge, weight: NDArray[Any]) -> F32:
    """Return float32(A) (N, out, ...), A = sum of v q over the valid taps: one product per tap.

    In float64 no sum of integers below 2^53 is rounded, in any order, and check.py holds them below 2^31. A padded position
    holds code 0 here, which adds nothing: as if it were no tap.
    """
    kernel, groups, n = weight.shape[2:], node.groups, len(q)
    sizes = out_size(node, q.shape[2:], kernel)
    padded = np.pad(q.astype(np.float64), ((0, 0), (0, 0), *node.padding))
    total = np.zeros((n, groups, len(weight) // groups, int(np.prod(sizes))))
    for tap in np.ndindex(*kernel):
        starts = [k * dilation for k, dilation in zip(tap, node.dilation, strict=True)]
        steps = zip(starts, sizes, node.stride, strict=True)
        index: Any = (..., *(slice(start, start + (size - 1) * stride + 1, stride) for start, size, stride in steps))
        of_tap = weight[(slice(None), slice(None), *tap)].astype(np.float64).reshape(groups, -1, weight.shape[1])
        total += of_tap @ padded[index].reshape(n, groups, weight.shape[1], -1)
    return total.reshape(n, len(weight), *sizes).astype(np.float32)


def _multiply(node: IntegerLinear, q: Edge, state: _State) -> F32:
    table, weight = node.tables[state.mode], state.weight(node)
    total = (q.astype(np.float64) @ weight.astype(np.float64).T).astype(np.float32)  # exact before it is rounded, as in _sums
    return total * table.multiplier + table.offset


def _affine(node: Affine, x: F32, state: _State) -> F32:
    table = node.tables[state.mode]
    shape = (-1,) + (1,) * (x.ndim - 2)
    return x * table.multiplier.reshape(shape) + table.offset.reshape(shape)


def _constant(node: Constant) -> F32:
    return node.values


_IN_A_MODE: dict[type, Callable[..., Edge]] = {
    Quantize: _quantize,
    IntegerConv: _convolve,
    IntegerLinear: _multiply,
    Affine: _affine,
}
_IN_FLOAT: dict[type, Callable[..., F32]] = {
    Constant: _constant,
    Add: operations.add,
    Mul: operations.mul,
    Div: operations.div,
    Concat: operations.concat,
    Clip: operations.clip,
    Activation: operations.activation,
    MaxPool: operations.max_pool,
    AvgPool: operations.avg_pool,
    AdaptiveAvgPool: operations.avg_pool,
    GlobalMean: operations.global_mean,
    Flatten: operations.flatten,
    Reshape: operations.reshape,
    Transpose: operations.transpose,
    LayerNorm: operations.layer_norm,
    Softmax: operations.softmax,
    Pad: operations.pad,
    Slice: operations.slice_of,
}
