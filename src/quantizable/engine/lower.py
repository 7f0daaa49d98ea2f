"""From an IntegerModel in one mode, and the shape of a batch, to steps: layers and what follows them; moves.py has the other nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantizable.engine import moves
from quantizable.engine.builder import Builder, Operand, Step, buffer_of, constant
from quantizable.engine.chains import HEADS, Chain, Readers, chain_from
from quantizable.engine.kernels import Kernels
from quantizable.engine.tensor import Shape, Tensor, channels_last
from quantizable.graph import (
    FLOAT_MODE,
    INPUT,
    Activation,
    Add,
    Affine,
    Clip,
    Constant,
    IntegerConv,
    IntegerLinear,
    IntegerModel,
    Node,
    Quantize,
    QuantizeTable,
    borders_of,
    input_table,
    int_weights,
    offsets,
    quantize,
    shapes_of,
    sources_of,
)

FUNCTION_NUMBERS = {  # as in cpp/engine/arguments.hpp
    name: number
    for number, name in enumerate(
        ("none", "clip", "relu", "hardsigmoid", "hardswish", "sigmoid", "silu", "gelu", "gelu_tanh", "tanh")
    )
}  # fmt: skip
PackedOf = Callable[[IntegerConv | IntegerLinear, str], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Plan:
    """steps: in the order in which they run. input, output: the tensors of the caller; the output is row-major."""

    steps: list[Step]
    input: Tensor
    output: Tensor


def lower(model: IntegerModel, mode: str, batch: Tensor, kernels: Kernels, packed_of: PackedOf) -> Plan:
    """Return the plan of `model` in `mode` for a batch.

    batch: the input as the caller has it, of the model's axes (N, C, ...); bytes of images where its elements are of 1 byte.
    packed_of: (layer, name of its kernel) -> its weights in this mode as that kernel wants them.

    Raises:
        GraphError: an operation does not take images of this size.
    """
    plan = _Lowering(model, mode, batch, kernels, packed_of)
    for node in model.nodes:
        plan.take(node)
    return plan.finished()


class _Lowering:
    """The edges made so far, and how a node of each kind is added to them."""

    def __init__(self, model: IntegerModel, mode: str, batch: Tensor, kernels: Kernels, packed_of: PackedOf) -> None:
        self.model, self.mode, self.batch, self.packed_of = model, mode, batch, packed_of
        self.builder = Builder(kernels)
        self.edges: dict[str, Tensor] = {}
        if batch.element_bytes == 4:
            self.edges[INPUT] = batch
        self.made: dict[str, None] = {INPUT: None}
        self.readers = Readers(model.nodes, model.output, mode)
        self.shapes = _with_batch(model, shapes_of(model, batch.shape[1:]), batch.shape[0])
        self.codes = {weight.name: weight.codes for weight in model.weights}
        self.tables = {node.name: node.tables[mode] for node in model.nodes if isinstance(node, Quantize) and mode in node.tables}

    def take(self, node: Node) -> None:
        """Add one node, and those that run with it; one that ran with another is there already."""
        if node.name in self.made:
            return
        if isinstance(node, Quantize) and self.mode == FLOAT_MODE:
            self.edges[node.name] = self.edge(node.source)
        elif isinstance(node, Quantize) and node.source == INPUT and INPUT not in self.edges:
            self.edges[node.name] = self._bytes(node.tables[self.mode])
        elif isinstance(node, HEADS) and not self._is_broadcast(node):
            self._chain(chain_from(node, self.readers, self.made, self.shapes))
        else:
            sources = [self.edge(name) for name in sources_of(node)]
            self.edges[node.name] = moves.add(self.builder, node, sources, self.shapes[node.name])
        self.made[node.name] = None

    def edge(self, name: str) -> Tensor:
        """Return the tensor of an edge; the float32 values of an input of bytes are looked up when first asked for."""
        if name not in self.edges:
            assert name == INPUT
            self.edges[INPUT] = self._bytes(None)
        return self.edges[name]

    def finished(self) -> Plan:
        """Return the plan; its result is the caller's memory."""
        result = self.builder.row_major("output", self.edge(self.model.output))
        if result.buffer.space != "arena" or not any(_writes(step, result) for step in self.builder.steps):
            target = self.builder.new(result.shape)
            self.builder.copy("output", result, target, result.shape)
            result = target
        result.buffer.space = "output"
        return Plan(self.builder.steps, self.batch, result)

    def _is_broadcast(self, node: Node) -> bool:
        return isinstance(node, Add) and not self.shapes[node.left] == self.shapes[node.right] == self.shapes[node.name]

    def _bytes(self, table: QuantizeTable | None) -> Tensor:
        """Return what the bytes of the input stand for: float32, or the codes of that."""
        values = input_table(self.model.input)
        entries: NDArray[Any] = values if table is None else quantize(values, table)
        target = self.builder.new(self.batch.shape, self.batch.order, entries.itemsize)
        channels = self.batch.shape[1]
        self.builder.add(
            INPUT, "table", "u8", prod(self.batch.shape) // channels, integers={"channels": channels},
            reads={"source": self.batch, "table": entries}, writes={"values" if table is None else "codes": target},
        )  # fmt: skip
        return target

    def _chain(self, chain: Chain) -> None:
        head = chain.head
        if isinstance(head, IntegerConv):
            self._conv(head, chain)
        elif isinstance(head, IntegerLinear):
            self._linear(head, chain)
        else:
            self._pointwise(head, chain)
        self.made.update(dict.fromkeys(chain.names))

    def _conv(self, conv: IntegerConv, chain: Chain) -> None:
        source = self.builder.in_order(conv.name, self.edge(conv.source), channels_last(len(self.shapes[conv.source])))
        kernel, in_size, out = self.codes[conv.weight].shape[2:], source.shape[2:], self.shapes[conv.name]
        plane = (1,) * (2 - len(kernel))  # one axis is an image of height 1
        pairs = {
            "": (plane + in_size), "out_": (plane + out[2:]), "kernel_": (plane + kernel), "stride_": (plane + conv.stride),
            "dilation_": (plane + conv.dilation),
        }  # fmt: skip
        integers: dict[str, int] = {
            f"{what}{side}": value for what, sizes in pairs.items() for side, value in zip(("height", "width"), sizes, strict=True)
        }
        top, left = (0,) * len(plane) + tuple(before for before, _ in conv.padding)
        integers |= {"in_channels": source.shape[1], "groups": conv.groups, "pad_top": top, "pad_left": left}
        macs = prod(out) * self.codes[conv.weight][0].size
        reads: dict[str, Operand] = {"source": source}
        self._unit(conv, chain, integers, reads, out, channels_last(len(out)), out[0] * integers["out_height"], macs)

    def _linear(self, linear: IntegerLinear, chain: Chain) -> None:
        """Add a linear layer: a convolution of 1 x 1 over images of one position."""
        source = self.edge(linear.source)
        if source.order[-1] != source.rank - 1:
            source = self.builder.row_major(linear.name, source)
        out, features = self.shapes[linear.name], source.shape[-1]
        ones = ("height", "width", "out_height", "out_width", "kernel_height", "kernel_width", "stride_height", "stride_width",
                "dilation_height", "dilation_width", "groups")  # fmt: skip
        integers = {**dict.fromkeys(ones, 1), "pad_top": 0, "pad_left": 0, "in_channels": features}
        self._unit(linear, chain, integers, {"source": source}, out, source.order, prod(out[:-1]), prod(out) * features)

    def _unit(
        self, node: IntegerConv | IntegerLinear, chain: Chain, integers: dict[str, int], reads: dict[str, Operand],
        shape: Shape, order: tuple[int, ...], items: int, macs: int,
    ) -> None:  # fmt: skip
        operands = "f32" if self.mode == FLOAT_MODE else "u8"
        reads["weight"] = self.packed_of(node, self.builder.kernels.name("conv", operands))
        table, codes = node.tables[self.mode], self.codes[node.weight]
        reads["multiplier"], reads["offset"] = constant(table.multiplier, np.float32), constant(table.offset, np.float32)
        if table.exact is not None:
            assert isinstance(node, IntegerConv)
            borders = borders_of(node, self.shapes[node.source][2:], codes.shape[2:])
            zero_point = self.tables[node.source].zero_point
            reads["offset"] = constant(offsets(table, int_weights(codes, table.weight_bits), zero_point, borders), np.float32)
            reads["class_of"] = constant(borders.class_of, np.int32)
        channels = len(codes)
        integers |= {"channels": channels, "area": integers["out_height"] * integers["out_width"]}
        scratch = integers["out_width"] * channels * 8 + channels * 4
        self._finish(chain, ("conv", operands), items, integers, reads, (shape, order), scratch, macs)

    def _pointwise(self, head: Node, chain: Chain) -> None:
        source = self.edge(sources_of(head)[0])
        reads: dict[str, Operand] = {}
        if isinstance(head, Affine):
            table = head.tables[self.mode]
            source = self.builder.in_order(head.name, source, channels_last(source.rank))
            reads = {"multiplier": constant(table.multiplier, np.float32), "offset": constant(table.offset, np.float32)}
        reads["source"] = source
        channels = source.shape[source.order[-1]] if source.rank else 1
        rows = source.size // channels if channels else 0
        integers = {"channels": channels, "area": 1}
        self._finish(chain, ("pointwise", "f32"), rows, integers, reads, (source.shape, source.order), channels * 4, 0)

    def _finish(
        self, chain: Chain, kind: tuple[str, str], items: int, integers: dict[str, int], reads: dict[str, Operand],
        layout: tuple[Shape, tuple[int, ...]], scratch_bytes: int, macs: int,
    ) -> None:  # fmt: skip
        """Add the step of a chain: what its head needs, and its epilogue."""
        shape, order = layout
        numbers: dict[str, float] = {}
        function = chain.function
        if chain.add is not None:
            reads["residual"] = self.builder.in_order(chain.add.name, self.edge(chain.residual), order)
        if isinstance(function, Clip):
            numbers |= {"low": function.low, "high": function.high}
        name = function.function if isinstance(function, Activation) else "none" if function is None else "clip"
        writes: dict[str, Operand] = {}
        if chain.keeps_values:
            self.edges[chain.edge] = self.builder.new(shape, order)
            writes["values"] = self.edges[chain.edge]
        if chain.quantizes:
            table = self.tables[chain.quantizes[0].name]
            inverse = float(np.float32(1) / np.float32(table.step))
            numbers |= {"inverse": inverse, "zero": table.zero_point, "top": float(2**table.bits - 1)}
            codes = self.builder.new(shape, order, element_bytes=1)
            writes["codes"] = codes
            self.edges.update({node.name: codes for node in chain.quantizes})
        integers["function"] = FUNCTION_NUMBERS[name]
        self.builder.add(
            chain.head.name, *kind, items, integers=integers, numbers=numbers, reads=reads, writes=writes,
            scratch_bytes=scratch_bytes, macs=macs,
        )  # fmt: skip


def _with_batch(model: IntegerModel, shapes: Mapping[str, Shape], n: int) -> dict[str, Shape]:
    """Return the shapes for a batch of `n`; what constants alone make keeps its own."""
    follows = {INPUT}
    for node in model.nodes:
        if not isinstance(node, Constant) and follows & set(sources_of(node)):
            follows.add(node.name)
    return {name: (n, *shape[1:]) if name in follows else shape for name, shape in shapes.items()}


def _writes(step: Step, tensor: Tensor) -> bool:
    return any(buffer_of(operand) is tensor.buffer for operand in step.writes.values())
