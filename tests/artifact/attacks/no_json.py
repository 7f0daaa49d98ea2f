"""Text that is no JSON."""

from __future__ import annotations

from forge import with_header

REASON = "json"
SAYS = "the header is no JSON at character"


def build(honest: bytes) -> bytes:
    return with_header(b'{"name":', b"")
