"""Escaped quotes without end: a pattern that goes back would take time squared."""

from __future__ import annotations

from forge import with_header

REASON = "json"
SAYS = "the header is no JSON"


def build(honest: bytes) -> bytes:
    return with_header(b'"' + b'\\"' * 1_000_000, b"")
