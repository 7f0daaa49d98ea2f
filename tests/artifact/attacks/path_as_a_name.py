"""A name that leads out of a folder."""

from __future__ import annotations

from forge import edit_header

REASON = "name"
SAYS = "'../../etc/passwd' is no name"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["weights"][1].update(name="../../etc/passwd"))
