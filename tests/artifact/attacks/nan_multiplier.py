"""A multiplier that is no number."""

from __future__ import annotations

from forge import set_table

REASON = "graph"
SAYS = "multiplier must be finite, found 1 of 4 that are not"


def build(honest: bytes) -> bytes:
    return set_table(honest, "w4a4", "conv", "multiplier", kind="f", value=float("nan"))
