"""Multipliers said to be integers, of the same size."""

from __future__ import annotations

from forge import edit_header

REASON = "type"
SAYS = "found int64 of 1 axes, needs an array of float32"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["layouts"][1].update(multiplier={"i64": [2]}))
