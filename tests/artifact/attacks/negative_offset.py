"""A section in front of the file."""

from __future__ import annotations

from forge import edit_header

REASON = "type"
SAYS = "sections[1], offset: -64 is not a whole number from 0 up"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["sections"][1].update(offset=-64))
