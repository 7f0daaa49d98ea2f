"""One bit of a section flipped."""

from __future__ import annotations

REASON = "section-hash"
SAYS = "section 'float' is not what was written, its sha256 differs"


def build(honest: bytes) -> bytes:
    return honest[:-100] + bytes([honest[-100] ^ 1]) + honest[-99:]
