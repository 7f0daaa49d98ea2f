"""Means written into the header, where they would be whole numbers."""

from __future__ import annotations

from forge import edit_header

REASON = "type"
SAYS = "input, field 'mean': found [1, 2], needs an array of float64 of 1 axes"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["input"].update(mean=[1, 2]))
