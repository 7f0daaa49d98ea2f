"""Tables for an operation that is the same in every mode."""

from __future__ import annotations

from forge import edit_header, node

REASON = "section-length"
SAYS = "section 'tables 1' claims"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: node(content, "relu").update(tables=node(content, "q1")["tables"]))
