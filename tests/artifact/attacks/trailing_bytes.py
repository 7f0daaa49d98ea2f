"""Something behind the last section, where a second file could hide."""

from __future__ import annotations

REASON = "trailing"
SAYS = "goes on for 5 bytes after its last section"


def build(honest: bytes) -> bytes:
    return honest + b"extra"
