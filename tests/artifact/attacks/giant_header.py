"""Four gigabytes of header claimed by a short file."""

from __future__ import annotations

REASON = "header-length"
SAYS = "claims a header of 4294967232 bytes"


def build(honest: bytes) -> bytes:
    return honest[:12] + (2**32 - 64).to_bytes(4, "little") + honest[16:]
