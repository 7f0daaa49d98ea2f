"""A message behind the last plane of a section."""

from __future__ import annotations

from forge import edit_sections

REASON = "padding"
SAYS = "section 'plane 1' has a byte other than 0 at its end"


def build(honest: bytes) -> bytes:
    def edit(content, sections):
        sections["plane 1"][-1] = 1

    return edit_sections(honest, edit)
