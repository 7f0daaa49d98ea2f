"""Half a million empty lists: each takes twenty times its text in memory."""

from __future__ import annotations

from forge import with_header

REASON = "depth"
SAYS = "the header has more than 65536 lists and objects"


def build(honest: bytes) -> bytes:
    return with_header(b"[" + b"[]," * 500_000 + b"[]]", b"")
