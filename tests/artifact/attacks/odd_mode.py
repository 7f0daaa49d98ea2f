"""A mode of nine bits."""

from __future__ import annotations

from forge import edit_header

REASON = "mode"
SAYS = "modes[1]: 'w9a9' is no mode"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["modes"][1].update(name="w9a9"))
