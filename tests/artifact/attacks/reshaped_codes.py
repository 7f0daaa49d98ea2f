"""Codes of the right number in another shape."""

from __future__ import annotations

from forge import edit_header

REASON = "graph"
SAYS = "cannot use codes of 2 axes"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["weights"][1].update(shape=[16, 9]))
