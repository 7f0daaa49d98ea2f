"""A size in quotes."""

from __future__ import annotations

from forge import edit_header

REASON = "type"
SAYS = "sections[0], length: '64' is not a whole number from 0 up"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["sections"][0].update(length="64"))
