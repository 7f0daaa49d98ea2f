"""One mode listed twice."""

from __future__ import annotations

from forge import edit_header

REASON = "mode"
SAYS = "the header lists 'w8a8' twice"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["modes"][2].update(name="w8a8"))
