"""Codes added as if they were numbers."""

from __future__ import annotations

from forge import edit_header, node

REASON = "graph"
SAYS = "Add reads float32, edge 'q1' carries codes"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: node(content, "sum").update(right="q1"))
