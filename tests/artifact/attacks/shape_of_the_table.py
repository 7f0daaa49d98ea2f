"""As many multipliers as channels, in two rows."""

from __future__ import annotations

from forge import edit_header

REASON = "graph"
SAYS = "multiplier must be float32 (4,), found float32 (2, 2)"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["layouts"][1].update(multiplier={"f32": [2, 2]}))
