"""Keys not sorted: the order of arrays would depend on the writer."""

from __future__ import annotations

from forge import edit_text

REASON = "canonical"
SAYS = "is not in canonical form at byte"


def build(honest: bytes) -> bytes:
    return edit_text(honest, b'"dilation":[1,1],"groups":1', b'"groups":1,"dilation":[1,1]')
