"""Another program's file."""

from __future__ import annotations

REASON = "magic"
SAYS = "is no .qdnn file, it starts with b'PK"


def build(honest: bytes) -> bytes:
    return b"PK\x03\x04" + honest[4:]
