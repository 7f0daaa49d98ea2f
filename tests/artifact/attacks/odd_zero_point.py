"""A zero point that is no multiple of one half."""

from __future__ import annotations

from forge import set_table

REASON = "graph"
SAYS = "the zero point must be a multiple of 1/2"


def build(honest: bytes) -> bytes:
    return set_table(honest, "w4a4", "q2", "zero_point", kind="d", value=0.3)
