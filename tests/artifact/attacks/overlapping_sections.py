"""Two sections that share bytes."""

from __future__ import annotations

from forge import edit_header

REASON = "section-offset"
SAYS = "starts at 0 and overlaps the one before, which ends at 64"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["sections"][1].update(offset=0))
