"""A header that ends between the multiples of 64."""

from __future__ import annotations

REASON = "header-length"
SAYS = "end at a multiple of 64"


def build(honest: bytes) -> bytes:
    return honest[:12] + (17).to_bytes(4, "little") + honest[16:]
