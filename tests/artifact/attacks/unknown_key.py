"""A key from nowhere, which another reader may obey."""

from __future__ import annotations

from forge import edit_header

REASON = "field"
SAYS = "the header has the field 'plugin', which is unknown here"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content.update(plugin="x.so"))
