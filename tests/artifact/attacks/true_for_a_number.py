"""true, which Python takes for 1."""

from __future__ import annotations

from forge import edit_header

REASON = "type"
SAYS = "sections[0], length: True is not a whole number from 0 up"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["sections"][0].update(length=True))
