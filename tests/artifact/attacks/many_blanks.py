"""A line of blanks more than fills the header up."""

from __future__ import annotations

from forge import edit_text

REASON = "canonical"
SAYS = "blanks at its end"


def build(honest: bytes) -> bytes:
    return edit_text(honest, b'"whole":true}]}', b'"whole":true}]}' + b" " * 64)
