"""Calls of a trace -> nodes of an IntegerModel, one after another: the edges made so far, and names for new ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import fx, nn

from quantizable.errors import FreezeError
from quantizable.freeze.fold import affine_table, codes_of, float_table, float_weight_of, quantize_table, unit_table
from quantizable.freeze.trace import Call, Trace, arguments_of
from quantizable.graph import (
    FLOAT_MODE,
    INPUT,
    Affine,
    Constant,
    FloatWeight,
    IntegerConv,
    IntegerLinear,
    Node,
    Quantize,
    WeightCodes,
)
from quantizable.network import BitSpecificNorm, QuantizedLayer

_CONVOLUTIONS = {"conv1d.default": 1, "conv2d.default": 2, "conv1d.padding": 1, "conv2d.padding": 2}
_ONLY = "an IntegerModel has convolutions over 1 or 2 axes and linear layers; put one of these in its place"
_PADS = ("pad.default", "constant_pad_nd.default")


class Lowering:
    """The nodes of a model while they are made.

    modes: the names of all modes of the model. path: of the module around what is lowered now, for names and errors.
    """

    def __init__(self, network: nn.Module, trace: Trace, modes: Sequence[str]) -> None:
        self.network, self.trace, self.modes = network, trace, modes
        self.integer_modes = tuple(mode for mode in modes if mode != FLOAT_MODE)
        self.path = ""
        self.nodes: list[Node] = []
        self.weights: dict[str, WeightCodes] = {}
        self.float_weights: dict[str, FloatWeight] = {}
        self.edges: dict[fx.Node, str] = {trace.input: INPUT}
        self._codes: dict[tuple[str, int], Quantize] = {}  # (edge, its quantizers) -> the codes that layers share
        self._names: set[str] = {INPUT}

    def emit(self, node: Node) -> str:
        """Add a node and return the name of its edge."""
        self.nodes.append(node)
        return node.name

    def name(self, wanted: str) -> str:
        """Return `wanted`, or `wanted` with a number behind where it is taken."""
        name, count = wanted or "network", 1
        while name in self._names:
            count += 1
            name = f"{wanted}_{count}"
        self._names.add(name)
        return name

    def edge(self, node: fx.Node) -> str:
        """Return the edge that carries the result of a traced operation; constants become nodes when first read."""
        if node not in self.edges:
            values = self.trace.constants[node].detach().float().cpu().numpy()
            name = self.name(self.trace.names.get(node, node.name))
            self.edges[node] = self.emit(Constant(name, np.ascontiguousarray(values, np.float32)))
        return self.edges[node]

    def array(self, node: fx.Node | None) -> NDArray[np.float32] | None:
        """Return the values of a constant operand, float32; None for none."""
        return None if node is None else np.ascontiguousarray(self.trace.constants[node].detach().float().cpu().numpy())

    def layer(self, call: Call) -> None:
        """Add the codes of a layer's input, where no layer before made them, and the layer."""
        layer = call.module
        assert isinstance(layer, QuantizedLayer)
        operation = call.out
        rank = _CONVOLUTIONS.get(_op(operation))
        if rank is None and _op(operation) != "linear.default":
            what = f"{type(layer).__name__.removeprefix('Switchable')} ends in {_op(operation)}"
            raise FreezeError(f"{layer._layer_name}: {what}; {_ONLY}")
        codes = self._quantize(layer, call)
        weight = self._weight(layer)
        name = self.name(f"{layer._layer_name}@{call.count}" if call.count else layer._layer_name)
        padding = () if rank is None else _padding(call, rank)
        is_padded = any(map(any, padding))
        tables = {mode: unit_table(layer, mode, codes.tables[mode], is_padded=is_padded) for mode in self.integer_modes}
        if FLOAT_MODE in self.modes:
            tables = {FLOAT_MODE: float_table(layer), **tables}
        if rank is None:
            made: Node = IntegerLinear(name, codes.name, weight, tables)
        else:
            a = arguments_of(operation)
            stride, dilation = per_axis(a["stride"], rank), per_axis(a["dilation"], rank)
            made = IntegerConv(name, codes.name, weight, stride, padding, dilation, int(a["groups"]), tables)
        self.edges[operation] = self.emit(made)

    def norm(self, call: Call) -> None:
        """Add a norm that no layer takes in; one that a layer took in passes its input on."""
        norm = call.module
        assert isinstance(norm, BitSpecificNorm)
        source = self.edges[self._source(call)]
        if norm._is_absorbed:
            self.edges[call.out] = source
            return
        tables = {mode: affine_table(norm, mode, call.path) for mode in self.modes}
        self.edges[call.out] = self.emit(Affine(self.name(call.path), source, tables))

    def _source(self, call: Call) -> fx.Node:
        """Return the one tensor that a call reads and that depends on the network's input."""
        inside = set(call.nodes)
        read = {argument for node in call.nodes for argument in node.all_input_nodes if argument not in inside}
        found = [node for node in read if node not in self.trace.constants]
        if len(found) != 1:
            raise FreezeError(f"{call.path}: must read one tensor, found {len(found)}; {_ONLY}")
        return found[0]

    def _quantize(self, layer: QuantizedLayer, call: Call) -> Quantize:
        source = self.edges[self._source(call)]
        key = (source, id(layer.input_quantizers))
        if key not in self._codes:
            tables = {mode: quantize_table(layer, mode) for mode in self.integer_modes}
            node = Quantize(self.name(f"{layer._layer_name}.input"), source, tables)
            self.emit(node)
            self._codes[key] = node
        return self._codes[key]

    def _weight(self, layer: QuantizedLayer) -> str:
        """Return the name of a layer's codes; added when first asked for."""
        name = layer._layer_name
        if name not in self.weights:
            bits = {layer._bits[mode][0] for mode in self.integer_modes}
            self.weights[name] = WeightCodes(name, codes_of(layer), 8 if bits == {8} else None)
            self.float_weights[name] = FloatWeight(name, float_weight_of(layer).numpy().copy())
        return name


def _padding(call: Call, rank: int) -> tuple[tuple[int, int], ...]:
    """Return (before, after) per axis of the zeros that a layer puts around its input, by itself or by a pad before it."""
    *before, operation = call.nodes
    a = arguments_of(operation)
    if isinstance(a["padding"], str):
        total = [(k - 1) * d for k, d in zip(_kernel(call, rank), per_axis(a["dilation"], rank), strict=True)]
        padding = [(0, 0) if a["padding"] == "valid" else (size // 2, size - size // 2) for size in total]
    else:
        padding = [(size, size) for size in per_axis(a["padding"], rank)]
    for node in before:
        if _op(node) not in _PADS:
            raise FreezeError(f"{call.path}: does {_op(node)} before it convolves; {_ONLY}")
        pads = arguments_of(node)["pad"]  # from the last axis: (before, after), ...
        extra = [(pads[2 * i], pads[2 * i + 1]) for i in reversed(range(len(pads) // 2))][-rank:]
        padding = [(low + more_low, high + more_high) for (low, high), (more_low, more_high) in zip(padding, extra, strict=True)]
    return tuple(padding)


def _kernel(call: Call, rank: int) -> tuple[int, ...]:
    assert isinstance(call.module, QuantizedLayer)
    return tuple(float_weight_of(call.module).shape[-rank:])


def per_axis(value: Any, rank: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return tuple(int(size) for size in (values * rank if len(values) == 1 else values))


def _op(node: fx.Node) -> str:
    """Return the name of a traced operation without its library: ``conv2d.default``."""
    return str(node.target).removeprefix("aten.")
