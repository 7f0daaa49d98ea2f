"""Weights of a negative number of bits."""

from __future__ import annotations

from forge import set_table

REASON = "graph"
SAYS = "weight bits must be 1 to 8, found -1"


def build(honest: bytes) -> bytes:
    return set_table(honest, "w2a2", "conv", "weight_bits", kind="q", value=-1)
