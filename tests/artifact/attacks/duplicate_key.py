"""A key twice: two readers could each believe another."""

from __future__ import annotations

from forge import edit_text

REASON = "duplicate-key"
SAYS = "the header has 'name' twice in one object"


def build(honest: bytes) -> bytes:
    return edit_text(honest, b'"name":"small"', b'"name":"small","name":"other"')
