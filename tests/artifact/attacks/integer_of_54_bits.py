"""A number that other readers round."""

from __future__ import annotations

from forge import edit_text

REASON = "number"
SAYS = "holds '9007199254740992', numbers must be below 2^53"


def build(honest: bytes) -> bytes:
    return edit_text(honest, b'"groups":1', b'"groups":9007199254740992')
