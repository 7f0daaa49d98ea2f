"""A node that shadows the input."""

from __future__ import annotations

from forge import edit_header, node

REASON = "graph"
SAYS = "two edges are named 'input'"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: node(content, "relu").update(name="input"))
