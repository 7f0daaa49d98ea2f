"""Two tables for one mode."""

from __future__ import annotations

from forge import edit_header, node

REASON = "mode"
SAYS = "each of the 5 modes has at most one"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: node(content, "q1")["tables"][0][0].append(4))
