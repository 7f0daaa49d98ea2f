"""A padding of three numbers."""

from __future__ import annotations

from forge import edit_header, node

REASON = "type"
SAYS = "is not a list of the right length"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: node(content, "stem").update(padding=[[1, 1, 1], [1, 1]]))
