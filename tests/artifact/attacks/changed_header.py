"""One letter of the header changed, its hash left."""

from __future__ import annotations

REASON = "header-hash"
SAYS = "the header is not what was written, its sha256 differs"


def build(honest: bytes) -> bytes:
    return honest.replace(b'"conv"', b'"comv"', 1)
