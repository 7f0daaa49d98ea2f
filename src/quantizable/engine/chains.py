"""Nodes that run as one step: a layer, then the sum with a shortcut, a function, and codes, where nothing else reads what lies between.

The epilogue of a kernel goes y, residual, function, codes; a chain is any part of that, and may begin with any of its nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quantizable.engine.tensor import Shape
from quantizable.graph import Activation, Add, Affine, Clip, IntegerConv, IntegerLinear, Node, Quantize, sources_of

HEADS = (IntegerConv, IntegerLinear, Affine, Add, Activation, Clip, Quantize)


@dataclass(frozen=True, slots=True)
class Chain:
    """head: the node it begins with, also where that is its add, function, or quantize. Nodes run in the order of the fields.

    residual: the edge that `add` adds to what comes before. quantizes: all of one table; their codes are the same.
    edge: the float32 edge before the codes. keeps_values: others read it.
    """

    head: Node
    add: Add | None
    residual: str
    function: Activation | Clip | None
    quantizes: tuple[Quantize, ...]
    edge: str
    keeps_values: bool

    @property
    def names(self) -> set[str]:
        """The names of its nodes."""
        parts = (self.head, self.add, self.function, *self.quantizes)
        return {part.name for part in parts if part is not None}


class Readers:
    """Who reads each edge of a model, in one mode."""

    def __init__(self, nodes: tuple[Node, ...], output: str, mode: str) -> None:
        self._readers: dict[str, list[Node]] = {}
        for node in nodes:
            for source in sources_of(node):
                self._readers.setdefault(source, []).append(node)
        self._output = output
        self._mode = mode

    def only(self, edge: str) -> Node | None:
        """Return the one node that reads `edge`; None where there are more, or the edge is the output."""
        readers = self.of(edge)
        return readers[0] if len(readers) == 1 and edge != self._output else None

    def of(self, edge: str) -> list[Node]:
        return self._readers.get(edge, [])

    def codes(self, edge: str) -> tuple[Quantize, ...]:
        """Return the quantizers of an edge that have the table of its first one."""
        found = [node for node in self.of(edge) if isinstance(node, Quantize) and self._mode in node.tables]
        return tuple(node for node in found if node.tables[self._mode] == found[0].tables[self._mode])

    def needs_values(self, edge: str, quantizes: tuple[Quantize, ...]) -> bool:
        return edge == self._output or len(self.of(edge)) > len(quantizes)


def chain_from(head: Node, readers: Readers, made: Mapping[str, object], shapes: Mapping[str, Shape]) -> Chain:
    """Return the longest chain that begins with `head`; made: the edges that exist before it, from which a residual may come."""
    edge, add, residual, function = head.name, None, "", None
    if isinstance(head, Add):
        add, residual = head, head.right
    elif isinstance(head, IntegerConv | IntegerLinear | Affine):
        reader = readers.only(edge)
        if isinstance(reader, Add):
            other = reader.right if reader.left == edge else reader.left
            if other in made and shapes[other] == shapes[edge]:
                edge, add, residual = reader.name, reader, other
    if isinstance(head, Activation | Clip):
        function = head
    elif not isinstance(head, Quantize):
        reader = readers.only(edge)
        if isinstance(reader, Activation | Clip):
            edge, function = reader.name, reader
    if isinstance(head, Quantize):
        edge = head.source
        return Chain(head, None, "", None, readers.codes(edge) if head in readers.codes(edge) else (head,), edge, False)
    quantizes = readers.codes(edge)
    return Chain(head, add, residual, function, quantizes, edge, readers.needs_values(edge, quantizes))
