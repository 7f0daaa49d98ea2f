"""A million brackets: recursive parsers run out of stack."""

from __future__ import annotations

from forge import with_header

REASON = "depth"
SAYS = "the header nests deeper than 16"


def build(honest: bytes) -> bytes:
    return with_header(b"[" * 1_000_000, b"")
