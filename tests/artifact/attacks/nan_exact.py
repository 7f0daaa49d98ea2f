"""A border that is no number."""

from __future__ import annotations

from forge import set_table

REASON = "graph"
SAYS = "exact must be finite"


def build(honest: bytes) -> bytes:
    return set_table(honest, "w4a4", "wise", "exact", kind="d", value=float("nan"))
