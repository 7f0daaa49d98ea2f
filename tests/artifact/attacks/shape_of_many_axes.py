"""More axes than any array has."""

from __future__ import annotations

from forge import edit_header

REASON = "shape"
SAYS = "gives a shape of [1, 1, 1, 1, 1, 1, 1, 1, 1]"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["weights"][1].update(shape=[1] * 9))
