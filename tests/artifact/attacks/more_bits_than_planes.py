"""A mode that says it needs two planes and multiplies with three: its lowest bits would be guessed."""

from __future__ import annotations

from forge import set_table

REASON = "mode"
SAYS = "mode w2a2 is said to need 2 planes, found 3"


def build(honest: bytes) -> bytes:
    return set_table(honest, "w2a2", "conv", "weight_bits", kind="q", value=3)
