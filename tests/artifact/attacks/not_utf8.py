"""Bytes that are no text."""

from __future__ import annotations

from forge import with_header

REASON = "utf-8"
SAYS = "the header is not UTF-8 at byte 9"


def build(honest: bytes) -> bytes:
    return with_header(b'{"name":"\xff\xfe"}', b"")
