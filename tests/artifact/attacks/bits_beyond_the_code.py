"""Activations of nine bits in a byte."""

from __future__ import annotations

from forge import set_table

REASON = "graph"
SAYS = "activation bits must be 1 to 8, found 9"


def build(honest: bytes) -> bytes:
    return set_table(honest, "w4a4", "q1", "bits", kind="q", value=9)
