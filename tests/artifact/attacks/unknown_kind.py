"""An operation that version 1 has not."""

from __future__ import annotations

from forge import edit_header, node

REASON = "kind"
SAYS = "nodes[2] is a 'Exec', which is no operation of version 1"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: node(content, "relu").update(kind="Exec"))
