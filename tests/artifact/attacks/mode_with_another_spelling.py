"""An old way to write w8a8: two names of one mode."""

from __future__ import annotations

from forge import edit_header

REASON = "mode"
SAYS = "mode '8' cannot need 8 planes"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["modes"][1].update(name="8"))
