"""A step that float32 rounds."""

from __future__ import annotations

from forge import set_table

REASON = "graph"
SAYS = "the step must be a float32 number"


def build(honest: bytes) -> bytes:
    return set_table(honest, "w4a4", "q1", "step", kind="d", value=0.1)
