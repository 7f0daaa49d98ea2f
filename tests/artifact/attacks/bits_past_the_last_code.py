"""A message in the bits that no code uses."""

from __future__ import annotations

from forge import edit_sections

REASON = "padding"
SAYS = "section 'plane 3' has a bit other than 0 between its contents"


def build(honest: bytes) -> bytes:
    def edit(content, sections):
        content["weights"][1]["shape"] = [3, 4, 3, 3]
        sections["float"] = sections["float"][:912]
        for number in range(1, 9):
            sections[f"plane {number}"][13] &= 0x0F
        sections["plane 3"][13] |= 0xF0

    return edit_sections(honest, edit)
