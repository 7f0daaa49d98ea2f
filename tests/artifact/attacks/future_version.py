"""A format that this program cannot know."""

from __future__ import annotations

REASON = "version"
SAYS = "has format version 2, this program reads version 1; update quantizable"


def build(honest: bytes) -> bytes:
    return honest[:8] + (2).to_bytes(4, "little") + honest[12:]
