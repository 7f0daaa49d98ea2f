"""Line ends rewritten on the way: the magic holds one of each kind."""

from __future__ import annotations

REASON = "magic"
SAYS = "is no .qdnn file"


def build(honest: bytes) -> bytes:
    return honest.replace(b"\r\n", b"\n")
