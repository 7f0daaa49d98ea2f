"""A section of eight petabytes in a short file."""

from __future__ import annotations

from forge import edit_header

REASON = "section-length"
SAYS = "claims 9007199254740991 bytes"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["sections"][0].update(length=2**53 - 1))
