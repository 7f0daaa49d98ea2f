"""The IntegerModel that a header and the sections of a prefix describe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantizable.artifact.arrays import TYPES, Cursor, Tree, put_back
from quantizable.artifact.canonical import Value
from quantizable.artifact.fields import from_tree, table_kind
from quantizable.artifact.header import Header
from quantizable.artifact.planes import N_PLANES, plane_bytes, unpack_planes
from quantizable.artifact.refusal import cut, refusal
from quantizable.artifact.sections import CONSTANTS, FLOAT, TABLES, WHOLE, StoredMode, StoredWeight, tables_of
from quantizable.errors import GraphError
from quantizable.graph import (
    NODE_KINDS,
    FloatWeight,
    InputSpec,
    IntegerConv,
    IntegerLinear,
    IntegerModel,
    Node,
    WeightCodes,
    check,
)
from quantizable.modes import FLOAT_BITS

Bytes = NDArray[np.uint8]


def decode(header: Header, sections: Mapping[str, memoryview], modes: Sequence[StoredMode], *, where: str) -> IntegerModel:
    """Return the network in these of its modes, proven sound by `graph.check`. Arrays of tables and whole codes are views.

    Args:
        sections: name -> bytes of every section that the modes need, of the length and hash that the header states.

    Raises:
        ArtifactError: the header and the sections do not make a sound network; see ADVICE for the reasons.
    """
    tables = _tables(header, sections, modes, where)
    constants = Cursor(sections.get(CONSTANTS, memoryview(b"")), where=where, section=CONSTANTS)
    input_spec = from_tree(InputSpec, _fields(header.input, constants), where=where, at="input")
    nodes = tuple(_node(node, position, constants, tables, where) for position, node in enumerate(header.nodes))
    constants.finish()
    planes = max((mode.bits for mode in modes if mode.bits != FLOAT_BITS), default=N_PLANES)
    has_float = any(mode.bits == FLOAT_BITS for mode in modes)
    model = IntegerModel(
        header.name,
        input_spec,
        tuple(mode.name for mode in modes),
        _weights(header.weights, sections, planes, where),
        nodes,
        header.output,
        header.class_names,
        _float_weights(header.weights, sections, where) if has_float else (),
    )
    try:
        check(model)
    except (GraphError, ArithmeticError, LookupError, TypeError, ValueError) as error:  # a hostile file may trip the check itself
        raise refusal(where, "graph", f"holds no sound network: {cut(str(error), 250)}") from error
    for mode in modes:
        if needed_bits(model, mode.name) != mode.bits:
            raise refusal(where, "mode", f"mode {mode.name} is said to need {mode.bits} planes, found {needed_bits(model, mode.name)}")
    return model


def needed_bits(model: IntegerModel, mode: str) -> int:
    """Return how many planes a mode needs: the most weight bits of its layers, those stored whole left out; 32 for fp32.

    Where all layers are stored whole there are no planes, and a mode counts as one of 8 bits.
    """
    whole = {weight.name for weight in model.weights if weight.always_bits is not None}
    units = [node for node in model.nodes if isinstance(node, IntegerConv | IntegerLinear)]
    return max((node.tables[mode].weight_bits for node in units if node.weight not in whole), default=N_PLANES)


def _fields(node: dict[str, Value], cursor: Cursor) -> dict[str, Tree]:
    tree = put_back({key: value for key, value in node.items() if key not in (TABLES, "kind")}, cursor)
    assert isinstance(tree, dict)
    return tree


def _node(node: dict[str, Value], position: int, constants: Cursor, tables: list[dict[str, dict[str, Tree]]], where: str) -> Node:
    kind: type[Any] = NODE_KINDS[str(node["kind"])]
    at = f"nodes[{position}]"
    its_table = table_kind(kind)
    if its_table is None:
        if TABLES in node:
            raise refusal(where, "field", f"{at} has tables, {kind.__name__} is the same in every mode")
        return from_tree(kind, _fields(node, constants), where=where, at=at)  # type: ignore[no-any-return]
    own = {mode: from_tree(its_table, tree, where=where, at=f"{at} in mode {mode}") for mode, tree in tables[position].items()}
    return from_tree(kind, _fields(node, constants), where=where, at=at, tables=own)  # type: ignore[no-any-return]


def _tables(
    header: Header, sections: Mapping[str, memoryview], modes: Sequence[StoredMode], where: str
) -> list[dict[str, dict[str, Tree]]]:
    """Return node by node: mode -> fields of its table."""
    layout_of: list[list[tuple[int, int]]] = [[] for _ in header.modes]  # mode by mode: (node, layout of its table)
    for position, node in enumerate(header.nodes):
        for numbers, layout in tables_of(node):
            for number in numbers:
                layout_of[number].append((position, layout))
    found: list[dict[str, dict[str, Tree]]] = [{} for _ in header.nodes]
    for bits in sorted({mode.bits for mode in modes}):
        section = f"{TABLES} {bits}"
        cursor = Cursor(sections.get(section, memoryview(b"")), where=where, section=section)
        for mode, entries in zip(header.modes, layout_of, strict=True):
            for position, layout in entries if mode.bits == bits else ():
                tree = put_back(header.layouts[layout], cursor)
                assert isinstance(tree, dict)
                found[position][mode.name] = tree
        cursor.finish()
    return found


def _weights(weights: Sequence[StoredWeight], sections: Mapping[str, memoryview], n_planes: int, where: str) -> tuple[WeightCodes, ...]:
    whole = _Bytes(sections, WHOLE, where)
    names = [f"plane {number}" for number in range(1, n_planes + 1)]
    planes = [_Bytes(sections, name, where) for name in names if name in sections]
    found = []
    for weight in weights:
        if weight.whole:
            codes = whole.take(weight.n_codes)
        else:
            codes = unpack_planes([plane.take_bits(weight.n_codes) for plane in planes], weight.n_codes)
        found.append(WeightCodes(weight.name, codes.reshape(weight.shape), 8 if weight.whole else None))
    for section in (whole, *planes):
        section.finish()
    return tuple(found)


def _float_weights(weights: Sequence[StoredWeight], sections: Mapping[str, memoryview], where: str) -> tuple[FloatWeight, ...]:
    cursor = Cursor(sections.get(FLOAT, memoryview(b"")), where=where, section=FLOAT)
    found = tuple(FloatWeight(weight.name, cursor.take(TYPES["f32"], weight.shape)) for weight in weights)
    cursor.finish()
    return found


class _Bytes:
    """A section of bytes, layer after layer."""

    def __init__(self, sections: Mapping[str, memoryview], section: str, where: str) -> None:
        self._rest = np.frombuffer(sections.get(section, b""), np.uint8)
        self._section, self._where = section, where

    def take(self, size: int) -> Bytes:
        """Return the next `size` bytes."""
        found, self._rest = self._rest[:size], self._rest[size:]
        assert len(found) == size
        return found

    def take_bits(self, n_codes: int) -> Bytes:
        """Return the bytes of the next plane of `n_codes` bits; bits past the last are 0."""
        found = self.take(plane_bytes(n_codes))
        if n_codes % 8 and found[-1] >> (n_codes % 8):
            raise refusal(
                self._where, "padding", f"section {self._section!r} has a bit other than 0 between its contents", section=self._section
            )
        return found

    def finish(self) -> None:
        """Raise ArtifactError unless what is left is 0."""
        if self._rest.any():
            raise refusal(self._where, "padding", f"section {self._section!r} has a byte other than 0 at its end", section=self._section)
