"""Padding that would make an image of 10^18 pixels."""

from __future__ import annotations

from forge import edit_header, node

REASON = "graph"
SAYS = "an edge holds 1 to 2147483647 values"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: node(content, "conv").update(padding=[[10**9, 10**9], [10**9, 10**9]]))
