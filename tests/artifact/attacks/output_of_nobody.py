"""A result that no node makes."""

from __future__ import annotations

from forge import edit_header

REASON = "graph"
SAYS = "the output 'logits' is no float32 edge"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content.update(output="logits"))
