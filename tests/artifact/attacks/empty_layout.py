"""A layout of no bytes, which a short list asks for a million times."""

from __future__ import annotations

from forge import edit_header

REASON = "field"
SAYS = "layouts[0] names no array"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["layouts"].__setitem__(0, {}))
