"""Codes of a negative size: products of two are positive."""

from __future__ import annotations

from forge import edit_header

REASON = "shape"
SAYS = "gives a shape of [-4, -4, 3, 3]"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["weights"][1].update(shape=[-4, -4, 3, 3]))
