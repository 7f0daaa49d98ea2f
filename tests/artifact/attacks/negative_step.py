"""A step that turns images inside out."""

from __future__ import annotations

from forge import set_table

REASON = "graph"
SAYS = "found -0.5"


def build(honest: bytes) -> bytes:
    return set_table(honest, "w4a4", "q1", "step", kind="d", value=-0.5)
