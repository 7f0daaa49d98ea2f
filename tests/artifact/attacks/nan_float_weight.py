"""A float weight that is no number."""

from __future__ import annotations

from forge import edit_sections

REASON = "graph"
SAYS = "float weight stem: must be finite"


def build(honest: bytes) -> bytes:
    def edit(content, sections):
        sections["float"][:4] = b"\x00\x00\xc0\x7f"

    return edit_sections(honest, edit)
