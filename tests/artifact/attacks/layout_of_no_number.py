"""A table laid out as nobody says."""

from __future__ import annotations

from forge import edit_header, node

REASON = "field"
SAYS = "layout 99 of"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: node(content, "q1")["tables"][0].__setitem__(1, 99))
