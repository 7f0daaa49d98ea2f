"""A name of a million letters."""

from __future__ import annotations

from forge import edit_header

REASON = "name"
SAYS = "is no name; a name is printable, 1 to 255 bytes"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content.update(name="a" * 1_000_000))
