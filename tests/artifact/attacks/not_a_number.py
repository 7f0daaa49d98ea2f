"""NaN, which is no JSON but is often taken."""

from __future__ import annotations

from forge import edit_text

REASON = "number"
SAYS = "holds 'NaN', numbers must be whole"


def build(honest: bytes) -> bytes:
    return edit_text(honest, b'"groups":1', b'"groups":NaN')
