"""A mode that needs nothing."""

from __future__ import annotations

from forge import edit_header

REASON = "mode"
SAYS = "mode 'w1a1' cannot need 0 planes"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["modes"][4].update(bits=0))
