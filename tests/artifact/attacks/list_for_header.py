"""JSON of another type."""

from __future__ import annotations

from forge import with_header

REASON = "type"
SAYS = "the header: [] is not an object"


def build(honest: bytes) -> bytes:
    return with_header(b"[]", b"")
