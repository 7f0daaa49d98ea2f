"""A normalisation that divides by zero."""

from __future__ import annotations

from forge import edit_sections

REASON = "graph"
SAYS = "std must be from 2^-30 to 2^30"


def build(honest: bytes) -> bytes:
    def edit(content, sections):
        sections["constants"][16:24] = bytes(8)

    return edit_sections(honest, edit)
