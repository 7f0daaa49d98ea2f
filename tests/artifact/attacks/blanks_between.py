"""JSON with a blank: equal models would have different bytes."""

from __future__ import annotations

from forge import edit_text

REASON = "canonical"
SAYS = "is not in canonical form at byte"


def build(honest: bytes) -> bytes:
    return edit_text(honest, b'"groups":1', b'"groups": 1')
