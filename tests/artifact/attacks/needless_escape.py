"""A letter spelt as an escape: names could look different and be equal."""

from __future__ import annotations

from forge import edit_text

REASON = "canonical"
SAYS = "is not in canonical form at byte"


def build(honest: bytes) -> bytes:
    return edit_text(honest, b'"small"', b'"sm\\u0061ll"')
