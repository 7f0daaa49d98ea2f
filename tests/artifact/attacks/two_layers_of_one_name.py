"""Two sets of codes under one name."""

from __future__ import annotations

from forge import edit_header

REASON = "name"
SAYS = "the header lists 'stem' twice"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["weights"][1].update(name="stem"))
