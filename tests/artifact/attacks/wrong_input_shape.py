"""An input that no layer takes."""

from __future__ import annotations

from forge import edit_header

REASON = "graph"
SAYS = "needs (N, 2) and 2 axes of space"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["input"].update(shape=[2, 5]))
