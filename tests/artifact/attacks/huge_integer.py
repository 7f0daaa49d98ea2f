"""A number of a million digits, which takes minutes to convert."""

from __future__ import annotations

from forge import edit_text

REASON = "number"
SAYS = "numbers must be below 2^53"


def build(honest: bytes) -> bytes:
    return edit_text(honest, b'"groups":1', b'"groups":1' + b"0" * 1_000_000)
