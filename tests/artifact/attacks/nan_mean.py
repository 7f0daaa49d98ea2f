"""A normalisation that is no number."""

from __future__ import annotations

from forge import edit_sections

REASON = "graph"
SAYS = "mean must be finite"


def build(honest: bytes) -> bytes:
    def edit(content, sections):
        sections["constants"][:8] = b"\x00\x00\x00\x00\x00\x00\xf8\x7f"

    return edit_sections(honest, edit)
