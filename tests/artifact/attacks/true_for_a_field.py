"""true as a number of groups."""

from __future__ import annotations

from forge import edit_header, node

REASON = "type"
SAYS = "field 'groups': True is of type bool, needs int"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: node(content, "stem").update(groups=True))
