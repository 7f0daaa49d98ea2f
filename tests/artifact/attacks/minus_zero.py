"""A second spelling of 0."""

from __future__ import annotations

from forge import edit_text

REASON = "canonical"
SAYS = "is not in canonical form at byte"


def build(honest: bytes) -> bytes:
    return edit_text(honest, b'"offset":0', b'"offset":-0')
