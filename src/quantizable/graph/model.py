"""IntegerModel: a frozen network as plain data, one list of operations for all its modes. What it computes: reference.py.

Nothing is fused and nothing is packed here; whoever runs a model does both. Arrays are read, never written.
Page: docs/integer_model.md.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quantizable.graph.nodes import Node

FLOAT_MODE = "fp32"
INPUT = "input"  # the name of the edge that carries the network's input


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a network reads: float32 (N, *shape); with `mean` and `std` also uint8 images, channels last.

    shape: without the batch: (C, H, W), (C, L) or (C,). C is fixed; H, W and L are those of the example the network was frozen
        with, and others do where every operation allows them.
    mean, std: per channel, of u / 255, std > 0. A byte u stands for the float32 number u * f + o, each operation rounded, with
        f = float32(1 / (255 std)) and o = float32(-mean / std). Both empty: uint8 is refused.
    """

    shape: tuple[int, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class WeightCodes:
    """The codes of one layer's weights, for all integer modes.

    codes: uint8 (out, in / groups, kh, kw), (out, in / groups, k) or (out, in). At b bits the integer weight is
        v = 2 (codes >> (8 - b)) + 1 - 2^b.
    always_bits: 8 where every integer mode of the model uses 8 bits of these codes, else None.
    """

    name: str
    codes: NDArray[np.uint8]
    always_bits: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FloatWeight:
    """The float weight of a layer for the mode fp32: float32, in the shape of the codes with the same name."""

    name: str
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class IntegerModel:
    """A network in all its modes.

    modes: names from the highest to the lowest, such as ("fp32", "w8a8", "w2a4"). "fp32" is there if and only if
        `float_weights` holds the weight of every layer.
    nodes: in the order in which they run. Each makes one edge, named like the node; the input's edge is "input".
    output: the edge that is the result.
    class_names: of the result's last axis; may be empty.
    """

    name: str
    input: InputSpec
    modes: tuple[str, ...]
    weights: tuple[WeightCodes, ...]
    nodes: tuple[Node, ...]
    output: str
    class_names: tuple[str, ...] = ()
    float_weights: tuple[FloatWeight, ...] = ()

    @property
    def integer_modes(self) -> tuple[str, ...]:
        """The modes that multiply integers: all but fp32."""
        return tuple(mode for mode in self.modes if mode != FLOAT_MODE)

    def keep(self, modes: tuple[str, ...]) -> IntegerModel:
        """Return the model with only these of its modes: tables of others go, codes and their `always_bits` stay."""
        nodes = tuple(_keep_tables(node, modes) for node in self.nodes)
        kept = tuple(mode for mode in self.modes if mode in modes)
        return replace(self, modes=kept, nodes=nodes, float_weights=self.float_weights if FLOAT_MODE in kept else ())


def equal(left: object, right: object) -> bool:
    """Return True where two models, nodes, or tables hold the same values: types, names, dtypes, shapes, every bit of arrays."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(value, right[key]) for key, value in left.items())
    if is_dataclass(left) and not isinstance(left, type):
        return all(equal(getattr(left, field.name), getattr(right, field.name)) for field in fields(left))
    return left == right


def _keep_tables(node: Node, modes: tuple[str, ...]) -> Node:
    tables = getattr(node, "tables", None)
    if tables is None:
        return node
    return replace(node, tables={mode: table for mode, table in tables.items() if mode in modes})  # type: ignore[arg-type]
