"""null where nodes belong."""

from __future__ import annotations

from forge import edit_header

REASON = "type"
SAYS = "nodes: None is not a list"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content.update(nodes=None))
