"""An offset that is no number."""

from __future__ import annotations

from forge import set_table

REASON = "graph"
SAYS = "offset must be finite, found 1 of 4 that are not"


def build(honest: bytes) -> bytes:
    return set_table(honest, "fp32", "conv", "offset", kind="f", value=float("inf"))
