"""Another division by zero."""

from __future__ import annotations

from forge import edit_header, node

REASON = "graph"
SAYS = "groups must be an integer from 1"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: node(content, "conv").update(groups=0))
