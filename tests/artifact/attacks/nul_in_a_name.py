"""A name that C reads differently."""

from __future__ import annotations

from forge import edit_header, node

REASON = "name"
SAYS = "'conv\\x00.so' is no name"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: node(content, "conv").update(name="conv\x00.so"))
