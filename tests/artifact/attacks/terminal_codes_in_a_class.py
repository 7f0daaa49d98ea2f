"""A class name that rewrites the screen."""

from __future__ import annotations

from forge import edit_header

REASON = "name"
SAYS = "class_names[0]: '\\x1b[2J' is not printable text"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content.update(class_names=["\x1b[2J", "b", "c"]))
