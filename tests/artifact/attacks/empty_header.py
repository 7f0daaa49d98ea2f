"""Nothing but blanks."""

from __future__ import annotations

from forge import with_header

REASON = "json"
SAYS = "the header is no JSON"


def build(honest: bytes) -> bytes:
    return with_header(b" " * 16, b"")
