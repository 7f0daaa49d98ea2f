"""2^90 codes, which overflow 64 bits."""

from __future__ import annotations

from forge import edit_header

REASON = "section-length"
SAYS = "the network needs"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["weights"][1].update(shape=[2**45, 2**45]))
