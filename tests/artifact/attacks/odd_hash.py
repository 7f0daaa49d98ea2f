"""A hash that is no hash."""

from __future__ import annotations

from forge import edit_header

REASON = "type"
SAYS = "is not 64 hexadecimal digits"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["sections"][0].update(sha256="0x" + "0" * 62))
