"""A header length within the limit, and beyond the file."""

from __future__ import annotations

REASON = "truncated"
SAYS = "of 2097104 bytes of the header"


def build(honest: bytes) -> bytes:
    return honest[:12] + (2**21 - 48).to_bytes(4, "little") + honest[16:]
