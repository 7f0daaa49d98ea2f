"""No list of weights."""

from __future__ import annotations

from forge import edit_header

REASON = "field"
SAYS = "the header lacks the field 'weights'"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content.pop("weights"))
