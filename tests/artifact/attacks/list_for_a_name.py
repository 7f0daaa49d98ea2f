"""A list as the name of an edge."""

from __future__ import annotations

from forge import edit_header, node

REASON = "type"
SAYS = "field 'source': ['q0'] is of type list, needs str"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: node(content, "stem").update(source=["q0"]))
