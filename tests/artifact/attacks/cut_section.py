"""The last section cut in half; what is whole still opens, and the error says how."""

from __future__ import annotations

REASON = "truncated"
SAYS = "bytes; fetch it again, or open it with max_bits=8"


def build(honest: bytes) -> bytes:
    return honest[:-600]
