"""A network named like a file of the system."""

from __future__ import annotations

from forge import edit_header

REASON = "name"
SAYS = "'/etc/passwd' is no name"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content.update(name="/etc/passwd"))
