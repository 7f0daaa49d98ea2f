"""A network for no mode at all."""

from __future__ import annotations

from forge import edit_header

REASON = "mode"
SAYS = "the header lists 0 modes"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content.update(modes=[]))
