"""No float weights, though fp32 is a mode."""

from __future__ import annotations

from forge import edit_header

REASON = "section-order"
SAYS = "section 15 is nothing, the network needs 'float' there"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["sections"].pop())
