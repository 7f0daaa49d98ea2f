"""A convolution without a number of groups."""

from __future__ import annotations

from forge import edit_header, node

REASON = "field"
SAYS = "nodes[1] lacks the field 'groups' of IntegerConv"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: node(content, "stem").pop("groups"))
