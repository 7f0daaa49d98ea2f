"""A node with a field its kind has not."""

from __future__ import annotations

from forge import edit_header, node

REASON = "field"
SAYS = "nodes[1] has a field 'code', IntegerConv has none of that name"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: node(content, "stem").update(code="import os"))
