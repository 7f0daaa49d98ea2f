"""A file without a byte: nothing to map."""

from __future__ import annotations

REASON = "truncated"
SAYS = "has 0 bytes, the preamble alone takes 48"


def build(honest: bytes) -> bytes:
    return b""
