"""A float, which would be rounded by who knows what rule."""

from __future__ import annotations

from forge import edit_text

REASON = "number"
SAYS = "holds '1.0', numbers must be whole"


def build(honest: bytes) -> bytes:
    return edit_text(honest, b'"groups":1', b'"groups":1.0')
