"""A step that is no number."""

from __future__ import annotations

from forge import set_table

REASON = "graph"
SAYS = "the step must be a float32 number from 2^-30 to 2^30, found nan"


def build(honest: bytes) -> bytes:
    return set_table(honest, "w4a4", "q1", "step", kind="d", value=float("nan"))
