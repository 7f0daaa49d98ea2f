"""A node that reads what comes after it."""

from __future__ import annotations

from forge import edit_header, node

REASON = "graph"
SAYS = "reads edge 'fc', which nothing before it makes"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: node(content, "relu").update(source="fc"))
